"""What of an artifact has come so far: `partial/<sha256>.part`, `.bitmap` and `.index`.

A chunk is checked against its digest before it is written, and counts only when it is on the disk: data first, then
the bit that says so. So whatever was cut, every bit that is set is true, and no chunk is fetched twice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from edgekit import messages
from edgekit.chunks import chunk_digests
from edgekit.errors import MessageError
from edgekit.files import make_folder, read_bounded, sha256_file, sweep_temporaries, write_atomic
from edgekit.messages import CHUNK_BYTES, ChunkIndex


class Partials:
    """The folder of unfinished downloads, made when it is not there."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        sweep_temporaries(folder)
        self._folder = folder

    def path(self, sha256: str) -> Path:
        """Where the artifact grows."""
        return self._folder / f"{sha256}.part"

    def cached_index(self, sha256: str, index_sha256: str) -> bytes | None:
        """The chunk index that an earlier attempt stored, if it is the signed one."""
        try:
            content = read_bounded(self._folder / f"{sha256}.index", messages.MAX_MESSAGE_BYTES)
        except (OSError, ValueError):
            return None
        return content if hashlib.sha256(content).hexdigest() == index_sha256 else None

    def open(self, sha256: str, index: bytes) -> Partial:
        """The download as far as it came. `index` is the checked chunk index. Raises MessageError, OSError."""
        decoded = messages.decode(index, ChunkIndex)
        digests = chunk_digests(decoded)
        if decoded.sha256 != sha256:
            raise MessageError("the chunk index belongs to another artifact")
        write_atomic(self._folder / f"{sha256}.index", index)
        return Partial(self.path(sha256), decoded.bytes, digests)

    def discard(self, sha256: str) -> None:
        """Remove what has come of that artifact."""
        for path in self._folder.glob(f"{sha256}.*"):
            path.unlink(missing_ok=True)

    def keep_only(self, wanted: Collection[str]) -> None:
        """Remove the downloads of every artifact that `wanted` does not name."""
        for path in self._folder.iterdir():
            if path.name.partition(".")[0] not in wanted:
                path.unlink(missing_ok=True)


class Partial:
    """One download. `path` is the file that becomes the artifact; close it when done."""

    def __init__(self, path: Path, size_bytes: int, digests: list[bytes]) -> None:
        self.path = path
        self._size_bytes, self._digests = size_bytes, digests
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._part = os.open(path, flags, 0o644)
        self._bitmap = os.open(path.with_suffix(".bitmap"), flags, 0o644)
        self._bits = bytearray(os.pread(self._bitmap, self._bitmap_bytes, 0).ljust(self._bitmap_bytes, b"\0"))

    def close(self) -> None:
        """Release the files."""
        os.close(self._part)
        os.close(self._bitmap)

    @property
    def chunks(self) -> int:
        """How many chunks the artifact has."""
        return len(self._digests)

    def missing(self) -> list[int]:
        """The chunks that have not come, in order."""
        return [number for number in range(self.chunks) if not self._has(number)]

    def store(self, number: int, content: bytes) -> bool:
        """Keep a chunk durably; False, and nothing is written, when it is not what the index says."""
        if hashlib.sha256(content).digest() != self._digests[number]:
            return False
        os.pwrite(self._part, content, number * CHUNK_BYTES)
        os.fdatasync(self._part)
        self._mark(number, there=True)
        os.fdatasync(self._bitmap)
        return True

    def is_whole(self, sha256: str) -> bool:
        """True when the file is the artifact. Otherwise the chunks that the disk lost are marked missing again."""
        os.ftruncate(self._part, self._size_bytes)
        os.fsync(self._part)
        if sha256_file(self.path) == sha256:
            return True
        for number in self._wrong():
            self._mark(number, there=False)
        os.fdatasync(self._bitmap)
        return False

    @property
    def _bitmap_bytes(self) -> int:
        return -(-len(self._digests) // 8)

    def _has(self, number: int) -> bool:
        return bool(self._bits[number >> 3] & (1 << (number & 7)))

    def _mark(self, number: int, *, there: bool) -> None:
        at, bit = number >> 3, 1 << (number & 7)
        self._bits[at] = self._bits[at] | bit if there else self._bits[at] & ~bit
        os.pwrite(self._bitmap, self._bits[at : at + 1], at)

    def _wrong(self) -> Iterator[int]:
        for number, digest in enumerate(self._digests):
            content = os.pread(self._part, CHUNK_BYTES, number * CHUNK_BYTES)
            if hashlib.sha256(content).digest() != digest:
                yield number
