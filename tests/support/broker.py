"""A real MQTT broker (iotcore) on loopback that asks for a credential and can be stopped and started on its port.

It keeps nothing across a restart, which is the hard case that devices and servers must live with.
"""

from __future__ import annotations

import socket
from pathlib import Path

import iotcore

from edgekit.join import BrokerAccess

USERNAME, PASSWORD = "fleet", "s3cret-of-the-tests"
_TOML = """
id = 0

[router]
id = 0
max_connections = 2010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v4.1]
name = "tests"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 262144
max_inflight_count = 100

[v4.1.connections.auth]
{username} = "{password}"
"""

_TOML_5 = """
[v5.1]
name = "tests-5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 262144
max_inflight_count = 100

[v5.1.connections.auth]
{username} = "{password}"
"""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """`folder` takes its configuration file. Use as a context manager, or start and stop it by hand.

    With `newer` it speaks MQTT 5 on a port of its own, `newer_port`. A message with properties ends its listener of
    3.1.1 when somebody there has subscribed to the topic (seen with 0.4.0), so let nobody.
    """

    def __init__(self, folder: Path, port: int | None = None, *, newer: bool = False) -> None:
        self.port = port or free_port()
        self.newer_port = free_port() if newer else 0
        config = folder / f"broker-{self.port}.toml"
        text = _TOML.format(port=self.port, username=USERNAME, password=PASSWORD)
        if newer:
            text += _TOML_5.format(port=self.newer_port, username=USERNAME, password=PASSWORD)
        config.write_text(text)
        self._broker = iotcore.Broker(config_path=str(config))

    @property
    def access(self) -> BrokerAccess:
        """Where it is and how to log in, as `join.toml` says it."""
        return BrokerAccess(url=f"mqtt://127.0.0.1:{self.port}", username=USERNAME, password=PASSWORD)

    def start(self) -> Broker:
        """Start it and wait until it accepts connections."""
        self._broker.start()
        return self

    def stop(self) -> None:
        """Stop it: every connection breaks and all that was retained is gone."""
        self._broker.stop()

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Broker:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()
