"""Compressed bodies (`Content-Encoding: gzip`, `deflate`; RFC 9110 §8.4), unpacked to no more than a plain one may be.

Answers are sent as they are: on the device's own loopback, compressing costs more than it saves.
"""

from __future__ import annotations

import zlib

from edge_agent.serve.message import Limits, Request
from edgekit.errors import MessageError, UsageFault

OFFERED = "gzip, deflate"
_PLAIN = (b"", b"identity")
_WINDOW_BITS = {b"gzip": 16 + zlib.MAX_WBITS, b"x-gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


class EncodingRefused(UsageFault):
    """The body is compressed in a way that is not read here: the client must send it otherwise."""

    default_reason = "encoding_refused"


class BodyTooLarge(UsageFault):
    """The body unpacks to more than a body may be: the client must send fewer rows at a time."""

    default_reason = "body_too_large"


def is_encoded(request: Request) -> bool:
    """True when the body has to be unpacked."""
    return _coding(request) not in _PLAIN


def decoded(request: Request, limit_bytes: int = Limits.body_bytes) -> bytes:
    """The body, unpacked. Raises EncodingRefused, BodyTooLarge, or MessageError for what does not unpack."""
    coding = _coding(request)
    if coding in _PLAIN:
        return request.body
    if coding not in _WINDOW_BITS:
        told = coding[:40].decode("latin-1")
        raise EncodingRefused(f"the content encoding {told!r} is not read here: send {OFFERED}, or no encoding")
    return _unpacked(request.body, _WINDOW_BITS[coding], limit_bytes)


def _coding(request: Request) -> bytes:
    return request.headers.get(b"content-encoding", b"").strip().lower()


def _unpacked(body: bytes, window_bits: int, limit_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(window_bits)
    try:
        content = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise MessageError(f"the compressed body does not unpack ({error}): compress it again") from error
    if len(content) > limit_bytes:
        raise BodyTooLarge(f"the body unpacks to over {limit_bytes} bytes: send fewer rows at a time")
    # One gzip member only: a body of very many tiny ones would take very long.
    if not unpacker.eof or unpacker.unused_data:
        told = "goes on after its end" if unpacker.eof else "is cut short"
        raise MessageError(f"the compressed body {told}: compress it again")
    return content
