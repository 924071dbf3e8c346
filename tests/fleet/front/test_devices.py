"""Registering devices, and what the API shows of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from edgekit import messages as m
from edgekit.join import Join
from fleet.store import schema
from tests.fleet.front.bench import ACCESS, Bench


def _add(bench: Bench, name: str, **tags: str) -> Any:
    return bench.client().post("/api/v1/devices", json={"id": name, "tags": tags})


def test_a_device_gets_all_that_an_agent_needs(bench: Bench) -> None:
    bench.push()
    join = msgspec.convert(_add(bench, "press-7", hall="3").json(), Join)
    assert (join.tenant, join.device, join.broker) == ("default", "press-7", ACCESS)
    assert join.trust.root.encode() == bench.repository.metadata_files()["1.root.json"]


def test_a_new_device_shall_run_nothing_and_its_document_waits_for_dispatch(bench: Bench) -> None:
    bench.push()
    before = bench.wakes
    _add(bench, "press-7")
    with bench.database.read() as connection:
        desired = connection.execute(select(schema.device_desired)).one()
        assert (desired.device, desired.seq, desired.models) == ("press-7", 1, "[]")
        assert connection.execute(select(schema.outbox.c.device)).scalars().all() == ["press-7"]
    assert bench.wakes == before + 1


def test_without_a_pushed_root_no_device_is_registered(bench: Bench) -> None:
    answer = _add(bench, "press-7")
    assert (answer.status_code, answer.json()["reason"]) == (409, "no_root")
    assert "edgekit release push" in answer.json()["detail"]
    assert bench.client().get("/api/v1/devices").json() == {"devices": [], "next": None}


def test_an_id_is_taken_once_and_for_ever(bench: Bench) -> None:
    bench.push()
    assert _add(bench, "press-7").status_code == 201
    assert _add(bench, "press-7").json()["reason"] == "device_exists"
    assert bench.client().post("/api/v1/devices/press-7/retire").json() == {"id": "press-7", "retired": True}
    assert _add(bench, "press-7").status_code == 409
    assert bench.client().get("/api/v1/devices").json()["devices"] == []
    shown = bench.client().get("/api/v1/devices?retired=true").json()["devices"]
    assert [device["retired"] for device in shown] == [True]


@pytest.mark.parametrize("name", ["", "Press", "a/b", "+", "-a", "a" * 64, "ä"])
def test_ids_that_no_topic_may_hold_are_refused(shared: Bench, name: str) -> None:
    shared.push()
    assert (_add(shared, name).status_code, _add(shared, name).json()["reason"]) == (400, "bad_id")


@pytest.mark.parametrize(
    "tags", [{"Hall": "3"}, {"hall": "x" * 129}, {"hall": "3\x1b[2J"}, {f"t{n}": "" for n in range(33)}]
)
def test_unusable_tags_are_refused(shared: Bench, tags: dict[str, str]) -> None:
    shared.push()
    assert _add(shared, "press-7", **tags).status_code == 400
    assert shared.client().get("/api/v1/devices").json()["devices"] == []


def test_tags_are_set_and_removed(bench: Bench) -> None:
    bench.push()
    _add(bench, "press-7", hall="3", line="a")
    answer = bench.client().post("/api/v1/devices/press-7/tags", json={"tags": {"hall": "4", "line": None}})
    assert answer.json() == {"id": "press-7", "tags": {"hall": "4"}}


def test_pages_follow_one_another_without_gap_or_overlap(bench: Bench) -> None:
    bench.push()
    names = [f"d{number:02}" for number in range(7)]
    for name in reversed(names):
        _add(bench, name)
    seen, after = [], ""
    while True:
        page = bench.client().get("/api/v1/devices", params={"limit": 3, "after": after}).json()
        seen += [device["id"] for device in page["devices"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert seen == names


def test_a_device_shows_what_it_reported(bench: Bench) -> None:
    bench.push()
    _add(bench, "press-7")
    bench.hear_of("press-7", version="1.0.0", ok=10, server_error=1)
    shown = bench.client().get("/api/v1/devices/press-7").json()
    assert shown["online"] is True
    assert [(slot["name"], slot["version"], slot["state"]) for slot in shown["models"]] == [
        ("pump", "1.0.0", "serving")
    ]
    assert (shown["health"]["ok"], shown["health"]["server_error"]) == (10, 1)
    assert shown["reported"]["schema"] == "edgekit.reported/1"
    assert msgspec.convert(shown["reported"], m.Reported).device == "press-7"


def test_every_change_leaves_a_line_in_the_audit_log(bench: Bench) -> None:
    bench.push()
    _add(bench, "press-7")
    bench.client().post("/api/v1/devices/press-7/tags", json={"tags": {"hall": "4"}})
    bench.client().post("/api/v1/devices/press-7/retire")
    with bench.database.read() as connection:
        lines = connection.execute(select(schema.audit.c.actor, schema.audit.c.action, schema.audit.c.subject)).all()
    assert [tuple(line) for line in lines] == [
        ("token:admin", "release.push", "targets 1"),
        ("token:admin", "device.add", "press-7"),
        ("token:admin", "device.tag", "press-7"),
        ("token:admin", "device.retire", "press-7"),
    ]


def test_the_broker_s_password_is_in_the_join_document_alone(bench: Bench) -> None:
    bench.push()
    _add(bench, "press-7")
    content = b"".join(path.read_bytes() for path in (bench.folder / "data").glob("fleet.db*"))
    assert ACCESS.password.encode() not in content
    assert ACCESS.password not in bench.client().get("/api/v1/devices/press-7").text
