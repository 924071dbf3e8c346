"""Making bundles and expanding their entries: the half of the container that needs the wire form.

Packing is a pure function of the manifest and the expanded entries: equal input gives equal bytes (for one zstd
version, which the manifest records).
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgekit import manifest as manifests
from edgekit.bundle import MANIFEST_PATH, Bundle, parse
from edgekit.errors import BundleError
from edgekit.files import write_atomic
from edgekit.manifest import File, FileRole, Manifest

_EPOCH = (1980, 1, 1, 0, 0, 0)
_PATHS: dict[FileRole, str] = {
    "model": "model.wire",
    "golden": "golden.json.zst",
    "reference": "reference.json.zst",
}
EXPANDED_NAMES: dict[FileRole, str] = {
    "model": "model.onnx",
    "golden": "golden.json",
    "reference": "reference.json",
}


def expand(bundle: Bundle, role: FileRole) -> bytes:
    """The expanded entry, checked against its digest. Raises BundleError."""
    line = bundle.manifest.file(role)
    return expand_entry(line, bundle.entries[line.path])


def pack_entry(role: FileRole, content: bytes) -> tuple[File, bytes]:
    """Encode one entry: its manifest line and its stored bytes."""
    from edgekit import wire

    encoding, stored = wire.compress(content)
    line = File(
        path=_PATHS[role],
        role=role,
        encoding=encoding,
        bytes=len(stored),
        sha256=hashlib.sha256(stored).hexdigest(),
        expanded_bytes=len(content),
        expanded_sha256=hashlib.sha256(content).hexdigest(),
    )
    return line, stored


def expand_entry(line: File, stored: bytes) -> bytes:
    """Expand one stored entry and check its digest. Raises BundleError."""
    from edgekit import wire

    content = wire.expand(stored, line.encoding, line.expanded_bytes)
    if hashlib.sha256(content).hexdigest() != line.expanded_sha256:
        raise BundleError(f"{line.path} does not expand to what the manifest says", reason="digest_mismatch")
    return content


def build(
    manifest: Manifest, contents: Mapping[FileRole, bytes], ready: Mapping[FileRole, tuple[File, bytes]] | None = None
) -> bytes:
    """The bytes of a bundle. `manifest.files` is filled in here from `contents` (one entry a role, expanded bytes);
    entries in `ready` were packed before by `pack_entry` and are taken as they are.
    """
    known = ready or {}
    packed = [known.get(role) or pack_entry(role, contents[role]) for role in sorted(contents)]
    complete = msgspec.structs.replace(manifest, files=[line for line, _ in packed])
    head = manifests.encode(complete)
    manifests.decode(head)
    entries = {MANIFEST_PATH: head} | {line.path: stored for line, stored in packed}
    return _zip(entries)


def _zip(entries: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(entries):
            line = zipfile.ZipInfo(path, _EPOCH)
            line.create_system = 3
            line.external_attr = 0o644 << 16
            archive.writestr(line, entries[path])
    return out.getvalue()


def save(path: Path, content: bytes) -> None:
    """Write the bundle durably, after reading it back from memory as any reader would."""
    parse(content)
    write_atomic(path, content)
