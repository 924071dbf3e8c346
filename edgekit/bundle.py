"""The `.edgekit` container: a zip with stored, sorted, undated entries, and nothing that the manifest does not name.

Reading trusts nothing: entry count, names, sizes and digests are bounded and checked before a byte is used, and
nothing is written to disk. `edgekit.packing` makes bundles and expands their entries; this half needs no codec, so the
server can check a bundle without being able to open a model.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit import manifest as manifests
from edgekit.errors import BundleError
from edgekit.manifest import Manifest

SUFFIX = ".edgekit"
MANIFEST_PATH = "manifest.json"
MAX_BUNDLE_BYTES = 256 << 20
ENTRY_COUNT = 4


@dataclass(frozen=True)
class Bundle:
    """An opened bundle whose every stored entry matched the manifest.

    `sha256` is the digest of the whole file, the identity that releases sign. `manifest_bytes` are as stored.
    """

    manifest: Manifest
    manifest_bytes: bytes
    entries: Mapping[str, bytes]
    sha256: str
    bytes: int


def load(path: Path) -> Bundle:
    """Open a bundle file. Raises BundleError saying what is wrong with it, NotFound-like faults included."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        raise BundleError(
            f"bundle {path} cannot be read ({error.strerror}): check the path and its permissions",
            reason="bundle_unreadable",
        ) from error
    try:
        return parse(content)
    except BundleError as error:
        raise BundleError(f"{path}: {error.message}", reason=error.reason) from error


def parse(content: bytes) -> Bundle:
    """Open a bundle from memory, checking every stored entry. Raises BundleError."""
    if len(content) > MAX_BUNDLE_BYTES:
        raise BundleError(f"larger than {MAX_BUNDLE_BYTES >> 20} MiB: refused", reason="too_large")
    entries = _read_entries(content)
    head = entries.pop(MANIFEST_PATH, None)
    if head is None:
        raise BundleError("not an edgekit bundle: manifest.json is missing", reason="manifest_missing")
    manifest = manifests.decode(head)
    _check_entries(manifest, entries)
    return Bundle(manifest, head, entries, hashlib.sha256(content).hexdigest(), len(content))


def _read_entries(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            lines = archive.infolist()
            if len(lines) != ENTRY_COUNT or len({line.filename for line in lines}) != len(lines):
                raise BundleError("it does not hold exactly the four entries of a bundle", reason="entries_wrong")
            if any(line.compress_type != zipfile.ZIP_STORED or line.flag_bits & 1 for line in lines):
                raise BundleError("its entries must be stored and unencrypted", reason="entries_wrong")
            if sum(line.file_size for line in lines) > len(content):
                raise BundleError("its entries overlap", reason="entries_wrong")
            return {line.filename: archive.read(line) for line in lines}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OSError, RuntimeError) as error:
        raise BundleError(
            f"truncated or not an edgekit bundle ({error}): fetch or build it again", reason="bundle_damaged"
        ) from error


def _check_entries(manifest: Manifest, entries: Mapping[str, bytes]) -> None:
    if set(entries) != {line.path for line in manifest.files}:
        raise BundleError("its entries are not those that the manifest names", reason="entries_wrong")
    for line in manifest.files:
        stored = entries[line.path]
        if len(stored) != line.bytes or hashlib.sha256(stored).hexdigest() != line.sha256:
            raise BundleError(f"{line.path} was altered after packing", reason="digest_mismatch")
