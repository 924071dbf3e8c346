"""The store of models that passed their tests: `blobs/<bundle sha256>/` with the expanded files of one bundle each.

A folder appears whole or not at all. Nothing in it is believed before its digests were checked: the caller's record
vouches for the manifest, the manifest for the rest.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path

from edgekit import manifest as manifests
from edgekit.errors import BundleError
from edgekit.files import (
    TEMPORARY_PREFIX,
    make_folder,
    publish_folder,
    read_bounded,
    remove_folder,
    sha256_file,
    sweep_temporaries,
)
from edgekit.packing import EXPANDED_NAMES

MANIFEST_NAME = "manifest.json"


class Blobs:
    """The store in `folder`, made when it is not there; what interrupted writes left is swept away."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        sweep_temporaries(folder)
        self.folder = folder

    def path(self, sha256: str) -> Path:
        """Where that bundle's folder is, or would be."""
        return self.folder / sha256

    def temporary(self, sha256: str) -> Path:
        """Where the preflight child prepares that folder; start-up sweeps what is left there."""
        return self.folder / f"{TEMPORARY_PREFIX}new-{sha256}"

    def check(self, sha256: str, manifest_sha256: str) -> Path:
        """The folder, after every digest in it was checked. Raises BundleError (`blob_damaged`)."""
        folder = self.path(sha256)
        try:
            content = read_bounded(folder / MANIFEST_NAME, manifests.MAX_MANIFEST_BYTES)
            sound = hashlib.sha256(content).hexdigest() == manifest_sha256 and all(
                sha256_file(folder / EXPANDED_NAMES[line.role]) == line.expanded_sha256
                for line in manifests.decode(content).files
            )
        except (OSError, ValueError, BundleError):
            sound = False
        if not sound:
            raise BundleError(
                f"stored model {sha256[:12]} is missing or was altered on disk: it is fetched again when asked for",
                reason="blob_damaged",
            )
        return folder

    def publish(self, sha256: str) -> None:
        """Move the prepared folder into place durably; one that is there already is replaced."""
        remove_folder(self.path(sha256))
        publish_folder(self.temporary(sha256), self.path(sha256))

    def abandon(self, sha256: str) -> None:
        """Remove what a test left that did not end in `publish`."""
        if self.temporary(sha256).exists():
            shutil.rmtree(self.temporary(sha256))

    def keep_only(self, wanted: Collection[str]) -> None:
        """Remove every folder that `wanted` does not name."""
        for entry in self.folder.iterdir():
            if entry.name not in wanted and not entry.name.startswith(TEMPORARY_PREFIX):
                remove_folder(entry)
