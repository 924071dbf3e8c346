"""The audit log: one row for every change that a person or a token asked for, written in the change's transaction."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, insert

from fleet.store.schema import audit


def record(
    connection: Connection, *, at_ms: int, actor: str, action: str, subject: str, detail: dict[str, Any] | None = None
) -> None:
    """`actor` did `action` (such as `device.add`) to `subject`. `detail` must hold no secret."""
    row = {
        "at_ms": at_ms,
        "actor": actor[:128],
        "action": action,
        "subject": subject[:256],
        "detail": msgspec.json.encode(detail or {}).decode(),
    }
    connection.execute(insert(audit).values(row))
