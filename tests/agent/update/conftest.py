"""A broker and a station for every test that needs a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent import AgentProcess
from tests.support.broker import Broker
from tests.support.station import Station


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as started:
        yield started


@pytest.fixture
def station(tmp_path: Path, broker: Broker) -> Iterator[Station]:
    folder = tmp_path / "station"
    folder.mkdir()
    made = Station(folder, broker).start()
    yield made
    made.close()


@pytest.fixture
def agent(tmp_path: Path, station: Station) -> Iterator[AgentProcess]:
    folder = tmp_path / "device"
    folder.mkdir()
    made = AgentProcess(folder, station.join())
    yield made
    if made.running:
        made.kill()
