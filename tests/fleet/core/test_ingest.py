"""What devices say is stored once and acknowledged after the commit; nothing is lost or counted twice."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select, text

from edgekit import messages as m
from edgekit.times import rfc3339
from fleet.receive.arrivals import sort
from fleet.receive.ingest import FreshConnection, Ingest, Outlets
from fleet.receive.link import Arrival
from fleet.store import reports, schema
from fleet.store.database import Database
from fleet.store.moments import stored
from tests.fleet.core.rig import TOPICS, Rig, arrival


@pytest.fixture
def ready(rig: Rig) -> Rig:
    rig.release("pump", "1.0.0")
    rig.add("press-1", "press-2")
    return rig


def count(rig: Rig, table: str) -> int:
    with rig.database.read() as connection:
        return connection.execute(select(func.count()).select_from(schema.metadata.tables[table])).scalar_one()


def set_aside(rig: Rig) -> list[str]:
    with rig.database.read() as connection:
        return list(connection.execute(select(schema.set_aside.c.reason)).scalars())


def health(rig: Rig, device: str, seq: int, *, ok: int = 10, version: str = "1.0.0") -> Arrival:
    model = m.ModelHealth(
        name="pump",
        version=version,
        sha256="ab" * 32,
        requests=m.Requests(ok=ok, rows=ok),
        latency=m.Latency(n=ok, sum_us=100 * ok, max_us=100, buckets=[(50, ok)]),
    )
    data = m.HealthData(
        device=device,
        epoch="e1",
        seq=seq,
        boot_id="b1",
        interval_s=60,
        models=[model],
        system=m.SystemHealth(rss_bytes=1, memory_available_bytes=1, disk_free_bytes=1, load1=0.1, uptime_s=1),
        outbox=m.OutboxHealth(queued=0, merged=0),
    )
    report = m.Health(source=f"/devices/{device}", id=f"e1-{seq}", time=rfc3339(rig.now), data=data)
    return arrival(device, "health", m.encode(report))


def reported(device: str, *, state: str = "serving", applied_seq: int = 1) -> bytes:
    return m.encode(
        m.Reported(
            device=device,
            boot_id="b1",
            agent_version="0.1.0",
            applied_seq=applied_seq,
            time="2026-11-22T12:00:00.000Z",
            models=[m.ReportedModel(name="pump", version="1.0.0", sha256="ab" * 32, state=state)],
            hardware=m.Hardware(arch="x86_64", cpu_count=2, memory_total_bytes=1 << 30),
            disk_free_bytes=1,
            memory_available_bytes=1,
        )
    )


def sums(rig: Rig) -> list[tuple[int, int, int]]:
    table = schema.health_hour
    with rig.database.read() as connection:
        rows = connection.execute(select(table.c.reports, table.c.ok, table.c.latency_sum_us))
        return [(row.reports, row.ok, row.latency_sum_us) for row in rows]


# ---- once and only once ---------------------------------------------------------------------------------------


def test_a_report_that_arrives_twice_is_counted_once_and_acknowledged_twice(ready: Rig) -> None:
    ready.ingest.store([health(ready, "press-1", 1), health(ready, "press-1", 1)])
    ready.ingest.store([health(ready, "press-1", 1)])
    assert sums(ready) == [(1, 10, 1000)]
    assert ready.acked() == [("press-1", 1), ("press-1", 1)]


def test_reports_of_one_hour_add_up_whatever_batches_they_come_in(ready: Rig) -> None:
    ready.ingest.store([health(ready, "press-1", 1), health(ready, "press-2", 1)])
    ready.ingest.store([health(ready, "press-1", 2, ok=5)])
    assert sums(ready) == [(3, 25, 2500)]


@pytest.mark.parametrize("shuffle", range(5))
def test_events_out_of_order_and_doubled_end_in_the_same_state(ready: Rig, shuffle: int) -> None:
    rollout = ready.start("100%")
    ready.settle()
    told: list[m.UpdateState] = ["queued", "downloading", "verifying", "testing", "activating", "soaking", "succeeded"]
    arrivals = [ready.event("press-1", rollout, state) for state in told] * 2
    random.Random(shuffle).shuffle(arrivals)
    for one in arrivals:
        ready.ingest.store([one])
    assert ready.states(rollout)["press-1"] == "succeeded"
    assert count(ready, "event") == len(told)


def test_an_event_of_another_rollout_or_release_is_kept_and_changes_nothing(ready: Rig) -> None:
    rollout = ready.start("100%")
    ready.settle()
    event = m.decode(ready.event("press-1", rollout, "failed").payload, m.Event)
    strange = [
        msgspec.structs.replace(event, seq=100, rollout="another"),
        msgspec.structs.replace(event, seq=101, sha256="cd" * 32),
        msgspec.structs.replace(event, seq=102, rollout=""),
    ]
    ready.ingest.store([arrival("press-1", "event", m.encode(item)) for item in strange])
    assert count(ready, "event") == 3
    assert ready.states(rollout)["press-1"] == "offered"


def test_an_event_of_a_device_whose_stage_has_not_opened_changes_nothing(ready: Rig) -> None:
    rollout = ready.start(["press-1"], "100%")
    ready.settle()
    ready.say("press-2", rollout, "succeeded")
    assert ready.states(rollout)["press-2"] == "pending"


def test_an_identity_outlives_its_row(ready: Rig) -> None:
    ready.ingest.store([health(ready, "press-1", 7)])
    ready.pass_time(days=31)
    with ready.database.begin() as connection:
        reports.trim(connection, now_ms=stored(ready.now))
    assert (count(ready, "inbox"), count(ready, "report")) == (0, 0)
    ready.ingest.store([health(ready, "press-1", 7), health(ready, "press-1", 8)])
    assert count(ready, "report") == 1, "7 was counted before, 8 was not"
    assert ready.acked()[-2:] == [("press-1", 7), ("press-1", 8)]


# ---- who is there ---------------------------------------------------------------------------------------------


def test_presence_and_reported_state_are_kept_and_retained_copies_are_no_sign_of_life(ready: Rig) -> None:
    online = m.encode(m.Presence(online=True, boot_id="b1"))
    ready.ingest.store(
        [
            arrival("press-1", "presence", online),
            arrival("press-2", "presence", online, retained=True),
            arrival("press-1", "reported", reported("press-1", applied_seq=3)),
        ]
    )
    with ready.database.read() as connection:
        rows = connection.execute(select(schema.device).order_by(schema.device.c.id)).all()
        slots = connection.execute(select(schema.device_model)).all()
    assert [(row.online, row.last_seen_ms is not None, row.applied_seq) for row in rows] == [
        (True, True, 3),
        (True, False, 0),
    ]
    assert [(slot.device, slot.model, slot.version, slot.state) for slot in slots] == [
        ("press-1", "pump", "1.0.0", "serving")
    ]


def test_a_new_connection_forgets_who_was_online(ready: Rig) -> None:
    online = m.encode(m.Presence(online=True, boot_id="b1"))
    ready.ingest.store([arrival("press-1", "presence", online), arrival("press-2", "presence", online)])
    ready.ingest.store([FreshConnection(), arrival("press-2", "presence", online, retained=True)])
    with ready.database.read() as connection:
        rows = connection.execute(select(schema.device.c.online).order_by(schema.device.c.id)).scalars()
        assert list(rows) == [False, True]


def test_a_device_that_wants_an_artifact_is_heard(ready: Rig) -> None:
    ready.ingest.store([arrival("press-1", "want", m.encode(m.Want(sha256="ab" * 32)))])
    assert ready.wanted == ["ab" * 32]


# ---- what cannot be used --------------------------------------------------------------------------------------

EVENT = {
    "schema": "edgekit.event/1",
    "device": "press-1",
    "epoch": "e1",
    "seq": 5,
    "time": "2026-11-22T12:00:00Z",
    "model": "pump",
    "version": "1.0.0",
    "sha256": "ab" * 32,
    "rollout": "r",
    "state": "queued",
}
MALFORMED = [
    ("no JSON at all", b"\xff\xfe not json", None),
    ("nothing", b"", None),
    ("a list", b"[1]", None),
    ("a missing field", msgspec.json.encode({"epoch": "e1", "seq": 5}), 5),
    ("an unknown state", msgspec.json.encode({**EVENT, "state": "exploded"}), 5),
    ("another schema", msgspec.json.encode({**EVENT, "schema": "edgekit.event/99"}), 5),
    ("another device's name", msgspec.json.encode({**EVENT, "device": "press-2"}), 5),
    ("a version that is none", msgspec.json.encode({**EVENT, "version": "1.0.0+build" * 9}), 5),
    ("a time that is none", msgspec.json.encode({**EVENT, "time": "noon"}), 5),
    ("a seq beyond all numbers", msgspec.json.encode({**EVENT, "seq": 2**80}), None),
    ("a seq that is a boolean", msgspec.json.encode({**EVENT, "seq": True}), None),
    ("an endless document", b'{"a":' * 20_000, None),
]


@pytest.mark.parametrize(("payload", "seq"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_event_is_set_aside_and_acknowledged_if_it_can_be_named(
    ready: Rig, payload: bytes, seq: int | None
) -> None:
    good = health(ready, "press-1", 1)
    ready.ingest.store([arrival("press-1", "event", payload), good])
    assert len(set_aside(ready)) == 1
    assert count(ready, "event") == 0
    assert ready.acked() == [("press-1", 1)] + ([] if seq is None else [("press-1", seq)])


def test_a_stranger_is_set_aside_and_a_retired_device_too(ready: Rig) -> None:
    ready.ingest.store([arrival("ghost", "event", msgspec.json.encode({**EVENT, "device": "ghost"}))])
    assert set_aside(ready) == ["unknown_device"]
    assert ready.acked() == [("ghost", 5)]
    assert count(ready, "device") == 2


def test_a_count_that_cannot_be_is_refused(ready: Rig) -> None:
    ready.ingest.store([health(ready, "press-1", 1, ok=-3)])
    assert sums(ready) == []
    assert len(set_aside(ready)) == 1


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["event", "health", "reported", "presence", "want"]), st.binary(max_size=300))
def test_no_bytes_whatever_break_the_sorting(leaf: str, payload: bytes) -> None:
    batch = sort([Arrival("press-1", leaf, payload, retained=False)], {"press-1"}, now_ms=0)
    assert len(batch.aside) + len(batch.presence) + len(batch.wants) == 1


# ---- a database that fails ------------------------------------------------------------------------------------


class FailingDatabase(Database):
    """Refuses the next `failures` transactions as a database that is away would; then any that stores `poison`."""

    failures = 0
    poison: bytes | None = None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with super().begin() as connection:
            if self.failures:
                self.failures -= 1
                connection.execute(text("SELECT * FROM a_table_of_another_schema"))
            yield connection
            if self.poison is not None:
                stored_now = connection.execute(select(schema.report.c.payload)).scalars()
                if self.poison in [bytes(payload) for payload in stored_now]:
                    raise ValueError("a value that this database cannot hold")


@contextmanager
def running(rig: Rig, database: FailingDatabase) -> Iterator[tuple[Ingest, threading.Event]]:
    """An ingest worker on that database; the event is set with every acknowledgement."""
    acknowledged = threading.Event()

    def post(message: object) -> None:
        rig.posted.append(message)  # type: ignore[arg-type]
        acknowledged.set()

    ingest = Ingest(database, TOPICS, lambda: rig.now, Outlets(post, lambda: None, lambda _: None))
    worker = threading.Thread(target=ingest.run)
    worker.start()
    yield ingest, acknowledged
    ingest.stop()
    worker.join(5)
    assert not worker.is_alive()
    database.close()


def test_while_the_database_is_away_messages_wait_and_then_all_are_stored(ready: Rig) -> None:
    database = FailingDatabase(ready.config.database_url)
    database.failures = 2
    with running(ready, database) as (ingest, acknowledged):
        ingest.arrived(health(ready, "press-1", 1))
        assert acknowledged.wait(10)
    assert ready.acked() == [("press-1", 1)]
    assert sums(ready) == [(1, 10, 1000)]


def test_a_message_that_the_database_refuses_holds_up_no_other(ready: Rig) -> None:
    database = FailingDatabase(ready.config.database_url)
    bad = health(ready, "press-1", 2, ok=7)
    database.poison = bad.payload
    ready.ingest.store([])
    ingest = Ingest(database, TOPICS, lambda: ready.now, Outlets(ready.posted.append, lambda: None, lambda _: None))
    for one in (health(ready, "press-1", 1), bad, health(ready, "press-1", 3)):
        ingest.arrived(one)
    worker = threading.Thread(target=ingest.run)
    worker.start()
    ingest.stop()
    worker.join(10)
    database.close()
    assert sorted(ready.acked()) == [("press-1", 1), ("press-1", 2), ("press-1", 3)]
    assert sums(ready) == [(2, 20, 2000)]
    assert set_aside(ready) == ["not_storable: ValueError"]
