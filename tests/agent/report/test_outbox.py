"""The outbox: nothing that was accepted is lost, no number is used twice, and it stays within its bounds."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.report.counters import add_up
from edge_agent.report.health import Circumstances, reports
from edge_agent.report.outbox import Outbox, OutboxLimits
from edgekit import messages
from edgekit.errors import DeviceFault
from edgekit.messages import Event, Health, Latency, ModelHealth, OutboxHealth, Requests, SystemHealth
from tests.support.waiting import wait_for

AROUND = Circumstances(
    device="press-7",
    boot_id="b" * 32,
    time=datetime(2026, 3, 1, tzinfo=UTC),
    interval_s=60.0,
    system=SystemHealth(rss_bytes=1, memory_available_bytes=2, disk_free_bytes=3, load1=0.5, uptime_s=9.0),
    outbox=OutboxHealth(queued=0, merged=0),
)


def plain(epoch: str, seq: int) -> bytes:
    return f"{epoch}/{seq}".encode()


def event(epoch: str, seq: int) -> bytes:
    return messages.encode(
        Event(
            device="press-7",
            epoch=epoch,
            seq=seq,
            time="2026-03-01T00:00:00.000Z",
            model="pump",
            version="1.0.0",
            sha256="a" * 64,
            rollout="r-1",
            state="succeeded",
        )
    )


def add_health(outbox: Outbox, ok: int, *, version: str = "1.0.0") -> None:
    latency = Latency(n=ok, sum_us=ok * 20, max_us=20, buckets=[(42, ok)])
    model = ModelHealth(
        name="pump", version=version, sha256="a" * 64, requests=Requests(ok=ok, rows=ok), latency=latency
    )
    for build in reports([model], AROUND):
        outbox.append("health", build)


def ok_requests(outbox: Outbox) -> int:
    waiting = [report.content for report in outbox.pending(100_000) if report.kind == "health"]
    models = add_up(model for content in waiting for model in messages.decode(content, Health).data.models)
    return sum(model.requests.ok for model in models)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.db", OutboxLimits(rows=40))
    yield outbox
    outbox.close()


def test_reports_wait_in_order_until_they_are_acknowledged(outbox: Outbox) -> None:
    seqs = [outbox.append("event", plain) for _ in range(5)]
    assert seqs == [1, 2, 3, 4, 5]
    assert [report.content for report in outbox.pending(3)] == [plain(outbox.epoch, seq) for seq in (1, 2, 3)]
    assert [report.seq for report in outbox.pending(9, after=3)] == [4, 5]
    assert outbox.acknowledge(outbox.epoch, [1, 2, 3, 77]) == 3
    assert [report.seq for report in outbox.pending(9)] == [4, 5]
    assert outbox.state() == OutboxHealth(queued=2, merged=0)


def test_an_acknowledgement_of_another_epoch_means_nothing(outbox: Outbox) -> None:
    seq = outbox.append("event", plain)
    assert outbox.acknowledge("0" * 32, [seq]) == 0
    assert len(outbox.pending(9)) == 1


def test_everything_is_there_after_opening_again_and_numbers_go_on(tmp_path: Path) -> None:
    first = Outbox(tmp_path / "outbox.db")
    for _ in range(3):
        first.append("event", plain)
    first.mark_published([1])
    first.acknowledge(first.epoch, [2, 3])
    first.close()
    again = Outbox(tmp_path / "outbox.db")
    assert again.epoch == first.epoch
    assert [(report.seq, report.published) for report in again.pending(9)] == [(1, True)]
    assert again.append("event", plain) == 4  # 2 and 3 are gone, and never used again
    again.close()


def test_a_report_that_cannot_be_built_uses_no_number(outbox: Outbox) -> None:
    def broken(epoch: str, seq: int) -> bytes:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        outbox.append("event", broken)
    assert outbox.append("event", plain) == 1


def test_several_reports_are_queued_together_or_not_at_all(outbox: Outbox) -> None:
    def broken(epoch: str, seq: int) -> bytes:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        outbox.append_all("event", [plain, plain, broken])
    assert outbox.pending(9) == []
    assert outbox.append_all("event", [plain, plain]) == [1, 2]


def test_when_full_old_health_reports_are_added_up_and_no_count_is_lost(outbox: Outbox) -> None:
    for number in range(1, 301):
        add_health(outbox, number)
        assert outbox.state().queued <= 40
    assert ok_requests(outbox) == sum(range(1, 301))
    assert outbox.state().merged == 300 - outbox.state().queued
    seqs = [report.seq for report in outbox.pending(1000)]
    assert seqs == sorted(set(seqs))
    for report in outbox.pending(1000):
        data = messages.decode(report.content, Health).data
        assert (data.epoch, data.seq) == (outbox.epoch, report.seq)


def test_the_bound_in_bytes_holds_too(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", OutboxLimits(bytes=20_000))
    for number in range(200):
        add_health(outbox, 1, version=f"1.{number % 3}.0")
        assert sum(len(report.content) for report in outbox.pending(1000)) <= 20_000
    assert ok_requests(outbox) == 200
    outbox.close()


def test_events_are_kept_when_the_outbox_is_full(outbox: Outbox) -> None:
    for number in range(200):
        outbox.append("event", event)
        add_health(outbox, number)
    kept = [report for report in outbox.pending(1000) if report.kind == "event"]
    assert len(kept) == 200
    assert ok_requests(outbox) == sum(range(200))


def test_what_was_published_is_never_changed(outbox: Outbox) -> None:
    for _ in range(20):
        add_health(outbox, 1)
    before = {report.seq: report.content for report in outbox.pending(20)}
    outbox.mark_published(before)
    for _ in range(100):
        add_health(outbox, 1)
    after = {report.seq: report.content for report in outbox.pending(1000) if report.published}
    assert after == before
    assert ok_requests(outbox) == 120


def test_threads_may_share_it(outbox: Outbox) -> None:
    seqs: list[int] = []
    threads = [
        threading.Thread(target=lambda: seqs.extend(outbox.append("event", plain) for _ in range(25))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seqs) == list(range(1, 101))


@pytest.mark.parametrize("damage", ["garbage", "half", "middle", "foreign", "newer"])
def test_a_damaged_database_is_moved_aside_and_a_new_epoch_begins(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "outbox.db"
    old = Outbox(path)
    for _ in range(200):
        old.append("event", event)
    old.close()
    _damage(path, damage)
    outbox = Outbox(path)
    assert outbox.resets == 1
    assert outbox.epoch != old.epoch
    assert outbox.pending(9) == []
    assert outbox.append("event", plain) == 1
    assert (tmp_path / "outbox.db.damaged").exists()
    outbox.close()


def _damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how in ("garbage", "half", "middle"):
        damaged = {
            "garbage": b"not a database" * 100,
            "half": content[: len(content) // 2],
            "middle": content[:8192] + b"\xff" * 8192 + content[16384:],
        }
        path.write_bytes(damaged[how])
        return
    path.unlink() if how == "foreign" else None
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE other (x)" if how == "foreign" else "PRAGMA user_version = 99")
    db.close()


def test_a_database_damaged_while_open_is_replaced_and_the_report_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox(path)
    epoch = outbox.epoch
    for _ in range(300):
        outbox.append("event", event)
    Outbox(path).close()  # another connection moves the write-ahead log into the file
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    seq = outbox.append("event", event)
    assert (outbox.resets, seq) == (1, 1)
    assert outbox.epoch != epoch
    assert len(outbox.pending(9)) == 1
    outbox.close()


def test_a_disk_that_cannot_be_written_is_a_device_fault(tmp_path: Path) -> None:
    with pytest.raises(DeviceFault) as error:
        Outbox(tmp_path / "missing" / "outbox.db")
    assert error.value.reason == "outbox_unusable"


WRITER = """
import sys
from pathlib import Path
from edge_agent.report.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]))
while True:
    seq = outbox.append("event", lambda epoch, seq: f"{epoch}/{seq}".encode())
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
    if seq % 7 == 0:
        outbox.acknowledge(outbox.epoch, [seq])
        sys.stdout.write(f"-{seq}\\n")
        sys.stdout.flush()
