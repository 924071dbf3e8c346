"""Reports of the agent: whatever fails or is cut between counting and keeping, each count is told exactly once."""

from __future__ import annotations

import asyncio
import sqlite3
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.config import HealthSection, LinkSection
from edge_agent.link import Link, Will
from edge_agent.report.counters import Counters
from edge_agent.report.outbox import Outbox
from edge_agent.report.system import hardware
from edge_agent.reporter import Reporter, Sources
from edge_agent.update.threads import DiskThread
from edgekit import messages
from edgekit.join import BrokerAccess, Join, TrustAnchor
from edgekit.messages import Ack, Health, Reported, ServerPresence
from tests.support.agent import AgentProcess
from tests.support.station import Station
from tests.support.waiting import wait_for

JOIN = Join(
    tenant="default",
    device="pump-1",
    broker=BrokerAccess(url="mqtt://127.0.0.1:1", username="u", password="p"),
    trust=TrustAnchor(root="{}"),
)
MODELS = 30  # more than one report holds


class Device:
    """The reporting side of an agent that has no link."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.counters, self.disk = folder, Counters(), DiskThread()
        self.outbox = Outbox(folder / "outbox.db")
        self.reporter = Reporter(
            Sources(
                join=JOIN,
                boot_id="b1",
                link=Link(JOIN.broker, "edgekit-default-pump-1", Will("t", b""), LinkSection()),
                outbox=self.outbox,
                counters=self.counters,
                disk=self.disk,
                data_dir=folder,
                section=HealthSection(interval_s=0.2),
                account=self._account,
            )
        )

    def _account(self) -> Reported:
        return Reported(
            device="pump-1",
            boot_id="b1",
            agent_version="0",
            applied_seq=0,
            time="",
            models=[],
            hardware=hardware(),
            disk_free_bytes=0,
            memory_available_bytes=0,
        )

    def serve(self) -> None:
        """Count one request to each of many models."""
        for number in range(MODELS):
            self.counters.count((f"model-{number}", "1.0.0", f"{number:064x}"), "ok", rows=1, elapsed_us=100 + number)

    def told(self) -> dict[str, int]:
        """Requests by model over all reports that are kept."""
        counts: dict[str, int] = {}
        for row in self.outbox.pending(1000):
            for model in messages.decode(row.content, Health).data.models:
                counts[model.name] = counts.get(model.name, 0) + model.requests.ok
        return counts

    def alter(self, statement: str) -> None:
        """Change the outbox's file from outside."""
        with closing(sqlite3.connect(self.folder / "outbox.db", isolation_level=None)) as db:
            db.execute(statement)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    yield made
    made.disk.close()
    made.outbox.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        await work()

    asyncio.run(all_of_it())


def refusals(caplog: pytest.LogCaptureFixture) -> int:
    return sum("counted on" in record.getMessage() for record in caplog.records)


ONCE_EACH = {f"model-{number}": 1 for number in range(MODELS)}


@pytest.mark.parametrize(
    ("breaks", "mends"),
    [
        ("ALTER TABLE outbox RENAME TO away", "ALTER TABLE away RENAME TO outbox"),
        (
            "CREATE TRIGGER full BEFORE INSERT ON report WHEN (SELECT COUNT(*) FROM report) >= 1"
            " BEGIN SELECT RAISE(ABORT, 'full'); END",
            "DROP TRIGGER full",
        ),
    ],
    ids=["not at all", "the second report of an interval"],
)
def test_counts_that_could_not_be_kept_are_told_once_when_they_can(
    device: Device, caplog: pytest.LogCaptureFixture, breaks: str, mends: str
) -> None:
    async def break_and_mend() -> None:
        device.serve()
        device.alter(breaks)
        reporting = asyncio.create_task(device.reporter.report_health())
        await until(lambda: refusals(caplog) or reporting.done())
        device.alter(mends)
        if reporting.done():  # as the agent does when a part of it breaks off
            reporting = asyncio.create_task(device.reporter.report_health())
        await until(lambda: len(device.told()) == MODELS)
        reporting.cancel()

    run(break_and_mend)
    assert device.told() == ONCE_EACH


