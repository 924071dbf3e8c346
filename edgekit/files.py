"""The one way to write a file, and bounded ways to read one.

A file written here is either wholly there or not at all after a crash or power cut: temporary file beside the target,
fsync, rename, fsync of the folder. Every read has a limit. OSErrors pass through: callers name who must act.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from io import BufferedReader
from pathlib import Path

TEMPORARY_PREFIX = ".edgekit-tmp-"


def fsync_folder(folder: Path) -> None:
    """Make renames and creations inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `content` durably; on any failure the old file stays and no temporary file is left."""
    descriptor, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out:
            os.fchmod(out.fileno(), mode)
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def write_secret(path: Path, content: bytes) -> None:
    """`write_atomic`, readable by the owner only."""
    write_atomic(path, content, mode=0o600)


def make_folder(path: Path, *, mode: int = 0o755) -> None:
    """Create `path` with its parents, durably; nothing happens when it is there."""
    missing = []
    folder = path
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(mode=mode, exist_ok=True)
        fsync_folder(folder.parent)


def publish_folder(temporary: Path, target: Path) -> None:
    """Move a finished folder into place durably. `temporary` and `target` share a parent; `target` must not exist."""
    for entry in temporary.iterdir():
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    fsync_folder(temporary)
    temporary.rename(target)
    fsync_folder(target.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder so that a cut leaves either the whole folder or a hidden remainder that start-up sweeps away."""
    if not path.exists():
        return
    doomed = path.with_name(f"{TEMPORARY_PREFIX}gone-{path.name}")
    if doomed.exists():
        shutil.rmtree(doomed)
    path.rename(doomed)
    fsync_folder(path.parent)
    shutil.rmtree(doomed)


def sweep_temporaries(folder: Path) -> None:
    """Remove what interrupted writes left behind in `folder`. Call at start, before anything else writes there."""
    for entry in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """The whole file. Raises ValueError when it holds more than `limit_bytes`, OSError when it cannot be read."""
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise ValueError(f"{path.name} is larger than {limit_bytes} bytes")
    return content


def sha256_stream(file: BufferedReader) -> str:
    """Hexadecimal SHA-256 of what is left in `file`."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of the file, read in pieces."""
    with path.open("rb") as file:
        return sha256_stream(file)
