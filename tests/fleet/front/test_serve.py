"""`edgekit fleet serve` as a process: it says when it stands, and ends in order or with one sentence."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[3]


def _edgekit(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgekit", "fleet", *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fleet.toml").write_text("[server]\nport = 0\n[broker]\nport = 0\n")
    return tmp_path


def test_it_announces_itself_answers_and_ends_on_sigterm(folder: Path) -> None:
    assert _edgekit(folder, "keys", "init", "-o", "server-keys.json").communicate(timeout=30)[1] == ""
    server = _edgekit(folder, "serve", "--json")
    assert server.stdout is not None
    ready = json.loads(server.stdout.readline())
    assert ready["event"] == "ready"
    assert ready["broker"].startswith("mqtt://127.0.0.1:")
    assert httpx.get(f"{ready['api']}/health", trust_env=False).json()["status"] == "ok"
    server.send_signal(signal.SIGTERM)
    rest, log = server.communicate(timeout=20)
    assert (server.returncode, rest) == (0, "")
    assert "Traceback" not in log


def test_without_keys_it_says_how_to_make_them(folder: Path) -> None:
    server = _edgekit(folder, "serve")
    _, fault = server.communicate(timeout=30)
    assert (server.returncode, fault.count("error:")) == (1, 1)
    assert "edgekit fleet keys init" in fault


def test_a_taken_port_is_named(folder: Path) -> None:
    _edgekit(folder, "keys", "init", "-o", "server-keys.json").communicate(timeout=30)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (folder / "fleet.toml").write_text(f"[server]\nport = {port}\n[broker]\nport = 0\n")
        server = _edgekit(folder, "serve")
        _, fault = server.communicate(timeout=30)
    assert server.returncode == 1
    assert str(port) in fault
    assert "Traceback" not in fault
