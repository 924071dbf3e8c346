"""The API's server: uvicorn in a thread, on a socket that was opened before anything else, so that a taken port is
found out while nothing runs yet.
"""

from __future__ import annotations

import socket
import threading
import time

import uvicorn

from edgekit.errors import Conflict, Unreachable
from fleet.api.app import create_app
from fleet.server import Server

_START_S = 20.0
_GRACE_S = 1  # for answers under way; event streams never end by themselves
_STOP_S = 3.0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket (port 0: any free one). Raises Conflict when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise Conflict(
            f"the API cannot listen on {host}:{port} ({error.strerror}): stop what uses it, or set [server] port",
            reason="port_taken",
        ) from error
    return listener


class Web:
    """Serves the API on `listener`."""

    def __init__(self, server: Server, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._listener = listener
        config = uvicorn.Config(
            create_app(server), log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_S, lifespan="off"
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._uvicorn.run, kwargs={"sockets": [listener]}, name="api", daemon=True
        )

    def start(self) -> None:
        """Begin, and wait until requests are answered. Raises Unreachable."""
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._uvicorn.started:
            if not self.is_running or time.monotonic() > deadline:
                raise Unreachable("the API did not start: see the messages above", reason="api_down")
            time.sleep(0.005)

    @property
    def is_running(self) -> bool:
        """False when its thread ended."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it, with a second for answers under way."""
        self._uvicorn.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._listener.close()
