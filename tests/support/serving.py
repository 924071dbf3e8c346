"""A live agent server for tests: the real one, on a free port, its event loop in a thread of the test's process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge_agent.report.counters import Counters
from edge_agent.serve.connection import Handler
from edge_agent.serve.http import Address, HttpServer
from edge_agent.serve.inference import Predictor
from edge_agent.serve.message import Limits
from edge_agent.serve.models import Models
from edge_agent.serve.routes import Routes, Surroundings
from tests.support.models import expand_into


@dataclass(frozen=True)
class Live:
    """A server that is listening."""

    port: int
    models: Models
    counters: Counters
    loop: asyncio.AbstractEventLoop
    server: HttpServer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def stop(self, drain_s: float) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(drain_s=drain_s), self.loop).result(20)


def predictor_of(content: bytes) -> Predictor:
    """The bundle's model, loaded the way a device loads it."""
    with TemporaryDirectory() as parent:
        folder = expand_into(content, Path(parent))
        return Predictor.open(folder, sha256=folder.name)


@contextmanager
def serving(
    *contents: bytes,
    limits: Limits | None = None,
    extra: Mapping[tuple[str, str], Handler] | None = None,
    unix_path: Path | None = None,
    configured: tuple[str, ...] = (),
) -> Iterator[Live]:
    """Serve the bundles until the block ends."""
    models, counters = Models(configured), Counters()
    for content in contents:
        predictor = predictor_of(content)
        models.swap(predictor.manifest.name, predictor)
    routes = Routes(models, Surroundings(counters, _status, lambda: b"", extra or {}))
    try:
        with on_a_loop(lambda: HttpServer(routes, Address(unix_path=unix_path), limits), models, counters) as live:
            yield live
    finally:
        routes.close()


@contextmanager
def on_a_loop(
    make: Callable[[], HttpServer], models: Models | None = None, counters: Counters | None = None
) -> Iterator[Live]:
    """The server, on an event loop in a thread, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(_started(make), loop).result(20)
        live = Live(server.port, models or Models(), counters or Counters(), loop, server)
        try:
            yield live
        finally:
            live.stop(0.0)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _started(make: Callable[[], HttpServer]) -> HttpServer:
    server = make()
    await server.start()
    return server


def _status() -> dict[str, Any]:
    return {"device": "bench"}


def read_answers(connection: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """`count` answers with their bodies, as they come; fewer when the peer closes first."""
    data = b""
    answers: list[tuple[int, bytes]] = []
    while len(answers) < count:
        head, found, rest = data.partition(b"\r\n\r\n")
        if found and (length := _length(head)) <= len(rest):
            answers.append((int(head.split(b" ")[1]), rest[:length]))
            data = rest[length:]
            continue
        more = connection.recv(65_536)
        if not more:
            break
        data += more
    return answers


def _length(head: bytes) -> int:
    lines = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lines[0].partition(b":")[2]) if lines else 0
