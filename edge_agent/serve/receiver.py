"""Bytes become requests, within the limits: the parser's side of a connection.

httptools parses; what is counted here is what it would otherwise keep without end. A request over a limit becomes a
refusal in its place, and nothing after it is read. Clients send the same head again and again: one that httptools has
read is known by its bytes, and is not parsed anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import httptools

from edge_agent.serve.message import Limits, Request, Response, fault

_HEAD_END = b"\r\n\r\n"
_KNOWN_HEAD_BYTES = 1 << 10
_KNOWN_HEADS = 256
# A head with one of these does not say by itself where its request ends, or asks for something beside the answer.
_NEVER_KNOWN = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class KnownHeads:
    """Heads of POST requests that were read whole before, by their bytes. At most `_KNOWN_HEADS`; then anew."""

    def __init__(self) -> None:
        self.found: dict[bytes, tuple[int, Request]] = {}

    def learn(self, head: bytes, request: Request) -> None:
        """Keep what `head` means, unless the meaning may depend on more than these bytes."""
        if request.method != "POST" or not request.keep_alive or not _NEVER_KNOWN.isdisjoint(request.headers):
            return
        if len(self.found) >= _KNOWN_HEADS:
            self.found.clear()
        self.found[head] = len(request.body), replace(request, body=b"")


class _Refused(Exception):
    """Leaves the parser's callbacks: what else the peer sends is of no interest."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class _Draft:
    """The request that is being received. `raw_bytes` counts later reads too, whose headers are not complete yet."""

    __slots__ = ("body", "body_bytes", "head_bytes", "head_done", "headers", "raw_bytes", "url")

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.head_bytes = 0
        self.head_done = False
        self.body: list[bytes] = []
        self.body_bytes = 0
        self.raw_bytes = 0


class Receiver:
    """The parser's callbacks: builds requests and keeps their limits."""

    def __init__(
        self, limits: Limits, known: KnownHeads, begun: Callable[[], None], expected: Callable[[], None]
    ) -> None:
        self.draft: _Draft | None = None
        self.received: deque[Request | Response] = deque()
        self._limits = limits
        self._known = known
        self._head = b""
        self._begun = begun
        self._expected = expected
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> bool:
        """Take bytes in; what they complete is in `received`. False when nothing more shall be read."""
        if self.draft is None:
            taken = self._take_known(data)
            if taken == len(data):
                return True
            data = data[taken:]
        try:
            self._check_raw(len(data))
            self._parse(data)
        except httptools.HttpParserUpgrade:
            # RFC 9110 §7.8: an offer to change protocols may be ignored. The parser cannot go on after it, though.
            if self.received and isinstance(self.received[-1], Request):
                self.received[-1].keep_alive = False
            return False
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _Refused):
                raise
            self.received.append(error.__context__.response)
            return False
        except _Refused as refused:
            self.received.append(refused.response)
            return False
        except httptools.HttpParserError as error:
            self.received.append(fault(400, f"this is not an HTTP/1.1 request ({error})"))
            return False
        return True

    def _take_known(self, data: bytes) -> int:
        """Take the whole requests at the beginning of `data` whose heads are known; returns where they end."""
        start, found = 0, self._known.found
        while (end := data.find(_HEAD_END, start, start + _KNOWN_HEAD_BYTES) + 4) >= 4:
            known = found.get(data[start:end])
            if known is None:
                break
            body_bytes, head = known
            if len(data) < end + body_bytes:
                break
            start = end + body_bytes
            self.received.append(
                Request(head.method, head.path, head.query, head.headers, data[end:start], head.keep_alive)
            )
        return start

    def _parse(self, data: bytes) -> None:
        end = data.find(_HEAD_END, 0, _KNOWN_HEAD_BYTES) + 4 if self.draft is None else 0
        if end < 4:
            self._parser.feed_data(data)
            return
        self._parser.feed_data(data[:end])
        if self.draft is not None and self.draft.head_done:
            self._head = data[:end]  # these bytes, from a clean beginning, are exactly one head
        if end < len(data):
            self._parser.feed_data(data[end:])

    def on_message_begin(self) -> None:
        self.draft = _Draft()
        self._begun()

    def on_url(self, url: bytes) -> None:
        assert self.draft is not None
        self.draft.url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        assert self.draft is not None
        self.draft.headers[name.lower()] = value
        self._count_head(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        draft = self.draft
        assert draft is not None
        draft.head_done = True
        if b"host" not in draft.headers and self._parser.get_http_version() == "1.1":
            raise _Refused(fault(400, "the Host header is missing"))
        if int(draft.headers.get(b"content-length", b"0")) > self._limits.body_bytes:
            raise self._too_large()
        if draft.headers.get(b"expect", b"").lower() == b"100-continue":
            self._expected()

    def on_body(self, body: bytes) -> None:
        assert self.draft is not None
        self.draft.body_bytes += len(body)
        if self.draft.body_bytes > self._limits.body_bytes:
            raise self._too_large()
        self.draft.body.append(body)

    def on_message_complete(self) -> None:
        draft, self.draft = self.draft, None
        assert draft is not None
        path, _, query = _origin_form(draft.url).partition(b"?")
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=path.decode("latin-1"),
            query=query.decode("latin-1"),
            headers=draft.headers,
            body=draft.body[0] if len(draft.body) == 1 else b"".join(draft.body),
            keep_alive=self._parser.should_keep_alive(),
        )
        self.received.append(request)
        if self._head:
            self._known.learn(self._head, request)
            self._head = b""

    def _count_head(self, count: int) -> None:
        assert self.draft is not None
        self.draft.head_bytes += count
        if self.draft.head_bytes > self._limits.header_bytes:
            raise _Refused(fault(431, f"the request line and headers are over {self._limits.header_bytes} bytes"))

    def _check_raw(self, count: int) -> None:
        """httptools keeps an unfinished header to itself, however long it grows: count what goes in."""
        if self.draft is None:
            return
        self.draft.raw_bytes += count
        if not self.draft.head_done and self.draft.raw_bytes > self._limits.header_bytes:
            raise _Refused(fault(431, f"the request line and headers are over {self._limits.header_bytes} bytes"))
        if self.draft.raw_bytes > self._limits.header_bytes + 2 * self._limits.body_bytes:
            raise self._too_large()

    def _too_large(self) -> _Refused:
        return _Refused(fault(413, f"the body is over {self._limits.body_bytes} bytes: send fewer rows at a time"))


def _origin_form(url: bytes) -> bytes:
    """`/path?query`, of an absolute address too (RFC 9112 §3.2.2)."""
    if url[:1] == b"/" or b"://" not in url:
        return url
    slash = url.find(b"/", url.index(b"://") + 3)
    return url[slash:] if slash >= 0 else b"/"
