"""Judges pushed release metadata against what is trusted already. Pure: bytes and the time go in, a verdict comes out.

It accepts a chain of roots from the trusted one on (the first root only when its snapshot and timestamp keys are this
server's own), targets signed as the newest root demands, and delegated roles signed as those targets demand, each by
its threshold. No version may go back, and a version that is known must have the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from securesystemslib.signer import Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Metadata, Root, Signed, TargetFile, Targets
from tuf.api.serialization import DeserializationError

from edgekit.bundle import MAX_BUNDLE_BYTES
from edgekit.errors import Conflict, TrustError
from edgekit.names import ID_PATTERN, is_id, is_sha256, is_version
from edgekit.trust import DESIRED_KEY_TARGET, ReleaseCustom, parse_custom, target_path
from edgekit.trust.releases import MAX_METADATA_BYTES

MAX_FILES = 2048
_NAME = re.compile(rf"([1-9][0-9]{{0,9}})\.({ID_PATTERN})\.json")
_TOP_LEVEL = frozenset({"root", "targets", "snapshot", "timestamp"})
_Role = TypeVar("_Role", bound=Signed)


@dataclass(frozen=True)
class File:
    """One metadata file: `{version}.{role}.json`."""

    role: str
    version: int
    content: bytes

    @property
    def name(self) -> str:
        return f"{self.version}.{self.role}.json"


@dataclass(frozen=True)
class SignedRelease:
    """A release as the metadata names it."""

    custom: ReleaseCustom
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Verified:
    """What may be trusted from now on. `new`: files to store. `versions`: of targets and of every delegated role."""

    root: int
    new: tuple[File, ...]
    versions: Mapping[str, int]
    releases: tuple[SignedRelease, ...]


@dataclass(frozen=True)
class Trusted:
    """What was accepted before: every root by version, and the newest targets and delegated roles by name."""

    roots: Mapping[int, bytes]
    roles: Mapping[str, File]


def parse_names(files: Mapping[str, bytes]) -> list[File]:
    """The pushed files by role and version. Raises TrustError for a name or size that cannot be."""
    if len(files) > MAX_FILES:
        raise TrustError(f"a push has at most {MAX_FILES} metadata files", reason="metadata_malformed")
    parsed = []
    for name, content in files.items():
        match = _NAME.fullmatch(name)
        if match is None or match[2] in ("snapshot", "timestamp"):
            raise TrustError(f"{name[:80]!r} is not a pushed metadata file", reason="metadata_malformed")
        if len(content) > MAX_METADATA_BYTES:
            raise TrustError(f"{name} is over {MAX_METADATA_BYTES >> 20} MiB", reason="metadata_malformed")
        parsed.append(File(match[2], int(match[1]), content))
    return sorted(parsed, key=lambda file: (file.role, file.version))


def verify(files: list[File], trusted: Trusted, own: Mapping[str, Key], now: datetime) -> Verified:
    """The verdict on a push.

    Raises TrustError (malformed, unsigned, expired) and Conflict (foreign, going back, contradicting what is stored).
    """
    root, new_roots = _walk_roots([file for file in files if file.role == "root"], trusted.roots, own)
    _fresh(root, "root", now)
    current = _newest([file for file in files if file.role != "root"], trusted.roles)
    if "targets" not in current:
        raise TrustError("targets metadata is missing: push with edgekit release push", reason="metadata_malformed")
    targets = _delegate(current["targets"], Targets, root, now)
    _check_desired_key(targets, own["desired"])
    releases, kept = [], {"targets": current["targets"]}
    for delegated in _delegations(targets):
        file = current.get(delegated.name)
        if file is None:
            raise TrustError(f"metadata of {delegated.name} is missing from the push", reason="metadata_malformed")
        role = _delegate(file, Targets, targets, now)
        releases += _releases(role, delegated)
        kept[file.role] = file
    _check_nothing_else(current, kept, trusted)
    new = new_roots + [file for name, file in kept.items() if trusted.roles.get(name) != file]
    versions = {name: file.version for name, file in kept.items()}
    return Verified(root.version, tuple(new), versions, tuple(releases))


# ---- roots ----------------------------------------------------------------------------------------------------


def _walk_roots(pushed: list[File], known: Mapping[int, bytes], own: Mapping[str, Key]) -> tuple[Root, list[File]]:
    for file in pushed:
        if file.version in known and known[file.version] != file.content:
            raise Conflict(
                "this server already follows another release repository: push from that one, or use a new server",
                reason="foreign_root",
            )
    chain = [File("root", version, content) for version, content in sorted(known.items())]
    new = [file for file in pushed if file.version not in known]
    if not known and (not new or new[0].version != 1):
        raise TrustError("the first push must bring 1.root.json", reason="root_chain")
    root: Root | None = None
    for file in chain[-1:] + new:
        root = _next_root(file, root)
        if not known and file.version == 1:
            _check_own_keys(root, own)
    assert root is not None
    _check_own_keys(root, own)
    return root, new


def _next_root(file: File, before: Root | None) -> Root:
    metadata, root = _parse(file, Root)
    if before is not None and root.version != before.version + 1:
        raise TrustError(f"{file.name} does not follow root {before.version}", reason="root_chain")
    for delegator in (root,) if before is None else (before, root):
        _check_signatures(delegator, "root", metadata, file)
    if not root.consistent_snapshot:
        raise TrustError(f"{file.name} does not use consistent snapshots", reason="metadata_malformed")
    return root


def _check_own_keys(root: Root, own: Mapping[str, Key]) -> None:
    for role in ("snapshot", "timestamp"):
        named = root.roles[role]
        keys = [root.keys[keyid].keyval for keyid in named.keyids if keyid == own[role].keyid and keyid in root.keys]
        if named.threshold != 1 or keys != [own[role].keyval]:
            raise Conflict(
                f"root {root.version} does not name this server's {role} key: make the repository with "
                "edgekit release init --server-keys FILE, the file that edgekit fleet keys init wrote here",
                reason="foreign_root",
            )


# ---- targets and delegated roles ------------------------------------------------------------------------------


def _newest(pushed: list[File], known: Mapping[str, File]) -> dict[str, File]:
    current = dict(known)
    for file in pushed:
        before = current.get(file.role)
        if before is not None and file.version < before.version:
            raise Conflict(
                f"{file.name} goes back: version {before.version} is stored already; push the newest metadata",
                reason="version_went_back",
            )
        if before is not None and file.version == before.version and file.content != before.content:
            raise Conflict(
                f"{file.name} differs from the one stored here: two people signed the same version; sign a new one",
                reason="version_taken",
            )
        current[file.role] = file
    return current


def _delegations(targets: Targets) -> list[DelegatedRole]:
    if targets.delegations is None:
        return []
    if targets.delegations.roles is None:
        raise TrustError("targets delegates to hash bins: one role per model is expected", reason="metadata_malformed")
    for role in targets.delegations.roles.values():
        if not is_id(role.name) or role.name in _TOP_LEVEL or role.paths != [f"{role.name}/*"]:
            raise TrustError(f"the delegated role {role.name[:80]!r} is not a model's", reason="metadata_malformed")
    return list(targets.delegations.roles.values())


def _releases(role: Targets, delegated: DelegatedRole) -> list[SignedRelease]:
    found = [_release(path, target, delegated.name) for path, target in sorted(role.targets.items())]
    counters = [release.custom.counter for release in found]
    if len(counters) != len(set(counters)):
        raise TrustError(f"two releases of {delegated.name} share a counter", reason="metadata_malformed")
    return found


def _release(path: str, target: TargetFile, model: str) -> SignedRelease:
    custom = parse_custom(target.custom)
    sha256 = target.hashes.get("sha256", "")
    sane = custom.model == model and is_version(custom.version) and path == target_path(model, custom.version)
    if not sane or not is_sha256(sha256) or not 0 < target.length <= MAX_BUNDLE_BYTES:
        raise TrustError(f"the signed release {path[:120]!r} contradicts itself", reason="metadata_malformed")
    return SignedRelease(custom, sha256, target.length)


def _check_desired_key(targets: Targets, own: Key) -> None:
    target = targets.targets.get(DESIRED_KEY_TARGET)
    named = target.custom.get("keys") if target is not None and isinstance(target.custom, dict) else None
    if not isinstance(named, list) or not any(
        isinstance(key, dict) and key.get("keyval") == own.keyval for key in named
    ):
        raise Conflict(
            "the signed targets do not name this server's desired key: no device would follow it; "
            "make the repository with the key file of this server",
            reason="foreign_desired_key",
        )


def _check_nothing_else(current: Mapping[str, File], kept: Mapping[str, File], trusted: Trusted) -> None:
    extra = sorted(set(current) - set(kept))
    if not extra:
        return
    if extra[0] in trusted.roles:
        # A snapshot that stops naming a role is refused by every device (TUF specification, 5.5.5).
        raise Conflict(f"targets no longer delegates to {extra[0]}: a model's role cannot be removed")
    raise TrustError(f"targets does not delegate to {extra[0]}", reason="metadata_malformed")


# ---- one file -------------------------------------------------------------------------------------------------


def _delegate(file: File, kind: type[_Role], delegator: Root | Targets, now: datetime) -> _Role:
    metadata, signed = _parse(file, kind)
    _check_signatures(delegator, file.role, metadata, file)
    _fresh(signed, file.role, now)
    return signed


def _parse(file: File, kind: type[_Role]) -> tuple[Metadata[Any], _Role]:
    try:
        metadata = Metadata[Any].from_bytes(file.content)
    except (DeserializationError, RepositoryError, ValueError, RecursionError) as error:
        raise TrustError(f"{file.name} is not readable metadata", reason="metadata_malformed") from error
    if not isinstance(metadata.signed, kind) or metadata.signed.version != file.version:
        raise TrustError(f"{file.name} holds another role or version", reason="metadata_malformed")
    return metadata, metadata.signed


def _check_signatures(delegator: Root | Targets, role: str, metadata: Metadata[Any], file: File) -> None:
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise TrustError(
            f"{file.name} lacks the signatures that it needs ({error})", reason="signature_missing"
        ) from error


def _fresh(signed: Signed, role: str, now: datetime) -> None:
    if signed.is_expired(now):
        raise TrustError(f"metadata of {role} has expired: sign it anew", reason="metadata_expired")
