"""One connection: bytes in, answers out, in the order in which the requests came.

One request at a time is with the handler; those behind it wait, and reading pauses meanwhile. After a refusal what
still comes in is thrown away for a moment: closing at once would reset the connection before the peer reads why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from edge_agent.serve.message import Limits, Request, Response, fault
from edge_agent.serve.receiver import KnownHeads, Receiver

Result = Response | Awaitable[Response]
Handler = Callable[[Request], Result]

_LOG = logging.getLogger(__name__)
_LINGER_S = 1.0
_READ_BYTES = 64 << 10
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@runtime_checkable
class Together(Protocol):
    """A handler that answers requests of several clients more cheaply together than one by one."""

    def __call__(self, request: Request) -> Result:
        """As any handler."""

    def together(self, requests: Sequence[Request]) -> list[Response | None]:
        """What the handler would have given for each request alone, in their order; None: ask for that one alone.
        Nothing that must not happen twice may happen here.
        """


class Shared:
    """What the connections of one server have in common.

    With a handler that can answer `together`, requests that arrive in one turn of the loop on several connections are
    handed over at once, at the end of that turn: nobody waits for company, and a lone client is answered directly.
    """

    def __init__(self, handler: Handler | Together, limits: Limits) -> None:
        self.handler: Handler = handler
        self.limits = limits
        self.connections: set[Connection] = set()
        self.known_heads = KnownHeads()
        self.buffer = bytearray(_READ_BYTES)
        self.read = memoryview(self.buffer)
        self._together = handler if isinstance(handler, Together) else None
        self._turn: list[Connection] = []
        self.stopping = False
        self._emptied = asyncio.Event()

    def join(self, connection: Connection) -> bool:
        """Count the connection; False when it is one too many and has to be told so."""
        self.connections.add(connection)
        return len(self.connections) <= self.limits.connections

    def gathers(self, connection: Connection) -> bool:
        """True when the connection's work is put off to the end of this turn of the loop, for others to join in."""
        if self._together is None or len(self.connections) < 2:
            return False
        if not self._turn:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._turn.append(connection)
        return True

    def _end_turn(self) -> None:
        assert self._together is not None
        turn, self._turn = [(connection, connection.take()) for connection in self._turn], []
        requests = [request for _, request in turn if request is not None]
        responses: Sequence[Response | None] = [None] * len(requests)
        if len(requests) > 1:
            try:
                responses = self._together.together(requests)
            except Exception:  # noqa: BLE001 - as in Connection._handle: each is then asked alone, and told its own fault
                _LOG.exception("requests could not be answered together")
        given = iter(responses)
        for connection, request in turn:
            connection.work(None if request is None else (request, next(given)))

    def leave(self, connection: Connection) -> None:
        """The connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    async def emptied(self, timeout_s: float) -> None:
        """Wait until the last connection has ended, but no longer than `timeout_s`."""
        self._emptied.clear()
        if self.connections and timeout_s > 0:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._emptied.wait()
            except TimeoutError:
                return


class Connection(asyncio.BufferedProtocol):
    """One client. The public methods up to `resume_writing` are asyncio's.

    It reads into the buffer that all connections share. Where a protocol brings none, asyncio takes 256 KiB from the
    system for every read and gives them back: measured at 20 µs and more, against 3 µs for the read.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._now = asyncio.get_running_loop().time
        self._receiver = Receiver(shared.limits, shared.known_heads, self._request_begun, self._body_expected)
        self._waiting = self._receiver.received
        self._task: asyncio.Task[None] | None = None
        self._writable = True
        self._reading = True
        self._peer_done = False
        self._ending = False
        self._deadline = self._now() + self._limits.request_s
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._shared.join(self):
            self._waiting.append(fault(503, "too many connections: close some, or try again in a moment"))
            self.work()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ending = True
        self._waiting.clear()
        self._shared.leave(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._ending or self._peer_done:
            return
        if not self._receiver.feed(bytes(self._shared.read[:nbytes])):
            self._peer_done = True
        if not (self._waiting and self._shared.gathers(self)):
            self.work()

    def take(self) -> Request | None:
        """The next request, if it is this one's turn to be answered; the caller brings it back to `work`."""
        if self._waiting and self._task is None and self._writable and not self._ending:
            item = self._waiting[0]
            if isinstance(item, Request):
                self._waiting.popleft()
                return item
        return None

    def eof_received(self) -> bool:
        """A peer that has said all it wants still gets the answers it waits for."""
        self._peer_done = True
        return not self._ending and (self._task is not None or bool(self._waiting))

    def pause_writing(self) -> None:
        self._writable = False
        self._deadline = self._now() + self._limits.write_s

    def resume_writing(self) -> None:
        self._writable = True
        if not self._ending:
            self._deadline = self._now() + self._limits.idle_s
            self.work()

    def finish(self) -> None:
        """End as soon as the requests that have begun to arrive are answered."""
        if self._task is None and not self._waiting and self._receiver.draft is None:
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()

    def expire(self, now: float) -> None:
        """End when the peer has let its time pass. A request that is with the handler is not the peer's fault."""
        if now < self._deadline or (self._writable and (self._task is not None or self._waiting)):
            return
        if self._ending or not self._writable:
            self._transport.abort()
        elif self._receiver.draft is not None:
            self._waiting.append(fault(408, f"the request did not arrive within {self._limits.request_s:g} s"))
            self.work()
        else:
            self._transport.close()

    def _request_begun(self) -> None:
        self._deadline = self._now() + self._limits.request_s

    def _body_expected(self) -> None:
        if self._task is None and not self._waiting:
            self._transport.write(_CONTINUE)

    def work(self, taken: tuple[Request, Response | None] | None = None) -> None:
        """Answer what was taken, with its response if there is one, then what waits, as far as the handler and the peer
        keep up; write all of it at once.
        """
        written: list[bytes] = []
        if taken is not None:
            self._answer(*taken, written)
        while self._waiting and self._task is None and self._writable and not self._ending:
            item = self._waiting.popleft()
            if isinstance(item, Response):
                written.append(item.encode(keep_alive=False, head_only=False))
                self._ending = True
                break
            self._answer(item, None, written)
        if written:
            self._write(written[0] if len(written) == 1 else b"".join(written))
        self._after_work()

    def _answer(self, request: Request, response: Response | None, written: list[bytes]) -> None:
        result = response or self._handle(request)
        if isinstance(result, Response):
            written.append(self._encode(request, result))
        else:
            self._task = asyncio.create_task(self._wait_for(request, result))

    def _after_work(self) -> None:
        busy = self._task is not None or not self._writable or bool(self._waiting)
        if self._ending or (self._peer_done and not busy):
            self._end()
        elif busy == self._reading:
            self._reading = not busy
            (self._transport.pause_reading if busy else self._transport.resume_reading)()

    def _end(self) -> None:
        """Nothing more will be sent. The peer closes next, or `expire` does after the linger."""
        self._ending = True
        self._waiting.clear()
        self._transport.resume_reading()
        if self._transport.is_closing() or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()

    def _handle(self, request: Request) -> Result:
        try:
            return self._shared.handler(request)
        except Exception:  # noqa: BLE001 - the top of the loop: one faulty request must not take the server with it
            return _internal_fault(request)

    async def _wait_for(self, request: Request, result: Awaitable[Response]) -> None:
        try:
            response = await result
        except Exception:  # noqa: BLE001 - as in _handle
            response = _internal_fault(request)
        self._task = None
        if not self._ending:
            self._write(self._encode(request, response))
            self.work()

    def _write(self, content: bytes) -> None:
        self._transport.write(content)
        allowed_s = _LINGER_S if self._ending else self._limits.idle_s
        if self._transport.get_write_buffer_size():
            allowed_s = self._limits.write_s
        self._deadline = self._now() + allowed_s

    def _encode(self, request: Request, response: Response) -> bytes:
        keep = request.keep_alive and not response.close and not self._shared.stopping
        if not keep:
            self._ending = True
        return response.encode(keep_alive=keep, head_only=request.method == "HEAD")


def _internal_fault(request: Request) -> Response:
    """Called while an exception is being handled."""
    _LOG.exception("a request to %s failed", request.path)
    return fault(500, "internal fault: see the agent's log")
