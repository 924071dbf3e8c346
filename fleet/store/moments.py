"""Times at rest are milliseconds; times shown are RFC 3339. This is the bridge."""

from __future__ import annotations

from datetime import UTC, datetime

from edgekit.times import rfc3339


def shown(ms: int) -> str:
    """`ms` since 1970 as RFC 3339 UTC."""
    return rfc3339(datetime.fromtimestamp(ms / 1000, UTC))


def shown_or_none(ms: int | None) -> str | None:
    """The same, where there may be no time."""
    return None if ms is None else shown(ms)


def stored(moment: datetime) -> int:
    """`moment` as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)
