"""A rollout's progress as text: one line while watching, a page when asked."""

from __future__ import annotations

from typing import Any

from fleet.commands.tables import printable, table

_GOOD = ("succeeded", "already_installed")
_BAD = ("failed", "rejected", "rolled_back", "lost")
_BAR_CHARS = 20
_SHOWN_DEVICES = 40


def progress_line(view: dict[str, Any]) -> str:
    """The present stage on one line: a bar, counts by state, the verdict."""
    stage = view["stages"][view["stage"] - 1]
    good, total = _sum(stage["counts"], _GOOD), stage["devices"]
    filled = round(_BAR_CHARS * good / total) if total else 0
    bar = "#" * filled + "." * (_BAR_CHARS - filled)
    where = f"stage {view['stage']}/{len(view['stages'])} {stage['state']:11}"
    return f"{view['state']:12} {where} [{bar}] {good}/{total} {_counts(stage['counts'])}{_verdict(stage)}".rstrip()


def describe(view: dict[str, Any]) -> str:
    """The rollout with its stages and its devices, those that ended badly first."""
    because = f" ({printable(view['reason'])})" if view["reason"] else ""
    stages = [
        (stage["number"], stage["state"], stage["devices"], _counts(stage["counts"]) or "-", _verdict(stage).strip())
        for stage in view["stages"]
    ]
    devices = [
        (item["device"], item["stage"], item["state"], item["reason"], item["previous_version"])
        for item in view["devices"][:_SHOWN_DEVICES]
    ]
    hidden = view["devices_total"] - len(devices)
    parts = [
        f"{view['id']}: {view['model']} {view['version']} is {view['state']}{because}",
        table(("stage", "state", "devices", "by state", "verdict"), stages, ""),
        table(("device", "stage", "state", "reason", "before"), devices, "no devices"),
    ]
    return "\n\n".join(parts) + (f"\n… and {hidden} more (--json shows them)" if hidden > 0 else "")


def _sum(counts: dict[str, int], states: tuple[str, ...]) -> int:
    return sum(counts.get(state, 0) for state in states)


def _counts(counts: dict[str, int]) -> str:
    bad_last = sorted(counts, key=lambda state: (state in _BAD, state))
    return ", ".join(f"{counts[state]} {state}" for state in bad_last)


def _verdict(stage: dict[str, Any]) -> str:
    verdict = stage["verdict"]
    return "" if verdict is None else f" -> {verdict['outcome']}: {verdict['reason']}"
