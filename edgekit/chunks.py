"""Artifacts in chunks: the index of an artifact, and the digests it holds."""

from __future__ import annotations

import base64
import hashlib

from edgekit.errors import MessageError
from edgekit.messages import CHUNK_BYTES, ChunkIndex
from edgekit.names import is_sha256


def index_of(content: bytes) -> ChunkIndex:
    """The chunk index of an artifact: a pure function of its bytes, so that its digest can be signed."""
    digests = b"".join(
        hashlib.sha256(content[start : start + CHUNK_BYTES]).digest() for start in range(0, len(content), CHUNK_BYTES)
    )
    return ChunkIndex(
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        digests=base64.b64encode(digests).decode(),
    )


def chunk_digests(index: ChunkIndex) -> list[bytes]:
    """The 32-byte digests of the chunks in order. Raises MessageError when they do not fit the size."""
    try:
        joined = base64.b64decode(index.digests, validate=True)
    except ValueError as error:
        raise MessageError("the chunk index has undecodable digests") from error
    count = -(-index.bytes // CHUNK_BYTES)
    if index.chunk_bytes != CHUNK_BYTES or len(joined) != 32 * count or not is_sha256(index.sha256):
        raise MessageError("the chunk index does not fit the artifact's size")
    return [joined[start : start + 32] for start in range(0, len(joined), 32)]
