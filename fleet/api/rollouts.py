"""`/api/v1/rollouts`: creating, watching and steering rollouts."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Response

from fleet.api.access import Operator, TheServer, Viewer
from fleet.api.answers import answer, gives
from fleet.rollout import commands, views
from fleet.rollout.plan import parse_plan
from fleet.rollout.states import Action
from fleet.rollout.views import DecisionView, RolloutSummary, RolloutView
from fleet.store import audit
from fleet.store.moments import stored

router = APIRouter(prefix="/api/v1/rollouts", tags=["rollouts"])


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The devices of each stage, were the rollout created now."""

    stages: list[list[str]]


class Rollouts(msgspec.Struct, frozen=True, kw_only=True):
    """All rollouts, newest first."""

    rollouts: list[RolloutSummary]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about a rollout, in order, with the numbers behind it."""

    decisions: list[DecisionView]


@router.get("", **gives(Rollouts))
def list_rollouts(server: TheServer, _: Viewer) -> Response:
    """All rollouts, newest first."""
    with server.database.read() as connection:
        return answer(Rollouts(rollouts=views.list_rollouts(connection)))


@router.post("", **gives(RolloutView, 201, also={200: Preview}))
def create_rollout(server: TheServer, caller: Operator, plan: dict[str, Any], *, dry_run: bool = False) -> Response:
    """Start the rollout that the plan describes; with `dry_run=1` only tell which devices each stage would get."""
    checked = parse_plan(plan)
    if dry_run:
        with server.database.read() as connection:
            return answer(Preview(stages=commands.preview(connection, checked)))
    now_ms = stored(server.clock())
    with server.database.begin() as connection:
        made = commands.create(connection, checked, by=caller.actor, now_ms=now_ms)
        detail = {"model": checked.model, "version": checked.version}
        audit.record(connection, at_ms=now_ms, actor=caller.actor, action="rollout.create", subject=made, detail=detail)
        view = views.view(connection, made)
    server.wake()
    return answer(view, 201)


@router.get("/{rollout}", **gives(RolloutView))
def show_rollout(server: TheServer, _: Viewer, rollout: str) -> Response:
    """One rollout with its stages and devices."""
    with server.database.read() as connection:
        return answer(views.view(connection, rollout))


@router.get("/{rollout}/history", **gives(History))
def rollout_history(server: TheServer, _: Viewer, rollout: str) -> Response:
    """What was decided about a rollout, in order, with the numbers behind it."""
    with server.database.read() as connection:
        return answer(History(decisions=views.history(connection, rollout)))


@router.post("/{rollout}/{action}", **gives(RolloutView))
def act_on_rollout(server: TheServer, caller: Operator, rollout: str, action: Action) -> Response:
    """Approve, pause, resume, promote (take the stage as passed), abort, or roll back all devices."""
    now_ms = stored(server.clock())
    with server.database.begin() as connection:
        commands.act(connection, rollout, action, by=caller.actor, now_ms=now_ms)
        audit.record(connection, at_ms=now_ms, actor=caller.actor, action=f"rollout.{action}", subject=rollout)
        view = views.view(connection, rollout)
    server.wake()
    return answer(view)
