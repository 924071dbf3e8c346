"""Plain text for people: aligned columns, ages. Devices may have sent anything, so only printable text is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime


def table(head: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> str:
    """Left-aligned columns under `head`, or `empty` when there are no rows."""
    lines = [[printable(cell) for cell in row] for row in rows]
    if not lines:
        return empty
    widths = [max(len(line[at]) for line in [list(head), *lines]) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [list(head), *lines]
    )


def printable(value: object) -> str:
    """`value` on one line, without control characters: a terminal would obey them."""
    text = "-" if value is None else str(value)
    return "".join(character if character.isprintable() else "?" for character in text)


def age(moment: str | None) -> str:
    """How long ago an RFC 3339 moment was, such as `3 min ago`."""
    if moment is None:
        return "never"
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds / 86_400:.0f} days ago"