"""


def test_a_killed_writer_loses_nothing_and_no_number_comes_twice(tmp_path: Path) -> None:
    """Kill -9 at random moments: whatever append had returned is there, whatever was acknowledged is gone, and the
    next writer goes on above every number that was ever told.
    """
    path, chance = tmp_path / "outbox.db", random.Random(4)
    told: set[int] = set()
    forgotten: set[int] = set()
    for _ in range(8):
        log = tmp_path / "told.txt"
        enough = chance.randrange(5, 400)
        with log.open("w") as out:
            child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=out)
            wait_for(lambda: log.read_bytes().count(b"\n") >= enough, 20, "the child to write")  # noqa: B023
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        lines = [int(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        fresh = [seq for seq in lines if seq > 0]
        assert fresh == sorted(fresh)
        assert min(fresh) > max(told, default=0)
        told |= set(fresh)
        forgotten |= {-seq for seq in lines if seq < 0}
    outbox = Outbox(path)
    assert outbox.resets == 0
    waiting = {report.seq: report.content for report in outbox.pending(1_000_000)}
    outbox.close()
    assert not forgotten & waiting.keys()
    # An acknowledgement may have been committed just before the kill, and not told any more.
    assert {seq for seq in told - forgotten - waiting.keys() if seq % 7} == set()
    assert all(content == plain(outbox.epoch, seq) for seq, content in waiting.items())


def test_how_many_wait_is_told_while_a_write_waits_for_the_disk(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.append("event", lambda epoch, seq: b"1")
    with closing(sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = threading.Thread(target=outbox.append, args=("event", lambda epoch, seq: b"2"))
        writing.start()
        told = outbox.state()
        assert writing.is_alive(), "the control: it waits"
        other.execute("COMMIT")
    writing.join()
    assert (told.queued, outbox.state().queued) == (1, 2)
    outbox.close()


def test_a_new_outbox_object_knows_what_waits(tmp_path: Path) -> None:
    first = Outbox(tmp_path / "outbox.db")
    first.append("event", lambda epoch, seq: b"1")
    first.close()
    second = Outbox(tmp_path / "outbox.db")
    assert second.state().queued == 1
    second.close()
