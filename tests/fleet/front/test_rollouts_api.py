"""Rollouts through the API: previewed, created, steered, and every refusal a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from fleet.store import schema
from fleet.store.tokens import Role
from tests.fleet.front.bench import Bench

PLAN: dict[str, Any] = {"model": "pump", "version": "1.0.0", "stages": [{"devices": "1"}, {"devices": "100%"}]}


def _with_three_devices(bench: Bench) -> Bench:
    """A release, and devices for it."""
    bench.sign("pump", "1.0.0")
    bench.push()
    for name in ("press-1", "press-2", "press-3"):
        assert bench.client().post("/api/v1/devices", json={"id": name}).status_code == 201
    return bench


@pytest.fixture
def ready(bench: Bench) -> Bench:
    return _with_three_devices(bench)


@pytest.fixture(scope="module")
def looked_at(shared: Bench) -> Bench:
    return _with_three_devices(shared)


def test_a_dry_run_tells_the_stages_and_creates_nothing(looked_at: Bench) -> None:
    answer = looked_at.client().post("/api/v1/rollouts?dry_run=1", json=PLAN)
    assert answer.status_code == 200
    stages = answer.json()["stages"]
    assert [len(stage) for stage in stages] == [1, 2]
    assert sorted(name for stage in stages for name in stage) == ["press-1", "press-2", "press-3"]
    assert looked_at.client().get("/api/v1/rollouts").json() == {"rollouts": []}


def test_a_rollout_is_created_by_an_operator_and_wakes_the_controller(ready: Bench) -> None:
    before = ready.wakes
    made = ready.client(Role.OPERATOR).post("/api/v1/rollouts", json=PLAN)
    assert made.status_code == 201
    view = made.json()
    assert (view["state"], view["created_by"], view["devices_total"]) == ("running", "token:operator", 3)
    assert ready.wakes == before + 1
    client = ready.client(Role.VIEWER)
    assert client.get(f"/api/v1/rollouts/{view['id']}").json() == view
    assert [item["id"] for item in client.get("/api/v1/rollouts").json()["rollouts"]] == [view["id"]]
    assert "decisions" in client.get(f"/api/v1/rollouts/{view['id']}/history").json()


def test_actions_change_the_state_and_leave_audit_lines(ready: Bench) -> None:
    made = ready.client().post("/api/v1/rollouts", json=PLAN).json()["id"]
    for action, state in (("pause", "paused"), ("resume", "running")):
        answer = ready.client().post(f"/api/v1/rollouts/{made}/{action}")
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    with ready.database.read() as connection:
        actions = connection.execute(select(schema.audit.c.action).where(schema.audit.c.subject == made)).scalars()
        assert list(actions) == ["rollout.create", "rollout.pause", "rollout.resume"]


def test_an_action_that_does_not_fit_the_state_is_a_conflict(ready: Bench) -> None:
    made = ready.client().post("/api/v1/rollouts", json=PLAN).json()["id"]
    answer = ready.client().post(f"/api/v1/rollouts/{made}/resume")
    assert (answer.status_code, answer.json()["reason"]) == (409, "wrong_state")


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"version": "9.9.9"}, 404, "not_found"),
        ({"version": "latest"}, 400, "bad_version"),
        ({"stages": []}, 400, "bad_plan"),
        ({"stages": [{"devices": "5"}]}, 400, "bad_plan"),
        ({"stages": [{"devices": ["nobody"]}]}, 400, "unknown_device"),
        ({"soak_s": -1}, 400, "bad_plan"),
        ({"on_fail": "explode"}, 400, "bad_plan"),
        ({"target": {"tags": {"hall": "9"}}}, 400, "empty_target"),
        ({"speed": 1}, 400, "bad_plan"),
    ],
)
def test_an_unusable_plan_is_refused(looked_at: Bench, change: dict[str, Any], status: int, reason: str) -> None:
    answer = looked_at.client().post("/api/v1/rollouts", json=PLAN | change)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert looked_at.client().get("/api/v1/rollouts").json() == {"rollouts": []}


def test_a_rollout_that_nobody_knows_is_not_found(shared: Bench) -> None:
    for path in ("r1", "r1/history"):
        assert shared.client().get(f"/api/v1/rollouts/{path}").status_code == 404
    assert shared.client().post("/api/v1/rollouts/r1/pause").status_code == 404
