"""Artifacts at rest: bundles on disk under their SHA-256. A file here is whole, has its digest and parses as a bundle.

The server never opens the model inside: it has no codec for it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgekit import bundle as bundles
from edgekit.bundle import MAX_BUNDLE_BYTES, Bundle
from edgekit.errors import BundleError, NotFound, UsageFault
from edgekit.files import make_folder, read_bounded, sweep_temporaries, write_atomic
from edgekit.names import is_sha256


class Upload:
    """An artifact on its way in: bounded, in an unnamed file that vanishes with the process."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._hash = hashlib.sha256()
        self._bytes = 0

    def write(self, piece: bytes) -> None:
        """Take the next bytes. Raises BundleError `too_large`."""
        self._bytes += len(piece)
        if self._bytes > MAX_BUNDLE_BYTES:
            raise BundleError(f"an artifact may have at most {MAX_BUNDLE_BYTES >> 20} MiB", reason="too_large")
        self._hash.update(piece)
        self._spool.write(piece)

    def content(self, sha256: str) -> bytes:
        """All bytes taken, if they have that digest. Raises BundleError."""
        if self._hash.hexdigest() != sha256:
            raise BundleError(
                "the uploaded bytes do not have the digest in the address: send them again", reason="digest_mismatch"
            )
        self._spool.seek(0)
        return self._spool.read()


class Catalogue:
    """The artifacts in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Make the folder and remove what interrupted writes left. Call once, before anything else."""
        make_folder(self._folder, mode=0o700)
        sweep_temporaries(self._folder)

    def path(self, sha256: str) -> Path:
        """Where that artifact lies, there or not. Raises UsageFault when `sha256` is no digest."""
        if not is_sha256(sha256):
            raise UsageFault("an artifact is named by the 64 lower-case hexadecimal digits of its SHA-256")
        return self._folder / sha256

    def read(self, sha256: str) -> bytes:
        """The artifact's bytes. Raises NotFound."""
        try:
            return read_bounded(self.path(sha256), MAX_BUNDLE_BYTES)
        except FileNotFoundError as error:
            raise NotFound(f"artifact {sha256[:16]}… is not stored here: push it again") from error

    def load(self, sha256: str) -> Bundle:
        """The artifact, opened and checked. Raises NotFound, BundleError."""
        return bundles.parse(self.read(sha256))

    @contextmanager
    def upload(self) -> Iterator[Upload]:
        """Room for one incoming artifact."""
        with tempfile.TemporaryFile(dir=self._folder) as spool:
            yield Upload(spool)

    def keep(self, sha256: str, upload: Upload) -> Bundle:
        """Store a finished upload durably after checking digest and container. Raises BundleError."""
        path = self.path(sha256)
        content = upload.content(sha256)
        bundle = bundles.parse(content)
        write_atomic(path, content, mode=0o600)
        return bundle
