"""The wire form of a model: the bytes that travel, and their expansion to the byte-identical ONNX file that runs.

Three encodings, of which packing keeps the shortest: the bytes as they are, one zstd frame, and columns (`columns`),
which takes the ONNX file apart. What is expanded is bounded by the manifest's declared size, and whatever announces
another size, or a window larger than 128 MiB, is refused before memory is spent on it. numpy and zstandard are all
that a reader needs.
"""

from __future__ import annotations

import zstandard

from edgekit.errors import BundleError
from edgekit.manifest import Encoding
from edgekit.wire import columns, streams

LEVEL = streams.LEVEL
MAX_EXPANDED_BYTES = 1 << 31


def compress(content: bytes) -> tuple[Encoding, bytes]:
    """The shortest of the encodings: `(encoding, stored)`. Deterministic for one zstd version."""
    found: list[tuple[Encoding, bytes]] = [("stored", content)]
    found.append(("zstd", streams.compress(content)))
    in_columns = columns.encode(content)
    # protobuf allows numbers in longer forms than ours: such a file travels as one frame
    if in_columns is not None and _gives(in_columns, content):
        found.append(("columns", in_columns))
    return min(found, key=lambda pair: len(pair[1]))


def _gives(in_columns: bytes, content: bytes) -> bool:
    try:
        return columns.decode(in_columns, len(content)) == content
    except BundleError:
        return False


def expand(stored: bytes, encoding: Encoding, expanded_bytes: int) -> bytes:
    """The original bytes. Raises BundleError when they are not exactly `expanded_bytes` long or not decodable."""
    if not 0 <= expanded_bytes <= MAX_EXPANDED_BYTES:
        raise BundleError(f"an entry claims to expand to {expanded_bytes} bytes: refused", reason="too_large")
    content = _expanded(stored, encoding, expanded_bytes)
    if len(content) != expanded_bytes:
        raise BundleError(
            f"an entry expands to {len(content)} bytes instead of {expanded_bytes}: the bundle is damaged",
            reason="size_mismatch",
        )
    return content


def _expanded(stored: bytes, encoding: Encoding, expanded_bytes: int) -> bytes:
    if encoding == "columns":
        return columns.decode(stored, expanded_bytes)
    return stored if encoding == "stored" else streams.decompress(stored, expanded_bytes)


def zstd_version() -> str:
    """The version of the zstd library in use, recorded in the manifest: bytes are only identical for one version."""
    return ".".join(str(part) for part in zstandard.ZSTD_VERSION)
