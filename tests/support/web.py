"""An ASGI application behind a real uvicorn on a free port of loopback."""

from __future__ import annotations

import socket
import threading
from typing import Any

import uvicorn

from tests.support.waiting import wait_for


class WebServer:
    """Serves `app` from its own thread until `close`."""

    def __init__(self, app: Any) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        wait_for(lambda: self._server.started, 10, "uvicorn to start")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        """Stop and wait for the thread."""
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()
