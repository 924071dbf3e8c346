"""The offline half of the release metadata (TUF): a folder with keys, signed roles and the bundles they name.

    repo/keys/{root,targets}.pem      private; may live elsewhere (`keys` argument)
    repo/metadata/N.root.json         as TUF names them with consistent snapshots
    repo/metadata/N.targets.json      delegates one role per model name; names the server's `desired` key
    repo/metadata/N.{model}.json      the releases of one model
    repo/bundles/{sha256}.edgekit     what `push` uploads

Every step is safe to repeat and to interrupt: files are written whole, a role's new version before the role that
points at it, and a step that finds its work done does nothing. Snapshot and timestamp are the server's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, TargetFile, Targets
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from edgekit import bundle as bundles
from edgekit import messages
from edgekit.chunks import index_of
from edgekit.errors import Conflict, NotFound, TrustError
from edgekit.files import make_folder, read_bounded, write_atomic
from edgekit.names import check_model_name
from edgekit.trust import DESIRED_KEY_TARGET, ReleaseCustom, keys, parse_custom, target_path

ROOT_DAYS = 730
TARGETS_DAYS = 365
MAX_METADATA_BYTES = 4 << 20
_SERIALIZER = JSONSerializer(compact=False)


@dataclass(frozen=True)
class Release:
    """One signed release, as listed. `added` tells whether this call added it."""

    model: str
    version: str
    sha256: str
    bytes: int
    counter: int
    min_counter: int
    added: bool = False


class Repository:
    """A release repository in `folder`; private keys in `keys_folder` (default: `folder/keys`)."""

    def __init__(self, folder: Path, keys_folder: Path | None = None, passphrase: bytes | None = None) -> None:
        self._folder = folder
        self._keys = keys_folder or folder / "keys"
        self._passphrase = passphrase

    # ---- reading ------------------------------------------------------------------------------------------

    def latest(self, role: str) -> tuple[int, bytes] | None:
        """Version and bytes of the newest metadata of `role`, or None."""
        versions = [
            int(path.name.partition(".")[0])
            for path in (self._folder / "metadata").glob(f"*.{role}.json")
            if path.name.partition(".")[0].isdigit() and path.name == f"{path.name.partition('.')[0]}.{role}.json"
        ]
        if not versions:
            return None
        version = max(versions)
        return version, read_bounded(self._folder / "metadata" / f"{version}.{role}.json", MAX_METADATA_BYTES)

    def releases(self) -> list[Release]:
        """Every signed release, by model and counter. Raises TrustError, NotFound."""
        targets = self._load("targets").signed
        assert isinstance(targets, Targets)
        roles = [] if targets.delegations is None else sorted(targets.delegations.roles or {})
        return [release for role in roles for release in self._releases_of(role)]

    def metadata_files(self) -> dict[str, bytes]:
        """What a push sends: every root version, the newest targets and the newest delegated roles, by file name."""
        self._load("targets")
        folder = self._folder / "metadata"
        roots = {path.name: read_bounded(path, MAX_METADATA_BYTES) for path in sorted(folder.glob("*.root.json"))}
        newest = {}
        for role in ("targets", *self.models()):
            found = self.latest(role)
            if found is not None:
                newest[f"{found[0]}.{role}.json"] = found[1]
        return roots | newest

    def models(self) -> list[str]:
        """Names of the models that have a delegated role."""
        targets = self._load("targets").signed
        assert isinstance(targets, Targets)
        return [] if targets.delegations is None else sorted(targets.delegations.roles or {})

    def bundle_path(self, sha256: str) -> Path:
        """Where the repository keeps that bundle."""
        return self._folder / "bundles" / f"{sha256}{bundles.SUFFIX}"

    # ---- changing -----------------------------------------------------------------------------------------

    def init(self, server_keys: Mapping[str, Key], now: datetime) -> bool:
        """Make keys, root and targets. True when something was made, False when all was there for these server keys.

        Raises Conflict when the repository was made for other server keys.
        """
        for name in ("metadata", "bundles"):
            make_folder(self._folder / name)
        make_folder(self._keys, mode=0o700)
        signers = {role: self._key(role, create=True) for role in ("root", "targets")}
        made_root = self._ensure_root(signers, server_keys, now)
        return self._ensure_targets(signers["targets"], server_keys["desired"], now) or made_root

    def add(self, path: Path, now: datetime, *, min_counter: int | None = None) -> Release:
        """Sign the bundle at `path` as a release. Adding the same bundle again changes nothing.

        Raises BundleError, Conflict (another bundle has this version), NotFound (no repository), TrustError.
        """
        self._load("targets")
        bundle = bundles.load(path)
        name, version = bundle.manifest.name, bundle.manifest.version
        check_model_name(name)
        present = self._releases_of(name)
        for release in present:
            if release.version == version:
                same = _same_or_conflict(release, bundle.sha256)
                self._ensure_delegation(name, now)  # an earlier add may have been cut before it
                return same
        counter = max((release.counter for release in present), default=0) + 1
        floor = max((release.min_counter for release in present), default=0)
        chosen = floor if min_counter is None else min_counter
        if not floor <= chosen <= counter:
            raise Conflict(
                f"min-counter {chosen} must lie between {floor} (already signed) and {counter} (this release)"
            )
        self._key("targets")  # a key that cannot be opened is found out before anything is written
        content = read_bounded(path, bundles.MAX_BUNDLE_BYTES)
        write_atomic(self.bundle_path(bundle.sha256), content)
        custom = _custom(bundle, content, counter, chosen)
        self._sign_release(name, target_path(name, version), bundle, custom, now)
        return Release(name, version, bundle.sha256, bundle.bytes, counter, chosen, added=True)

    # ---- inside -------------------------------------------------------------------------------------------

    def _key(self, role: str, *, create: bool = False) -> Signer:
        path = self._keys / f"{role}.pem"
        if create and not path.exists():
            return keys.create(path, self._passphrase)
        return keys.load(path, self._passphrase)

    def _load(self, role: str) -> Metadata[Any]:
        found = self.latest(role)
        if found is None:
            raise NotFound(
                f"{self._folder} is not a release repository: make one with edgekit release init --server-keys FILE"
            )
        try:
            return Metadata[Any].from_bytes(found[1])
        except (DeserializationError, RepositoryError) as error:
            raise TrustError(f"metadata of {role} in {self._folder} is damaged: restore it from a copy") from error

    def _store(self, metadata: Metadata[Any], role: str) -> None:
        name = f"{metadata.signed.version}.{role}.json"
        write_atomic(self._folder / "metadata" / name, metadata.to_bytes(_SERIALIZER))

    def _ensure_root(self, signers: dict[str, Signer], server_keys: Mapping[str, Key], now: datetime) -> bool:
        wanted = {role: signer.public_key for role, signer in signers.items()}
        wanted |= {role: server_keys[role] for role in ("snapshot", "timestamp")}
        if self.latest("root") is not None:
            root = self._load("root").signed
            assert isinstance(root, Root)
            if any(root.roles[role].keyids != [key.keyid] for role, key in wanted.items()):
                raise Conflict(f"{self._folder} was made for other keys: use a new folder for another server")
            return False
        root = Root(version=1, expires=_expiry(now, ROOT_DAYS), consistent_snapshot=True)
        for role, key in wanted.items():
            root.add_key(key, role)
        metadata = Metadata(root)
        metadata.sign(signers["root"])
        self._store(metadata, "root")
        return True

    def _ensure_targets(self, signer: Signer, desired: Key, now: datetime) -> bool:
        if self.latest("targets") is not None:
            targets = self._load("targets").signed
            assert isinstance(targets, Targets)
            known = targets.targets[DESIRED_KEY_TARGET].custom or {}
            if [key["keyid"] for key in known["keys"]] != [desired.keyid]:
                raise Conflict(f"{self._folder} names another desired key: use a new folder for another server")
            return False
        targets = Targets(version=1, expires=_expiry(now, TARGETS_DAYS))
        targets.targets[DESIRED_KEY_TARGET] = _desired_target([desired])
        metadata = Metadata(targets)
        metadata.sign(signer)
        self._store(metadata, "targets")
        return True

    def _releases_of(self, model: str) -> list[Release]:
        if self.latest(model) is None:
            return []
        role = self._load(model).signed
        assert isinstance(role, Targets)
        return sorted(_listed(role), key=lambda release: release.counter)

    def _sign_release(
        self, model: str, target: str, bundle: bundles.Bundle, custom: ReleaseCustom, now: datetime
    ) -> None:
        signer = self._key("targets")
        found = self.latest(model)
        metadata = Metadata(Targets(version=1)) if found is None else self._load(model)
        role = metadata.signed
        assert isinstance(role, Targets)
        fields = msgspec.to_builtins(custom)
        role.targets[target] = TargetFile(bundle.bytes, {"sha256": bundle.sha256}, target, {"custom": fields})
        role.version = 1 if found is None else found[0] + 1
        role.expires = _expiry(now, TARGETS_DAYS)
        metadata.sign(signer)
        self._store(metadata, model)
        self._ensure_delegation(model, now)

    def _ensure_delegation(self, model: str, now: datetime) -> None:
        metadata = self._load("targets")
        targets = metadata.signed
        assert isinstance(targets, Targets)
        delegations = targets.delegations or Delegations(keys={}, roles={})
        roles = delegations.roles or {}
        if model in roles:
            return
        signer = self._key("targets")
        key = signer.public_key
        delegations.keys[key.keyid] = key
        roles[model] = DelegatedRole(model, [key.keyid], threshold=1, terminating=True, paths=[f"{model}/*"])
        delegations.roles = roles
        targets.delegations = delegations
        targets.version += 1
        targets.expires = _expiry(now, TARGETS_DAYS)
        metadata.sign(signer)
        self._store(metadata, "targets")


def _expiry(now: datetime, days: int) -> datetime:
    return (now + timedelta(days=days)).replace(microsecond=0)


def _same_or_conflict(release: Release, sha256: str) -> Release:
    if release.sha256 != sha256:
        raise Conflict(
            f"{release.model} {release.version} is signed already with other content: give this bundle a new version",
            reason="version_taken",
        )
    return release


def _custom(bundle: bundles.Bundle, content: bytes, counter: int, min_counter: int) -> ReleaseCustom:
    index = messages.encode(index_of(content))
    return ReleaseCustom(
        model=bundle.manifest.name,
        version=bundle.manifest.version,
        counter=counter,
        min_counter=min_counter,
        hardware=sorted(bundle.manifest.requires.arch),
        expanded_sha256=bundle.manifest.file("model").expanded_sha256,
        index_sha256=hashlib.sha256(index).hexdigest(),
    )


def _listed(role: Targets) -> Iterator[Release]:
    for target in role.targets.values():
        custom = parse_custom(target.custom)
        yield Release(
            custom.model, custom.version, target.hashes["sha256"], target.length, custom.counter, custom.min_counter
        )


def _desired_target(desired: list[Key]) -> TargetFile:
    documents = [keys.public_document(key) for key in desired]
    content = msgspec.json.encode(documents, order="sorted")
    target = TargetFile.from_data(DESIRED_KEY_TARGET, content, ["sha256"])
    target.unrecognized_fields["custom"] = {"keys": documents}
    return target
