"""The agent as a service: what it tells a real notification socket, when it falls silent, and its unit file."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.systemd import Notifier, keep_alive, unit_text
from edgekit.errors import ConfigError, UsageFault
from edgekit.join import BrokerAccess, Join, TrustAnchor, to_toml
from tests.support.models import make_bundle
from tests.support.serving import predictor_of

JOIN = Join(
    tenant="default",
    device="pump-1",
    broker=BrokerAccess(url="mqtt://127.0.0.1:1", username="u", password="p"),
    trust=TrustAnchor(root="{}"),
)


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(10)

    def hear(self) -> dict[str, str]:
        """The next message."""
        lines = self._socket.recv(4_096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def hear_until(self, name: str) -> dict[str, str]:
        """The next message that holds `name`."""
        while name not in (message := self.hear()):
            pass
        return message

    def silent(self) -> bool:
        """True when nothing has come that was not heard."""
        self._socket.setblocking(False)
        try:
            return not self._socket.recv(4_096)
        except BlockingIOError:
            return True

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@edgekit-test-{os.getpid()}")
    yield made
    made.close()


def test_lines_arrive_as_one_message(manager: Manager) -> None:
    Notifier(manager.address).tell("READY=1", "STATUS=two\nlines")
    assert manager.hear() == {"READY": "1", "STATUS": "two lines"}


def test_children_do_not_inherit_the_socket() -> None:
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    notifier = Notifier.take(environ)
    assert (notifier.watchdog_s, notifier.listened_to) == (3.0, True)
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "3000000"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"},
    ],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(environ: dict[str, str]) -> None:
    assert Notifier.take(environ).watchdog_s is None


@pytest.mark.parametrize("address", ["", "/nobody/listens/here", "x" * 300])
def test_a_manager_that_does_not_listen_stops_nothing(address: str) -> None:
    Notifier(address).tell("READY=1")


class Stuck:
    """A model that hangs, or fails, from some moment on: stands in for a runtime that is broken."""

    def __init__(self) -> None:
        self.real = predictor_of(make_bundle())
        self.hang, self.go_on = False, threading.Event()

    def probe(self) -> None:
        if self.hang:
            self.go_on.wait(10)
        self.real.probe()


def test_the_watchdog_is_fed_while_models_answer_and_starves_when_one_hangs(manager: Manager) -> None:
    model = Stuck()

    async def live() -> dict[str, str]:
        notifier = Notifier(manager.address, watchdog_s=0.4)
        alive = asyncio.create_task(keep_alive(notifier, lambda: [model], lambda: "serves pump"))
        for _ in range(2):
            message = await asyncio.to_thread(manager.hear)
            assert message == {"WATCHDOG": "1", "STATUS": "serves pump"}
        model.hang = True
        found = await asyncio.to_thread(manager.hear)
        while "WATCHDOG" in found:  # one that was under way
            found = await asyncio.to_thread(manager.hear)
        again = await asyncio.to_thread(manager.hear)
        assert "WATCHDOG" not in again
        model.hang = False
        model.go_on.set()
        while "WATCHDOG" not in await asyncio.to_thread(manager.hear):
            pass
        alive.cancel()
        await asyncio.gather(alive, return_exceptions=True)
        return found

    assert "no answer" in asyncio.run(live())["STATUS"]


def test_a_loop_that_stands_still_feeds_no_watchdog(manager: Manager) -> None:
    async def stand_still() -> None:
        alive = asyncio.create_task(keep_alive(Notifier(manager.address, watchdog_s=0.1), list, str))
        while "WATCHDOG" not in await asyncio.to_thread(manager.hear):
            pass
        while not manager.silent():
            pass
        threading.Event().wait(0.5)  # five periods of the watchdog, and the loop does not turn
        assert manager.silent()
        alive.cancel()
        await asyncio.gather(alive, return_exceptions=True)

    asyncio.run(stand_still())


def test_a_whole_agent_says_ready_alive_and_stopping(manager: Manager, tmp_path: Path) -> None:
    (tmp_path / "join.toml").write_text(to_toml(JOIN))
    environ = os.environ | {
        "NOTIFY_SOCKET": manager.address,
        "WATCHDOG_USEC": "1000000",
        "EDGEKIT_HTTP_PORT": "0",
        "PYTHONWARNINGS": "error",
    }
    words = [sys.executable, "-m", "edgekit", "agent", "run", "--config", str(tmp_path / "join.toml")]
    process = subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL)
    try:
        manager._socket.settimeout(30)
        assert manager.hear_until("READY")["STATUS"] == "serves no model yet; link down"
        assert manager.hear_until("WATCHDOG")["WATCHDOG"] == "1"
        process.terminate()
        assert manager.hear_until("STOPPING")["STOPPING"] == "1"
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


# ---- the unit -----------------------------------------------------------------------------------------------------


def test_the_unit_hands_over_the_files_that_the_configuration_is_made_of(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('join = "100%/join.toml"\n')
    words = [sys.executable, "-m", "edgekit", "agent", "unit", "--config", str(tmp_path / "agent.toml")]
    done = subprocess.run([*words, "--memory-max", "512M"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"LoadCredential=agent.toml:{tmp_path}/agent.toml" in lines
    assert f"LoadCredential=join.toml:{tmp_path}/100%%/join.toml" in lines
    assert "Environment=EDGEKIT_JOIN=join.toml" in lines
    assert "MemoryMax=512M" in lines
    assert "@" not in done.stdout.replace("@system-service", "")


def test_what_a_unit_cannot_say_is_refused() -> None:
    with pytest.raises(UsageFault, match="memory-max"):
        unit_text([Path("/etc/join.toml")], "lots")
    with pytest.raises(ConfigError, match="unit file"):
        unit_text([Path("/etc/a\nb/join.toml")], "1G")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("files", [1, 2])
def test_systemd_takes_the_unit(tmp_path: Path, files: int) -> None:
    unit = tmp_path / "edgekit-agent.service"
    unit.write_text(unit_text([tmp_path / "agent.toml", tmp_path / "join.toml"][:files], "75%"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text() + "\n[Service]\nMemoryMax=plenty\n")
    control = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert "plenty" in control.stderr, "the control: a fault is found"
