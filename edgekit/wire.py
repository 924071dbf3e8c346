"""The wire form of a model: the bytes that travel, and their expansion to the byte-identical ONNX file that runs.

Today's only encoding is plain zstd of the whole ONNX file; a columnar one joins it behind the same two functions. What
is expanded is bounded by the manifest's declared size, and a frame that announces another size, or a window larger
than `MAX_WINDOW_BYTES`, is refused before memory is spent on it.
"""

from __future__ import annotations

import zstandard

from edgekit.errors import BundleError
from edgekit.manifest import Encoding

LEVEL = 19
MAX_WINDOW_BYTES = 1 << 27
MAX_EXPANDED_BYTES = 1 << 31


def compress(content: bytes) -> tuple[Encoding, bytes]:
    """The smaller of zstd and the bytes as they are: `(encoding, stored)`. Deterministic for one zstd version."""
    packed = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False, write_content_size=True).compress(content)
    return ("zstd", packed) if len(packed) < len(content) else ("stored", content)


def expand(stored: bytes, encoding: Encoding, expanded_bytes: int) -> bytes:
    """The original bytes. Raises BundleError when they are not exactly `expanded_bytes` long or not decodable."""
    if not 0 <= expanded_bytes <= MAX_EXPANDED_BYTES:
        raise BundleError(f"an entry claims to expand to {expanded_bytes} bytes: refused", reason="too_large")
    content = stored if encoding == "stored" else _decompress(stored, expanded_bytes)
    if len(content) != expanded_bytes:
        raise BundleError(
            f"an entry expands to {len(content)} bytes instead of {expanded_bytes}: the bundle is damaged",
            reason="size_mismatch",
        )
    return content


def _decompress(stored: bytes, expanded_bytes: int) -> bytes:
    try:
        frame = zstandard.get_frame_parameters(stored)
        if frame.window_size > MAX_WINDOW_BYTES or frame.content_size != expanded_bytes:
            raise BundleError("a compressed entry announces another size than the manifest", reason="size_mismatch")
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(stored)
        return reader.read(expanded_bytes + 1)
    except zstandard.ZstdError as error:
        raise BundleError(f"a compressed entry is damaged ({error})", reason="entry_damaged") from error


def zstd_version() -> str:
    """The version of the zstd library in use, recorded in the manifest: bytes are only identical for one version."""
    return ".".join(str(part) for part in zstandard.ZSTD_VERSION)
