"""A whole server in a thread, and the brokers it can be tried with."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from edgekit.join import BrokerAccess
from edgekit.times import utc_now
from fleet.config import BrokerSection, FleetConfig, ServerSection
from fleet.service import Ready, Service
from tests.fleet.core.rig import Rig
from tests.support.broker import PASSWORD, USERNAME, Broker, free_port

WITHIN_S = 15.0
_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous false
password_file {passwords}
max_inflight_messages 1000
max_queued_messages 100000
message_size_limit 262144
persistence false
user root
"""


class AnyBroker(Protocol):
    """What a test needs of a broker of its own."""

    @property
    def access(self) -> BrokerAccess:
        """How to log in."""
        raise NotImplementedError

    def restart(self) -> None:
        """Lose every connection and all that was retained."""

    def stop(self) -> None:
        """End it."""


class Mosquitto:
    """The real thing, where it is installed."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        passwords, config = folder / "passwords", folder / "mosquitto.conf"
        command = ["mosquitto_passwd", "-b", "-c", str(passwords), USERNAME, PASSWORD]
        subprocess.run(command, check=True, capture_output=True)
        config.write_text(_MOSQUITTO.format(port=self.port, passwords=passwords))
        self._command = [_mosquitto() or "", "-c", str(config)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def access(self) -> BrokerAccess:
        return BrokerAccess(url=f"mqtt://127.0.0.1:{self.port}", username=USERNAME, password=PASSWORD)

    def start(self) -> Mosquitto:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        wait_for(self._listens)
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "mosquitto ended by itself"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def restart(self) -> None:
        self.stop()
        self.start()


def start_broker(kind: str, folder: Path) -> AnyBroker:
    """A broker of that kind; skips with its reason, unless EDGEKIT_REQUIRE_MOSQUITTO=1, where it is not installed."""
    if kind == "iotcore":
        return Broker(folder).start()
    if _mosquitto() is None:
        if os.environ.get("EDGEKIT_REQUIRE_MOSQUITTO") == "1":
            pytest.fail("mosquitto is demanded by EDGEKIT_REQUIRE_MOSQUITTO=1 and not installed")
        pytest.skip("mosquitto is not installed")
    return Mosquitto(folder).start()


def _mosquitto() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Running:
    """`ready`: where API and broker are."""

    def __init__(self, config: FleetConfig) -> None:
        self.service = Service(config)
        self.fault: BaseException | None = None
        self._ready: list[Ready] = []
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._up.wait(WITHIN_S)
        if not self._ready:
            self._thread.join(WITHIN_S)
            raise self.fault or AssertionError("the server neither started nor failed")
        self.ready = self._ready[0]

    def stop(self) -> float:
        """Stop and wait; the seconds it took."""
        began = time.monotonic()
        self.service.stop()
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()
        if self.fault is not None:
            raise self.fault
        return time.monotonic() - began

    def _run(self) -> None:
        try:
            self.service.run(self._announce)
        except BaseException as error:
            self.fault = error
        finally:
            self._up.set()

    def _announce(self, ready: Ready) -> None:
        self._ready.append(ready)
        self._up.set()


def config_of(rig: Rig, broker: BrokerSection) -> FleetConfig:
    """The rig's database and keys behind a server on free ports."""
    server = ServerSection(data_dir=str(rig.config.data_dir), port=0)
    return msgspec.structs.replace(rig.config, server=server, broker=broker)


def external(access: BrokerAccess, folder: Path) -> BrokerSection:
    """The section that leads to a broker of the test."""
    password = folder / "password"
    password.write_text(access.password)
    return BrokerSection(
        mode="external",
        url=access.url,
        username=access.username,
        password_file=str(password),
        device_username=access.username,
        device_password_file=str(password),
    )


@contextmanager
def serving(config: FleetConfig) -> Iterator[Running]:
    """A server that is stopped at the end."""
    running = Running(config)
    try:
        yield running
    finally:
        running.stop()


def wait_for(holds: Callable[[], object]) -> None:
    """Wait until it is true."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:.0f} s"
        time.sleep(0.02)


def rig_of_today(folder: Path, database_url: str) -> Rig:
    """A rig whose signatures are of today, for a server with the machine's clock."""
    return Rig(folder, now=utc_now(), database_url=database_url)
