"""Transitions of updates, at rest; and how they move the devices of their rollouts forward, never back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Table, Update, select, tuple_, update
from sqlalchemy import bindparam as _param

from edgekit.messages import Event
from fleet.rollout.states import ACTIVATED, moves_forward
from fleet.store import schema
from fleet.store.reports import clean
from fleet.store.statements import in_pieces, insert

_MAX_TEXT_CHARS = 1000


def store_events(connection: Connection, events: Sequence[Event], *, now_ms: int) -> None:
    """Keep events, and move the devices of their rollouts forward."""
    if not events:
        return
    rows = [
        {
            "device": item.device,
            "time": item.time,
            "received_ms": now_ms,
            "model": item.model,
            "version": item.version,
            "sha256": item.sha256,
            "rollout": item.rollout,
            "state": item.state,
            "reason": _text(item.reason),
            "detail": _text(item.detail),
        }
        for item in events
    ]
    connection.execute(insert(connection, schema.event), rows)
    _move_devices(connection, events, now_ms)


def _move_devices(connection: Connection, events: Sequence[Event], now_ms: int) -> None:
    table, rollout = schema.rollout_device, schema.rollout
    told: dict[tuple[str, str], list[Event]] = {}
    for item in events:
        told.setdefault((item.rollout, item.device), []).append(item)
    for piece in in_pieces(sorted(told)):
        rows = connection.execute(
            select(table.c.rollout, table.c.device, table.c.state, table.c.activated_ms, rollout.c.sha256)
            .join(rollout, rollout.c.id == table.c.rollout)
            .where(tuple_(table.c.rollout, table.c.device).in_(piece))
            .order_by(table.c.rollout, table.c.device)
            .with_for_update(of=table)
        )
        moved = []
        for row in rows:
            ours = [item for item in told[row.rollout, row.device] if item.sha256 == row.sha256]
            last = _furthest(row.state, ours)
            activated = any(item.state in ACTIVATED for item in ours)
            if last is not None:
                since = now_ms if activated and row.activated_ms is None else row.activated_ms
                moved.append(
                    {"r": row.rollout, "d": row.device, "s": last.state, "why": _text(last.reason), "act": since}
                )
        if moved:
            connection.execute(_move_statement(table, now_ms), moved)


def _furthest(state: str, events: Iterable[Event]) -> Event | None:
    """The event that brings a device furthest, None when none moves it."""
    furthest = None
    for item in events:
        if moves_forward(state, item.state):
            state, furthest = item.state, item
    return furthest


def _move_statement(table: Table, now_ms: int) -> Update:
    return (
        update(table)
        .where(table.c.rollout == _param("r"), table.c.device == _param("d"))
        .values(state=_param("s"), reason=_param("why"), activated_ms=_param("act"), changed_ms=now_ms)
    )


def _text(text: str | None) -> str | None:
    return None if text is None else clean(text)[:_MAX_TEXT_CHARS]
