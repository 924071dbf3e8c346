"""What the templates show, worked out from the API's structs. Pure: no database, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fleet.rollout.states import BAD, GOOD, NEUTRAL, UNDER_WAY
from fleet.rollout.views import RolloutSummary, StageView
from fleet.store.overview import Totals

SHOWN_ROLLOUTS = 6
_ENDED_BADLY = ("aborting", "aborted", "rolling_back", "rolled_back", "failed")


@dataclass(frozen=True)
class Tile:
    """One number of the header. `tone`: good, bad, or plain."""

    label: str
    value: str
    note: str
    tone: str


@dataclass(frozen=True)
class Segment:
    """A part of a progress bar, in per cent of its width."""

    tone: str
    start: float
    width: float


@dataclass(frozen=True)
class StageBar:
    """A stage: how far it is, and in words what the bar shows in colours."""

    number: int
    state: str
    verdict: str
    done: int
    devices: int
    percent: int
    segments: list[Segment]
    legend: str


@dataclass(frozen=True)
class RolloutCard:
    """A rollout as a card."""

    id: str
    model: str
    version: str
    state: str
    reason: str | None
    tone: str
    created: str
    stages: list[StageBar]


def tiles(totals: Totals) -> list[Tile]:
    """The header's numbers."""
    devices = totals.devices
    offline = devices.total - devices.online
    asked = sum(line.ok + line.client_error + line.server_error for line in totals.traffic)
    errors = sum(line.server_error for line in totals.traffic)
    active = sum(totals.rollouts.get(state, 0) for state in ("running", "paused", "rolling_back", "aborting"))
    return [
        Tile("Devices", count(devices.total), f"{count(devices.retired)} retired" if devices.retired else "", "plain"),
        Tile("Online", count(devices.online), f"{count(offline)} offline", "plain"),
        Tile("Rollouts under way", count(active), "", "plain"),
        Tile("Requests", count(asked), f"{count(errors)} server errors", "bad" if errors else "plain"),
        Tile(
            "Reports",
            count(totals.reports),
            f"{count(totals.set_aside)} unreadable" if totals.set_aside else "",
            "bad" if totals.set_aside else "plain",
        ),
    ]


def rollout(item: RolloutSummary) -> RolloutCard:
    """One rollout."""
    tone = "bad" if item.state in _ENDED_BADLY else {"completed": "good", "running": "busy"}.get(item.state, "plain")
    return RolloutCard(
        id=item.id,
        model=item.model,
        version=item.version,
        state=item.state,
        reason=item.reason,
        tone=tone,
        created=item.created,
        stages=[_stage(stage) for stage in item.stages],
    )


def _stage(stage: StageView) -> StageBar:
    parts = [
        ("good", _sum(stage, GOOD)),
        ("bad", _sum(stage, BAD)),
        ("busy", _sum(stage, UNDER_WAY | {"offered"})),
        ("plain", _sum(stage, NEUTRAL)),
    ]
    segments, start = [], 0.0
    for tone, number in parts:
        width = 100 * number / stage.devices if stage.devices else 0.0
        if number:
            segments.append(Segment(tone, round(start, 2), round(width, 2)))
        start += width
    done = _sum(stage, GOOD)
    return StageBar(
        number=stage.number,
        state=stage.state,
        verdict="" if stage.verdict is None else f"{stage.verdict.outcome}: {words(stage.verdict.reason)}",
        done=done,
        devices=stage.devices,
        percent=round(100 * done / stage.devices) if stage.devices else 0,
        segments=segments,
        legend=", ".join(f"{number} {words(state)}" for state, number in sorted(stage.counts.items())),
    )


def _sum(stage: StageView, states: frozenset[str]) -> int:
    return sum(number for state, number in stage.counts.items() if state in states)


def age(moment: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 moment was."""
    if moment is None:
        return "never"
    seconds = max(0.0, (now - datetime.fromisoformat(moment)).total_seconds())
    for limit, unit_s, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit_s:.0f} {unit} ago"
    return f"{seconds / 86_400:.0f} days ago"


def size(number: int) -> str:
    """Bytes as MB or GB."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def count(number: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def words(state: str) -> str:
    """A state or reason word as people write it."""
    return state.replace("_", " ")
