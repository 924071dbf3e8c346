"""API tokens at rest: the SHA-256 of each, with its role. They are 256 random bits, so no slow hash is needed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import IntEnum

from sqlalchemy import Connection, insert, select, update

from edgekit.errors import Conflict, NotFound, UsageFault
from fleet.store.schema import token

PREFIX = "ek_"
_MAX_NAME_CHARS = 64


class Role(IntEnum):
    """What a token may do; a higher role may do all that a lower one may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True)
class Token:
    """A stored token, without its secret."""

    id: str
    name: str
    role: Role
    created_ms: int
    revoked_ms: int | None


def role_named(name: str) -> Role:
    """The role called `viewer`, `operator` or `admin`. Raises UsageFault."""
    try:
        return Role[name.upper()]
    except KeyError:
        raise UsageFault(f"role {name[:40]!r} does not exist: use viewer, operator or admin") from None


def create(connection: Connection, *, name: str, role: Role, now_ms: int) -> tuple[Token, str]:
    """A new token and its secret, which is shown this once and stored nowhere. Raises UsageFault, Conflict."""
    if not name or len(name) > _MAX_NAME_CHARS or not name.isprintable():
        raise UsageFault(f"a token's name must have 1 to {_MAX_NAME_CHARS} printable characters")
    active = select(token.c.id).where(token.c.name == name, token.c.revoked_ms.is_(None))
    if connection.execute(active).first() is not None:
        raise Conflict(f"a token named {name!r} is active already: revoke it first or choose another name")
    secret = PREFIX + secrets.token_urlsafe(32)
    made = Token(secrets.token_hex(6), name, role, now_ms, None)
    connection.execute(
        insert(token).values(
            id=made.id, name=name, role=role.name.lower(), hash=_digest(secret), created_ms=now_ms, revoked_ms=None
        )
    )
    return made, secret


def find(connection: Connection, secret: str) -> Token | None:
    """The stored token with that secret, revoked or not."""
    digest = _digest(secret)
    row = connection.execute(select(token).where(token.c.hash == digest)).first()
    if row is None or not hmac.compare_digest(row.hash, digest):
        return None
    return Token(row.id, row.name, role_named(row.role), row.created_ms, row.revoked_ms)


def everyone(connection: Connection) -> list[Token]:
    """All tokens, oldest first."""
    rows = connection.execute(select(token).order_by(token.c.created_ms, token.c.id))
    return [Token(row.id, row.name, role_named(row.role), row.created_ms, row.revoked_ms) for row in rows]


def revoke(connection: Connection, name_or_id: str, *, now_ms: int) -> list[Token]:
    """Revoke the active token with that id or name. Raises NotFound when none is active."""
    named = (token.c.id == name_or_id) | (token.c.name == name_or_id)
    ended = [item for item in everyone(connection) if name_or_id in (item.id, item.name) and item.revoked_ms is None]
    if not ended:
        raise NotFound(f"no active token is called {name_or_id[:80]!r}: see edgekit fleet token list")
    connection.execute(update(token).where(named, token.c.revoked_ms.is_(None)).values(revoked_ms=now_ms))
    return ended


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
