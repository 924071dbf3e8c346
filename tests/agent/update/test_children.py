"""The agent's child processes: what they know, and that none outlives its time or its parent."""

from __future__ import annotations

import asyncio
import fcntl
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import IO

import pytest

from edge_agent.update.child import ChildFailed, running
from tests.support.agent import AgentProcess
from tests.support.models import make_bundle
from tests.support.station import Station, model_of
from tests.support.waiting import wait_for

MODULES = ("edge_agent.update.preflight", "edge_agent.update.trust")
_PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", sys.argv[1]], stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def unread(pipe: IO[str] | None) -> int:
    """Bytes in the pipe that nobody has read."""
    assert pipe is not None
    return int.from_bytes(fcntl.ioctl(pipe.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)


def pid_of(child: object) -> int:
    process = vars(child)["_process"]
    assert isinstance(process, asyncio.subprocess.Process)
    return process.pid


@pytest.mark.parametrize("module", MODULES)
def test_a_child_is_killed_with_its_parent_though_its_input_stays_open(module: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    try:
        child = int(parent.stdout.readline())
        parent.stdin.write("{")
        parent.stdin.flush()
        wait_for(lambda: unread(parent.stdin) == 0, 20, "the child to read its request")
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
        wait_for(lambda: not alive(child), 5, "the child to end too")
    finally:
        parent.stdin.close()
        parent.stdout.close()


def test_a_child_knows_no_setting_of_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_BROKER_PASSWORD", "s3cret")
    monkeypatch.setenv("CONTROL", "seen")

    async def environment() -> str:
        async with running("edge_agent.update.trust") as child:
            path = Path(f"/proc/{pid_of(child)}/environ")
            async with asyncio.timeout(10):
                while not (content := await asyncio.to_thread(path.read_text)):
                    await asyncio.sleep(0.01)
            return content

    found = asyncio.run(environment())
    assert "CONTROL=seen" in found
    assert "EDGEKIT_" not in found


def test_a_child_imports_nothing_from_the_folder_that_the_agent_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)

    async def complaint() -> str:
        async with running("edge_agent.update.trust") as child:
            await child.say(b"{}\n")
            with pytest.raises(ChildFailed) as caught:
                await child.hear()
            return caught.value.complaint

    assert "planted" not in asyncio.run(complaint())


def test_a_clean_stop_while_a_child_runs_leaves_no_process_and_no_folder(agent: AgentProcess, station: Station) -> None:
    agent.start()
    release = station.release(make_bundle())
    station.retain(station.topics.metadata("timestamp.json"), b"")  # the child asks for it, and waits
    station.desire(model_of(release))
    pids = wait_for(lambda: children(agent.pid), 20, "the child to run")
    assert agent.stop() == 0
    assert not any(alive(pid) for pid in pids)
    assert list((agent.folder / "tmp").iterdir()) == []


def test_updates_leave_no_zombie(agent: AgentProcess, station: Station) -> None:
    agent.start()
    station.desire(model_of(station.release(make_bundle())))
    wait_for(lambda: station.event("1.0.0", "succeeded"), 30, "the update")
    assert children(agent.pid) == []


def test_the_runtime_tells_nobody_what_it_runs(agent: AgentProcess, station: Station) -> None:
    agent.start()
    station.desire(model_of(station.release(make_bundle())))
    wait_for(lambda: station.event("1.0.0", "succeeded"), 30, "the update")
    assert list((agent.folder / "tmp").iterdir()) == [], "its telemetry would keep a session file here"
