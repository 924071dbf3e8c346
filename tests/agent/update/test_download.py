"""Chunks over a real broker: nothing wrong is kept, nothing is fetched twice, and every end has its reason."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edge_agent.config import LinkSection, UpdateSection
from edge_agent.link import Link, LinkEvents, Will
from edge_agent.update.download import Download, Source
from edge_agent.update.partial import Partials
from edge_agent.update.state import Target
from edge_agent.update.table import Event, Happened
from edge_agent.update.threads import DiskThread
from edgekit import messages
from edgekit.chunks import index_of
from edgekit.messages import CHUNK_BYTES, ChunkIndex, Presence
from edgekit.topics import Topics
from tests.support.broker import Broker
from tests.support.station import TENANT, Station
from tests.support.waiting import wait_for

CONTENT = random.Random(7).randbytes(20 * CHUNK_BYTES + 123)
CHUNKS = 21
INDEX = index_of(CONTENT)
SECTION = UpdateSection(chunk_timeout_s=0.2, stall_limit_s=2.0, chunk_window=4)

Run = Callable[[Download], Awaitable[Happened]]


def target() -> Target:
    return Target(
        name="pump",
        version="1.0.0",
        sha256=INDEX.sha256,
        bytes=INDEX.bytes,
        counter=1,
        rollout="r1",
        index_sha256=index_of(messages.encode(INDEX)).sha256,
    )


class Device:
    """The download side of an agent, without the agent."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder, self.broker = folder, broker

    def run(self, work: Run, section: UpdateSection = SECTION) -> tuple[Happened, Download]:
        return asyncio.run(self._run(work, section))

    async def _run(self, work: Run, section: UpdateSection) -> tuple[Happened, Download]:
        disk, up = DiskThread(), asyncio.Event()
        topics = Topics(TENANT)
        absent = messages.encode(Presence(online=False, boot_id="b1"))
        will = Will(topics.device("pump-1", "presence"), absent)
        link = Link(self.broker.access, "edgekit-default-pump-1", will, LinkSection(retry_min_s=0.05, retry_max_s=0.2))
        link.start(LinkEvents(up.set, lambda: None))
        async with asyncio.timeout(10):
            await up.wait()
        download = Download(Source(link, topics, "pump-1", section), Partials(self.folder), target(), disk)
        try:
            async with asyncio.timeout(30):
                return await work(download), download
        finally:
            await link.stop(absent, 2)
            disk.close()


@pytest.fixture
def device(tmp_path: Path, broker: Broker) -> Device:
    return Device(tmp_path / "partial", broker)


def publish_index(station: Station, index: ChunkIndex = INDEX) -> None:
    station.retain(station.topics.index(INDEX.sha256), messages.encode(index))


async def whole(download: Download) -> Happened:
    happened = await download.run()
    return await download.verify() if happened.event is Event.COMPLETE else happened


def test_an_artifact_comes_whole(device: Device, station: Station) -> None:
    station.publish_chunks(CONTENT)
    publish_index(station)
    happened, download = device.run(whole)
    assert happened.event is Event.PASSED
    assert download.progress.fetched == CHUNKS
    assert Partials(device.folder).path(INDEX.sha256).read_bytes() == CONTENT


def test_what_is_there_is_not_fetched_again(device: Device, station: Station) -> None:
    station.publish_chunks(CONTENT, range(8))
    publish_index(station)
    happened, first = device.run(whole, UpdateSection(chunk_timeout_s=0.2, stall_limit_s=0.5))
    assert (happened.event, happened.reason, first.progress.fetched) == (Event.BROKEN, "download_stalled", 8)
    station.publish_chunks(CONTENT)
    happened, second = device.run(whole)
    assert happened.event is Event.PASSED
    assert (second.progress.present, second.progress.fetched) == (8, CHUNKS - 8)


def test_a_wrong_chunk_is_never_kept_and_heals_when_it_is_published_right(device: Device, station: Station) -> None:
    station.publish_chunks(CONTENT)
    station.retain(station.topics.chunk(INDEX.sha256, 3), b"x" * CHUNK_BYTES)
    publish_index(station)

    async def heal_once_refused(download: Download) -> Happened:
        running = asyncio.create_task(whole(download))
        while not download.progress.refused:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(station.publish_chunks, CONTENT, [3])
        return await running

    happened, download = device.run(heal_once_refused)
    assert happened.event is Event.PASSED
    assert download.progress.refused >= 1
    assert download.progress.fetched == CHUNKS


