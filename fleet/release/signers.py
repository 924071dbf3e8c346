"""The server's own private keys: `snapshot`, `timestamp` (release metadata) and `desired` (device documents)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import Key, Signer

from edgekit.errors import TrustError
from edgekit.files import make_folder
from edgekit.trust import keys
from edgekit.trust.keys import SERVER_ROLES


@dataclass(frozen=True)
class Signers:
    """The three signers."""

    snapshot: Signer
    timestamp: Signer
    desired: Signer

    def public(self) -> dict[str, Key]:
        """Their public halves by role."""
        return {role: getattr(self, role).public_key for role in SERVER_ROLES}


def init(folder: Path) -> tuple[Signers, list[str]]:
    """The keys in `folder`, made where they are missing, and the roles made now. Safe to repeat and to interrupt."""
    make_folder(folder, mode=0o700)
    made = [role for role in SERVER_ROLES if not (folder / f"{role}.pem").exists()]
    for role in made:
        keys.create(folder / f"{role}.pem", None)
    return load(folder), made


def load(folder: Path) -> Signers:
    """The keys in `folder`. Raises TrustError when one is missing or unreadable."""
    if not (folder / "desired.pem").exists():
        raise TrustError(
            f"the server has no keys in {folder}: make them with edgekit fleet keys init", reason="key_unreadable"
        )
    return Signers(*(keys.load(folder / f"{role}.pem", None) for role in ("snapshot", "timestamp", "desired")))
