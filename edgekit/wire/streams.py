"""Streams: the compressed pieces that the columnar form is made of, each read within a bound that its reader names.

A stream is `varint raw size`, `varint stored size`, content: an ordinary zstd frame, or the bytes as they are where
both sizes are equal. Varints are protobuf's (seven bits a byte, lowest first), at most ten bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import zstandard

from edgekit.errors import BundleError

LEVEL = 19
MAX_WINDOW_BYTES = 1 << 27
_TRIAL_LEVEL = 3
_TRIAL_BYTES = 1 << 14  # what is shorter is tried at the final level: it costs little and decides rightly
_MAX_VARINT_BYTES = 10


def malformed(what: str) -> BundleError:
    """The error of every reader here."""
    return BundleError(f"the model's wire form is malformed ({what}): fetch or build the bundle again", reason="wire_malformed")


def varint(value: int) -> bytes:
    """A number from 0 to 2^64 - 1."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(frozen=True)
class Coded:
    """Encoded content before compression: `(True, bytes)` becomes a stream, `(False, bytes)` stays as it is."""

    parts: tuple[tuple[bool, bytes], ...] = ()

    def __add__(self, other: Coded) -> Coded:
        return Coded(self.parts + other.parts)

    def render(self, level: int = LEVEL) -> bytes:
        """The bytes, compressed at this level."""
        return b"".join(_stream(content, level) if is_stream else content for is_stream, content in self.parts)

    @property
    def estimate(self) -> int:
        """About how many bytes `render` gives, found faster."""
        return len(self.render(LEVEL if sum(len(content) for _, content in self.parts) < _TRIAL_BYTES else _TRIAL_LEVEL))


def plain(content: bytes) -> Coded:
    """Bytes that are not compressed: heads and counts."""
    return Coded(((False, content),))


def stream(content: bytes) -> Coded:
    """Bytes to compress."""
    return Coded(((True, content),))


def shortest(candidates: Iterable[Coded]) -> Coded:
    """The candidate that gives the fewest bytes, the first of several."""
    return min(candidates, key=lambda coded: coded.estimate)


def _stream(content: bytes, level: int) -> bytes:
    packed = zstandard.ZstdCompressor(level=level, write_checksum=False, write_content_size=True).compress(content)
    kept = packed if len(packed) < len(content) else content
    return varint(len(content)) + varint(len(kept)) + kept


def decompress(frame: bytes | memoryview, raw_bytes: int) -> bytes:
    """One zstd frame that must announce exactly `raw_bytes`. Raises BundleError."""
    try:
        announced = zstandard.get_frame_parameters(frame)
        if announced.window_size > MAX_WINDOW_BYTES or announced.content_size != raw_bytes:
            raise BundleError("a compressed entry announces another size than the manifest", reason="size_mismatch")
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(frame)
        return reader.read(raw_bytes + 1)
    except zstandard.ZstdError as error:
        raise BundleError(f"a compressed entry is damaged ({error})", reason="entry_damaged") from error


class Source:
    """Reads encoded content from its beginning to its end. Every method raises BundleError."""

    def __init__(self, content: bytes | memoryview) -> None:
        self._content = memoryview(content)
        self._at = 0

    @property
    def ended(self) -> bool:
        """Everything was read."""
        return self._at == len(self._content)

    def take(self, count: int) -> memoryview:
        """The next bytes as they are."""
        if count > len(self._content) - self._at:
            raise malformed("it ends too early")
        self._at += count
        return self._content[self._at - count : self._at]

    def rest(self) -> memoryview:
        """All bytes that are left, as they are."""
        return self.take(len(self._content) - self._at)

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self, limit: int) -> int:
        """The next number, at most `limit`."""
        value = 0
        for place in range(_MAX_VARINT_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if value > limit:
                    raise malformed(f"it has a number of {value} where at most {limit} may be")
                return value
        raise malformed("it has an endless number")

    def stream(self, limit: int) -> bytes | memoryview:
        """The next stream, expanded, at most `limit` bytes."""
        raw_bytes = self.varint(limit)
        content = self.take(self.varint(raw_bytes))
        if len(content) == raw_bytes:
            return content
        found = decompress(content, raw_bytes)
        if len(found) != raw_bytes:
            raise malformed("a stream has another length than it says")
        return found

    def exact(self, raw_bytes: int) -> bytes | memoryview:
        """The next stream, which must expand to exactly so many bytes."""
        found = self.stream(raw_bytes)
        if len(found) != raw_bytes:
            raise malformed(f"a stream has {len(found)} bytes instead of {raw_bytes}")
        return found
