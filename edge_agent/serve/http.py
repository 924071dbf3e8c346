"""HTTP/1.1 on the event loop: a small server for one device's own clients, over TCP and a Unix socket.

httptools parses; this module keeps the limits, the order of pipelined answers, and the connections. Whatever a peer
sends, it gets an answer or a closed connection, and costs no more than `Limits` allow. What requests mean is decided
by the handler.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import dataclass
from pathlib import Path

from edge_agent.serve.connection import Connection, Handler, Shared, Together
from edge_agent.serve.message import Limits
from edgekit.errors import Conflict, EdgekitError, UsageFault

_BACKLOG = 128
_SOCKET_MODE = 0o660
_ABORT_S = 1.0
_ACCEPTING_TURNS = 3  # turns of the loop until asyncio has handed over a connection that it was accepting


@dataclass(frozen=True)
class Address:
    """Where to listen. `port` 0 takes a free one; `unix_path` adds a Unix socket, readable by owner and group."""

    host: str = "127.0.0.1"
    port: int = 0
    unix_path: Path | None = None


class HttpServer:
    """Serves `handler` until `stop`. Everything happens on the loop that `start` ran on."""

    def __init__(self, handler: Handler | Together, address: Address, limits: Limits | None = None) -> None:
        self._address = address
        self._shared = Shared(handler, limits or Limits())
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The TCP port, once started."""
        return int(self._servers[0].sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._shared.connections)

    async def start(self) -> None:
        """Listen. Raises Conflict (`port_taken`, `socket_taken`) or UsageFault (`address_unusable`)."""
        loop = asyncio.get_running_loop()
        host, port = self._address.host, self._address.port
        try:
            tcp = await loop.create_server(self._connection, host, port, backlog=_BACKLOG)
        except (OSError, OverflowError) as error:
            raise _address_fault(host, port, error) from error
        self._servers.append(tcp)
        try:
            if self._address.unix_path is not None:
                self._servers.append(await self._listen_unix(self._address.unix_path))
        except BaseException:
            await self.stop(drain_s=0.0)
            raise
        self._sweeper = loop.create_task(self._sweep())

    async def stop(self, *, drain_s: float = 5.0) -> None:
        """Take no more connections, let requests under way be answered for at most `drain_s`, then close."""
        self._shared.stopping = True
        for server in self._servers:
            server.close()
        for _ in range(_ACCEPTING_TURNS):
            await asyncio.sleep(0)
        for connection in tuple(self._shared.connections):
            connection.finish()
        await self._shared.emptied(drain_s)
        for connection in tuple(self._shared.connections):
            connection.abort()
        await self._shared.emptied(_ABORT_S)
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._address.unix_path is not None and len(self._servers) > 1:
            self._address.unix_path.unlink(missing_ok=True)

    def _connection(self) -> Connection:
        return Connection(self._shared)

    async def _listen_unix(self, path: Path) -> asyncio.Server:
        if path.is_socket() and _answers(path):
            raise Conflict(
                f"socket {path} is in use by another program: choose another path for the Unix socket",
                reason="socket_taken",
            )
        try:
            server = await asyncio.get_running_loop().create_unix_server(self._connection, path, backlog=_BACKLOG)
            path.chmod(_SOCKET_MODE)
        except (OSError, ValueError) as error:
            raise UsageFault(
                f"socket {path} cannot be made ({error}): choose another path for the Unix socket",
                reason="address_unusable",
            ) from error
        return server

    async def _sweep(self) -> None:
        """One timer for all connections: a timer per request would cost as much as a small model's run."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._shared.limits.sweep_s)
            for connection in tuple(self._shared.connections):
                connection.expire(loop.time())


def _answers(path: Path) -> bool:
    """True when a program listens on the socket: asyncio would take a live one away without asking."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _address_fault(host: str, port: int, error: Exception) -> EdgekitError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return Conflict(
            f"port {port} on {host} is taken: choose another with [http] port (or EDGEKIT_HTTP_PORT), "
            "or stop the program that uses it",
            reason="port_taken",
        )
    cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UsageFault(
        f"cannot listen on {host} port {port} ({cause}): choose another host or port under [http]",
        reason="address_unusable",
    )
