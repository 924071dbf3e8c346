"""RFC 3339 in UTC, the one form of time on wires and in JSON."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """`moment` (timezone-aware) as RFC 3339 UTC with milliseconds, such as `2026-11-22T15:56:00.000Z`."""
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no place on a wire")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """The moment that `text` names, timezone-aware in UTC. Raises ValueError when it is not RFC 3339 with a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(UTC)


def utc_now() -> datetime:
    """The machine's clock, timezone-aware. Deciding code takes the time as an argument instead."""
    return datetime.now(UTC)