def test_a_cancellation_does_not_lose_the_counts_of_a_report_that_waits_for_the_disk(device: Device) -> None:
    async def cancel_while_it_waits() -> None:
        device.serve()
        began, go_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def occupy() -> None:
            loop.call_soon_threadsafe(began.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)

        busy = asyncio.create_task(device.disk.run(occupy))
        await began.wait()
        reporting = asyncio.create_task(device.reporter.report_health())
        await asyncio.sleep(0.3)  # past the first interval: the report waits behind what occupies the disk
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        go_on.set()
        await busy
        await device.reporter.close()

    run(cancel_while_it_waits)
    assert device.told() == ONCE_EACH


def test_what_was_counted_since_the_last_report_is_kept_at_a_clean_stop(device: Device) -> None:
    device.serve()
    run(device.reporter.close)
    assert device.told() == ONCE_EACH
    run(device.reporter.close)
    assert device.told() == ONCE_EACH


# ---- delivery by a whole agent ------------------------------------------------------------------------------------


def say(station: Station, *, online: bool, session: str = "") -> None:
    """The server's presence."""
    station.retain(station.topics.server_presence(), messages.encode(ServerPresence(online=online, session=session)))


def times_received(station: Station) -> dict[int, int]:
    return Counter(each.data.seq for each in list(station.received.health))


def test_nothing_is_sent_while_the_server_is_away(agent: AgentProcess, station: Station) -> None:
    say(station, online=False)
    agent.start()
    wait_for(lambda: agent.status()["outbox"]["queued"] >= 3, 10, "reports to wait")
    assert station.received.health == []
    assert station.received.presence, "the control: the device is connected"
    say(station, online=True, session="s2")
    wait_for(lambda: agent.status()["outbox"]["queued"] <= 1, 10, "the reports to be delivered")


def test_a_server_that_starts_anew_gets_again_what_it_did_not_acknowledge(
    agent: AgentProcess, station: Station
) -> None:
    station.acknowledges = False
    agent.start()
    wait_for(lambda: len(station.received.health) >= 2, 10, "reports")
    assert set(times_received(station).values()) == {1}, "not sent again while the same server is there"
    say(station, online=True, session="s2")
    wait_for(lambda: times_received(station)[1] >= 2, 10, "the first report once more")


def test_acknowledgements_of_another_epoch_delete_nothing_and_repeat_nothing(
    agent: AgentProcess, station: Station
) -> None:
    station.acknowledges = False
    agent.start()
    wait_for(lambda: len(station.received.health) >= 2, 10, "reports")
    foreign = messages.encode(Ack(epoch="0" * 32, seqs=list(range(1, 100))))
    station.retain(station.topics.device(station.device, "ack"), foreign)
    before = len(station.received.health)
    wait_for(lambda: len(station.received.health) >= before + 2, 10, "more reports")
    assert set(times_received(station).values()) == {1}
    assert agent.status()["outbox"]["queued"] >= len(times_received(station))


@pytest.mark.parametrize("turns", range(5))
def test_a_delivery_that_is_canceled_as_it_wakes_ends(device: Device, turns: int) -> None:
    # with asyncio.wait_for, Python 3.11 loses the cancellation for some number of turns, and a stop waits for ever
    async def cancel_as_it_wakes() -> None:
        delivering = asyncio.create_task(device.reporter.deliver())
        await asyncio.sleep(0.01)
        device.reporter._woken.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        delivering.cancel()
        done, _ = await asyncio.wait([delivering], timeout=5)
        assert done

    run(cancel_as_it_wakes)


def test_status_and_metrics_answer_while_the_outbox_waits_for_its_disk(agent: AgentProcess, station: Station) -> None:
    agent.start()
    wait_for(lambda: station.received.health, 10, "a first report")
    with closing(sqlite3.connect(agent.data_dir / "outbox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(5):
            assert agent.status()["device"] == "pump-1"
            with urllib.request.urlopen(f"{agent.url}/metrics", timeout=10) as page:
                assert b"edgekit_agent_outbox_queued" in page.read()
        other.execute("COMMIT")
