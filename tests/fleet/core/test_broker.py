"""The embedded broker: credentials, the kept port, a taken port, and no process left behind."""

from __future__ import annotations

import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekit.errors import ConfigError, Conflict, Unreachable
from edgekit.join import BrokerAccess
from edgekit.times import utc_now
from edgekit.topics import Topics
from fleet.broker import EmbeddedBroker, ExternalBroker
from fleet.config import BrokerSection
from fleet.receive.link import Hooks, Link, Message
from tests.support.broker import free_port

ANY_PORT = BrokerSection(port=0)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_it_makes_credentials_and_keeps_them_and_its_port_across_restarts(tmp_path: Path) -> None:
    first = EmbeddedBroker(ANY_PORT, tmp_path)
    before = first.start()
    first.stop()
    second = EmbeddedBroker(ANY_PORT, tmp_path)
    assert second.start() == before
    second.stop()
    assert before.device.password != before.server.password
    for name in ("broker.json", "broker.toml"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_it_says_that_it_is_for_a_trusted_bench(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broker = EmbeddedBroker(ANY_PORT, tmp_path)
    with caplog.at_level(logging.INFO, "fleet"):
        broker.start()
    broker.stop()
    assert "trusted bench" in caplog.text


def test_a_taken_port_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"127.0.0.1:{port}") as caught:
            EmbeddedBroker(BrokerSection(port=port), tmp_path).start()
    assert caught.value.reason == "port_taken"


def test_a_broker_that_died_is_started_again_on_its_port(tmp_path: Path) -> None:
    broker = EmbeddedBroker(ANY_PORT, tmp_path)
    access = broker.start().device
    port = int(access.url.rpartition(":")[2])
    assert broker.process_id is not None
    os.kill(broker.process_id, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while broker.is_running:
        assert time.monotonic() < deadline
    broker.keep_running()
    assert answers(port)
    broker.stop()
    assert not broker.is_running


def test_it_dies_with_a_server_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from fleet.broker import EmbeddedBroker; from fleet.config import BrokerSection\n"
        "broker = EmbeddedBroker(BrokerSection(port=0), Path(sys.argv[1]))\n"
        "print(broker.start().device.url, flush=True); sys.stdin.read()\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    port = int(server.stdout.readline().strip().rpartition(":")[2])
    assert answers(port)
    server.kill()
    server.communicate()
    deadline = time.monotonic() + 10
    while answers(port):
        assert time.monotonic() < deadline, "the broker outlived its server"


def test_a_wrong_password_does_not_get_in(tmp_path: Path) -> None:
    broker = EmbeddedBroker(ANY_PORT, tmp_path)
    access = broker.start().server
    assert stands(access)
    assert not stands(BrokerAccess(url=access.url, username="server", password="guess"), within_s=1)
    broker.stop()


def stands(access: BrokerAccess, within_s: float = 3.0) -> bool:
    """Does a link with that access ever stand?"""
    link = Link(access, Topics("default"), utc_now)
    link.start(Hooks(fresh=lambda: None, arrived=lambda _: None, stands=lambda: None))
    deadline = time.monotonic() + within_s
    while link.standing_since is None and time.monotonic() < deadline:
        time.sleep(0.01)
    stood = link.standing_since is not None
    link.stop()
    return stood


def test_an_unreachable_broker_keeps_the_link_trying_and_stopping_is_quick() -> None:
    assert not stands(BrokerAccess(url=f"mqtt://127.0.0.1:{free_port()}"), within_s=0.5)


def test_a_link_that_is_down_refuses_to_publish() -> None:
    link = Link(BrokerAccess(url="mqtt://127.0.0.1:1"), Topics("default"), utc_now)
    with pytest.raises(Unreachable):
        link.publish(Message("edgekit/1/default/s/presence", b""))


@pytest.mark.parametrize("url", ["http://x:1", "mqtt://", "mqtt://x:port", "x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="url"):
        Link(BrokerAccess(url=url), Topics("default"), utc_now)


def test_an_external_broker_takes_its_credentials_from_files(tmp_path: Path) -> None:
    (tmp_path / "server").write_text("one\n")
    (tmp_path / "device").write_text("two\n")
    section = BrokerSection(
        mode="external",
        url="mqtt://broker:1883",
        username="fleet",
        password_file=str(tmp_path / "server"),
        device_username="devices",
        device_password_file=str(tmp_path / "device"),
    )
    accesses = ExternalBroker(section).start()
    assert accesses.server == BrokerAccess(url="mqtt://broker:1883", username="fleet", password="one")
    assert accesses.device == BrokerAccess(url="mqtt://broker:1883", username="devices", password="two")
    with pytest.raises(ConfigError, match="password"):
        ExternalBroker(BrokerSection(mode="external", url="mqtt://b:1", password_file=str(tmp_path / "no"))).start()
