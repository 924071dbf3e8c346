"""Who asks, and whether they may: bearer tokens with the roles viewer < operator < admin."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from edgekit.errors import NotAllowed
from fleet.store import tokens
from fleet.store.tokens import Role

_MAX_TOKEN_CHARS = 128


@dataclass(frozen=True)
class Identity:
    """An authenticated caller. `actor` is what the audit log calls it."""

    token_id: str
    name: str
    role: Role

    @property
    def actor(self) -> str:
        return f"token:{self.name}"


def authenticate(connection: Connection, secret: str) -> Identity:
    """The caller who holds `secret`. Raises NotAllowed: `token_missing`, `token_unknown`, `token_revoked`."""
    if not secret:
        raise NotAllowed("a token is needed: set EDGEKIT_TOKEN or log in", reason="token_missing")
    found = tokens.find(connection, secret) if len(secret) <= _MAX_TOKEN_CHARS else None
    if found is None:
        raise NotAllowed("this token is not known here: ask an admin for one", reason="token_unknown")
    if found.revoked_ms is not None:
        raise NotAllowed("this token was revoked: ask an admin for a new one", reason="token_revoked")
    return Identity(found.id, found.name, found.role)


def require(identity: Identity, minimum: Role) -> Identity:
    """`identity`, or NotAllowed (`role_too_low`) when its role is below `minimum`."""
    if identity.role < minimum:
        raise NotAllowed(
            f"this needs the role {minimum.name.lower()}, the token {identity.name!r} has {identity.role.name.lower()}",
            reason="role_too_low",
        )
    return identity


def bearer(header: str | None) -> str:
    """The secret in an Authorization header, or "" when there is none."""
    scheme, _, secret = (header or "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""
