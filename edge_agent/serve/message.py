"""A request and a response, and the limits they are held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus

import msgspec

JSON = "application/json"
_USUAL = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n%b"
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True)
class Limits:
    """What one peer may cost. Times in seconds: `idle_s` between requests, `request_s` from a request's first byte to
    its last, `write_s` for a peer to read an answer. `pipelined`: requests waiting on one connection before its
    reading pauses.
    """

    header_bytes: int = 8 << 10
    headers: int = 64
    body_bytes: int = 1 << 20
    connections: int = 128
    pipelined: int = 16
    idle_s: float = 75.0
    request_s: float = 15.0
    write_s: float = 15.0
    sweep_s: float = 1.0


@dataclass(slots=True)
class Request:
    """One request. `path` and `query` as sent (not percent-decoded); header names in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    keep_alive: bool = False

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case; empty when none was sent."""
        return _media_type(self.headers.get(b"content-type", b""))


@lru_cache(maxsize=16)
def _media_type(content_type: bytes) -> str:
    return content_type.partition(b";")[0].strip().lower().decode("latin-1")


@dataclass(slots=True)
class Response:
    """One answer. `close`: end the connection after it."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False

    def encode(self, *, keep_alive: bool, head_only: bool) -> bytes:
        """The bytes to send. An answer to HEAD says how long the body would be, and leaves it out."""
        if self.status == 200 and keep_alive and not head_only and not self.headers and self.content_type is JSON:
            return _USUAL % (len(self.body), self.body)
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers) if self.headers else ""
        head = (
            f"HTTP/1.1 {self.status} {_PHRASES[self.status]}\r\n"
            f"Content-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n"
            f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n"
            f"{lines}\r\n"
        ).encode("latin-1")
        return head if head_only else head + self.body


_ENCODER = msgspec.json.Encoder()


def answer(value: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A JSON answer. NaN is written as null."""
    return Response(status, _ENCODER.encode(value), headers=headers)


def fault(status: int, message: str, *, close: bool = False, **more: object) -> Response:
    """`{"error": message, …}`, the form of every refusal."""
    return Response(status, _ENCODER.encode({"error": message, **more}), close=close)
