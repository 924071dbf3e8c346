"""The whole agent as a device runs it: connected to a broker, its model signed, downloaded and tested by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serving.lanes import Asked
from benchmarks.serving.samples import Sample
from benchmarks.serving.servers import Command, Server, running
from edgekit.http import Api
from edgekit.join import to_toml
from examples.demo.workshop import free_port
from tests.support.broker import Broker
from tests.support.station import Station, model_of
from tests.support.waiting import wait_for

OURS = "edgekit agent"
_WITHIN_S = 60.0


class Device:
    """A device of its own fleet. `station` is the server's side: it keeps and acknowledges what the agent reports."""

    def __init__(self, folder: Path, station: Station, sample: Sample) -> None:
        self._folder, self.station, self._sample = folder, station, sample
        self.unix_socket = folder / "agent.sock"
        (folder / "join.toml").write_text(to_toml(station.join()))
        self._install()

    def command(self, environ: Mapping[str, str] | None = None) -> Command:
        """`edgekit agent run`; `environ` overrides its configuration."""
        port = free_port()
        settings = {"EDGEKIT_HTTP_PORT": str(port), "EDGEKIT_HTTP_UNIX_SOCKET": str(self.unix_socket)}
        (self._folder / "agent.toml").write_text('join = "join.toml"\n')
        words = [sys.executable, "-m", "edgekit", "agent", "run", "--config", str(self._folder / "agent.toml")]
        return Command(words, port, Asked.post("/predict", self._sample.body), {**settings, **(environ or {})})

    def _install(self) -> None:
        """Release the model, and let the agent fetch it."""
        release = self.station.release(self._sample.bundle.read_bytes())
        self.station.desire(model_of(release))
        with running(self.command()):
            wait_for(lambda: self.station.event(release.version, "succeeded"), _WITHIN_S, "the model to be installed")


@contextmanager
def device(sample: Sample, parent: Path) -> Iterator[Device]:
    """A device with that model installed, and the broker and server that it talks to."""
    folder = parent / f"device-{sample.name}"
    folder.mkdir()
    with Broker(folder) as broker:
        station = Station(_made(folder / "station"), broker).start()
        try:
            yield Device(folder, station, sample)
        finally:
            station.close()


def wait_connected(server: Server) -> None:
    """Until the agent has its broker."""
    assert isinstance(server.address, tuple)
    api = Api(f"http://127.0.0.1:{server.address[1]}")
    wait_for(lambda: api.get("/status")["link"]["connected"], _WITHIN_S, "the agent to connect")


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder
