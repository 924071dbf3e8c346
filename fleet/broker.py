"""The embedded broker (iotcore, in a child process), and how server and devices log in to whichever broker there is.

The embedded one is for one machine or a trusted bench: it knows two users, one for the server and one for all devices,
and no access rules by topic. It dies with the server, and keeps nothing.
"""

from __future__ import annotations

import json
import logging
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from edgekit.errors import ConfigError, Conflict, Unreachable
from edgekit.files import make_folder, read_bounded, write_secret
from edgekit.join import BrokerAccess
from edgekit.messages import MAX_MESSAGE_BYTES
from fleet.config import BrokerSection, FleetConfig, read_secret

log = logging.getLogger(__name__)

_STATE_NAME, _TOML_NAME = "broker.json", "broker.toml"
_MAX_STATE_BYTES = 65_536
_MAX_CA_BYTES = 1 << 20
_START_S, _STOP_S = 10.0, 2.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# As iotcore.Broker starts it, but in a session of its own: Ctrl-C must reach the server alone, which then says
# good-bye over this broker. The child ends when its standard input closes, that is, whenever the server is gone.
_CHILD = (
    "import sys; sys.path[:] = [p for p in sys.path if p not in ('', '.')]; from iotcore._serve import main; main()"
)
_TOML = """\
id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v4.1]
name = "edgekit"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = 100
dynamic_filters = true

[v4.1.connections.auth]
server = "{server}"
device = "{device}"
"""


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """`broker.json`: what joined devices rely on, kept across restarts."""

    schema: Literal["edgekit.broker/1"] = "edgekit.broker/1"
    port: int
    server_password: str
    device_password: str


@dataclass(frozen=True)
class Accesses:
    """How the server and how a device logs in."""

    server: BrokerAccess
    device: BrokerAccess


class EmbeddedBroker:
    """Listens on `section.host`; port 0 means a free one, chosen once and then kept."""

    def __init__(self, section: BrokerSection, folder: Path) -> None:
        self._section = section
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Accesses:
        """Start it and wait until it takes connections. Raises Conflict (port taken), Unreachable (it died)."""
        make_folder(self._folder, mode=0o700)
        state = self._state()
        _check_free(self._section.host, state.port)
        toml = _TOML.format(
            host=self._section.host,
            port=state.port,
            max_payload=MAX_MESSAGE_BYTES,
            server=state.server_password,
            device=state.device_password,
        )
        write_secret(self._folder / _TOML_NAME, toml.encode())
        options = json.dumps({"config_path": str(self._folder / _TOML_NAME)})
        self._child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, options], stdin=subprocess.PIPE, start_new_session=True
        )
        self._wait_until_up(state.port)
        self._say_what_it_is(state.port)
        url = f"mqtt://{self._section.host}:{state.port}"
        return Accesses(
            BrokerAccess(url=url, username="server", password=state.server_password),
            BrokerAccess(url=url, username="device", password=state.device_password),
        )

    @property
    def is_running(self) -> bool:
        """False before `start`, after `stop`, and when it died."""
        return self._child is not None and self._child.poll() is None

    @property
    def process_id(self) -> int | None:
        """Of the child, while there is one."""
        return None if self._child is None else self._child.pid

    def keep_running(self) -> None:
        """Start it again if it died. Raises as `start`."""
        if self._child is not None and not self.is_running:
            log.error("the embedded broker died (exit code %s); it is started again", self._child.returncode)
            self.stop()
            self.start()

    def stop(self) -> None:
        """End it. Safe to call twice."""
        child, self._child = self._child, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(_STOP_S)
        if child.stdin is not None:
            child.stdin.close()

    def _state(self) -> _State:
        path = self._folder / _STATE_NAME
        try:
            state = msgspec.json.decode(read_bounded(path, _MAX_STATE_BYTES), type=_State)
        except FileNotFoundError:
            state = _State(port=0, server_password=secrets.token_hex(24), device_password=secrets.token_hex(24))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{path} cannot be read ({type(error).__name__}): mend its permissions, or delete it and have every "
                "device join again"
            ) from error
        wanted = self._section.port or state.port or _free_port(self._section.host)
        if wanted != state.port:
            state = msgspec.structs.replace(state, port=wanted)
            write_secret(path, msgspec.json.encode(state))
        return state

    def _wait_until_up(self, port: int) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if not self.is_running:
                break
            try:
                socket.create_connection((self._section.host, port), timeout=0.5).close()
            except OSError:
                time.sleep(0.02)
                continue
            return
        self.stop()
        raise Unreachable("the embedded broker did not start: see its messages above", reason="broker_down")

    def _say_what_it_is(self, port: int) -> None:
        log.info(
            "embedded broker on %s:%d: for one machine or a trusted bench, since all devices share one credential and "
            'no topic is protected from them; set [broker] mode = "external" for anything else',
            self._section.host,
            port,
        )
        if self._section.host not in _LOOPBACK:
            log.warning("the embedded broker is reachable from other machines, without encryption")


class ExternalBroker:
    """The operator's own broker: nothing to start, nothing to stop."""

    def __init__(self, section: BrokerSection) -> None:
        self._section = section

    def start(self) -> Accesses:
        """How to log in. Raises ConfigError (a password or CA file cannot be read)."""
        section, ca_pem = self._section, self._ca_pem()
        server = BrokerAccess(
            url=section.url, username=section.username, password=read_secret(section.password_file), ca_pem=ca_pem
        )
        device = BrokerAccess(
            url=section.url,
            username=section.device_username,
            password=read_secret(section.device_password_file),
            ca_pem=ca_pem,
        )
        return Accesses(server, device)

    def keep_running(self) -> None:
        """Its operator does that."""

    def stop(self) -> None:
        """Its operator does that."""

    def _ca_pem(self) -> str:
        if not self._section.ca_file:
            return ""
        try:
            return read_bounded(Path(self._section.ca_file), _MAX_CA_BYTES).decode()
        except (OSError, ValueError) as error:
            raise ConfigError(f"[broker] ca_file {self._section.ca_file} cannot be read: check the path") from error


def of(config: FleetConfig) -> EmbeddedBroker | ExternalBroker:
    """The broker that the configuration asks for."""
    if config.broker.mode == "external":
        return ExternalBroker(config.broker)
    return EmbeddedBroker(config.broker, config.data_dir)


def check(section: BrokerSection) -> None:
    """Raises Conflict when the embedded broker could not have its configured port. Makes nothing."""
    if section.mode == "embedded" and section.port:
        _check_free(section.host, section.port)


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"the embedded broker cannot listen on {host}:{port} ({error.strerror}): stop what uses that port, or "
                "set [broker] port",
                reason="port_taken",
            ) from error


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