def test_chunks_that_stay_wrong_end_it(device: Device, station: Station) -> None:
    for number in range(CHUNKS):
        station.retain(station.topics.chunk(INDEX.sha256, number), b"wrong")
    publish_index(station)
    happened, download = device.run(whole, UpdateSection(chunk_timeout_s=0.1, chunk_window=16, stall_limit_s=3600))
    assert (happened.event, happened.reason) == (Event.BROKEN, "chunks_altered")
    assert download.progress.fetched == 0


def test_an_index_that_says_gone_ends_it(device: Device, station: Station) -> None:
    publish_index(station, ChunkIndex(sha256=INDEX.sha256, gone="rollout aborted"))
    happened, _ = device.run(whole)
    assert (happened.event, happened.reason) == (Event.BROKEN, "artifact_gone")
    assert "rollout aborted" in str(happened.detail)


def test_going_in_the_middle_ends_it_too(device: Device, station: Station) -> None:
    station.publish_chunks(CONTENT, range(5))
    publish_index(station)

    async def withdraw(download: Download) -> Happened:
        running = asyncio.create_task(whole(download))
        while download.progress.fetched < 5:
            await asyncio.sleep(0.02)
        gone = ChunkIndex(sha256=INDEX.sha256, gone="withdrawn")
        await asyncio.to_thread(publish_index, station, gone)
        return await running

    assert device.run(withdraw)[0].reason == "artifact_gone"


def test_an_index_that_is_not_the_signed_one_is_not_followed(device: Device, station: Station) -> None:
    station.publish_chunks(CONTENT)
    publish_index(station, index_of(CONTENT + b"more"))
    happened, download = device.run(whole)
    assert happened.reason == "download_stalled"
    assert download.progress.fetched == 0


def test_an_index_that_does_not_come_is_asked_for(device: Device, station: Station) -> None:
    async def publish_when_asked(download: Download) -> Happened:
        running = asyncio.create_task(whole(download))
        await asyncio.to_thread(wait_for, lambda: station.received.wants, 10, "the device to ask")
        await asyncio.to_thread(station.publish_chunks, CONTENT)
        await asyncio.to_thread(publish_index, station)
        return await running

    happened, _ = device.run(publish_when_asked)
    assert happened.event is Event.PASSED
    assert station.received.wants[0].sha256 == INDEX.sha256


def test_a_broker_that_restarts_in_the_middle_only_delays_it(device: Device, station: Station, broker: Broker) -> None:
    station.publish_chunks(CONTENT, range(10))
    publish_index(station)

    async def restart(download: Download) -> Happened:
        running = asyncio.create_task(whole(download))
        while download.progress.fetched < 10:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(broker.restart)
        await asyncio.to_thread(station.publish_chunks, CONTENT)
        return await running

    happened, download = device.run(restart)
    assert happened.event is Event.PASSED
    assert download.progress.fetched == CHUNKS


def test_bits_that_the_disk_lost_are_found_and_fetched_again(device: Device, station: Station) -> None:
    station.publish_chunks(CONTENT)
    publish_index(station)
    device.run(whole)
    path = Partials(device.folder).path(INDEX.sha256)
    with path.open("r+b") as file:
        file.seek(4 * CHUNK_BYTES + 9)
        file.write(b"flip")
    happened, _ = device.run(lambda download: download.verify())
    assert (happened.event, happened.reason) == (Event.ALTERED, "chunks_damaged")
    happened, download = device.run(whole)
    assert happened.event is Event.PASSED
    assert download.progress.fetched == 1


def test_a_cached_index_that_is_not_the_signed_one_is_dropped(tmp_path: Path) -> None:
    partials = Partials(tmp_path)
    partials.open(INDEX.sha256, messages.encode(INDEX)).close()
    assert partials.cached_index(INDEX.sha256, target().index_sha256) is not None
    (tmp_path / f"{INDEX.sha256}.index").write_bytes(b"altered")
    assert partials.cached_index(INDEX.sha256, target().index_sha256) is None


def test_downloads_that_nobody_wants_are_removed(tmp_path: Path) -> None:
    partials = Partials(tmp_path)
    partials.open(INDEX.sha256, messages.encode(INDEX)).close()
    partials.keep_only({INDEX.sha256})
    assert partials.path(INDEX.sha256).exists()
    partials.keep_only(set())
    assert list(tmp_path.iterdir()) == []
