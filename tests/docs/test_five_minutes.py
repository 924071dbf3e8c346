"""The README's "Five minutes by hand", typed by a shell as it stands there: only its ports are free ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import joblib
import pandas as pd
import psutil
import pytest

from tests.docs.pages import ROOT, readme
from tests.support.broker import free_port
from tests.support.waiting import wait_for

PORTS = ("8800", "1883", "8700")
TOOLS = ("bash", "curl")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"the README is typed with {' and '.join(TOOLS)}"),
]


def script() -> str:
    """The block, with ports that nobody has."""
    [block] = [block for block in readme().shell_blocks() if "edgekit agent run" in block]
    for port in PORTS:
        assert port in block
        block = re.sub(rf"\b{port}\b", str(free_port()), block)
    return block


def environment() -> dict[str, str]:
    """As in a fresh terminal after `. .venv/bin/activate`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGEKIT_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "EDGEKIT": str(ROOT), "NO_PROXY": "127.0.0.1"}


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A shell that types the block in an empty folder; its whole group ends with the test."""
    with (tmp_path / "printed").open("wb") as out, (tmp_path / "complained").open("wb") as err:
        command = ["bash", "-eu", "-o", "pipefail", "-c", script()]
        folder = tmp_path / "empty"
        folder.mkdir()
        shell = subprocess.Popen(
            command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=err, process_group=0
        )
    yield shell
    started = [process for process in psutil.process_iter() if _group(process) == shell.pid]
    if started:
        os.killpg(shell.pid, signal.SIGTERM)
    shell.wait(10)
    wait_for(lambda: not any(map(_runs, started)), 15, "server and agent to end as they were told to")


def _group(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return 0


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)  # it may have no parent that would bury it
    except psutil.NoSuchProcess:
        return False


def test_the_readme_s_five_minutes_end_with_the_model_s_own_answer(
    terminal: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    code = terminal.wait(120)

    complaints = (tmp_path / "complained").read_text()
    assert code == 0, complaints
    assert "error" not in complaints.lower()

    def answers() -> list[str]:
        return re.findall(r"\{\"prediction\".*\}", (tmp_path / "printed").read_text())

    [answer] = wait_for(answers, 5, "the device's answer")
    model = joblib.load(tmp_path / "empty" / "model" / "model.joblib")
    [row] = re.findall(r"-d '(\{.*\})'", script())
    frame = pd.DataFrame([json.loads(row)])
    told = json.loads(answer)
    assert told["model"] == "shuttle:1.0.0"
    assert told["prediction"] == model.predict(frame)[0]
    assert list(told["probabilities"].values()) == pytest.approx(model.predict_proba(frame)[0], abs=1e-5)
