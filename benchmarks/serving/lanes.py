"""One connection of the load generator, which believes no answer that it has not read."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

Address = tuple[str, int] | str

_ANSWER_WITHIN = struct.pack("ll", 10, 0)


@dataclass(frozen=True)
class Asked:
    """A request, and what every good answer to it contains."""

    request: bytes
    marker: bytes = b'"prediction"'
    status: int = 200

    @classmethod
    def post(cls, path: str, body: bytes, marker: bytes = b'"prediction"', status: int = 200) -> Asked:
        """A JSON body."""
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        return cls(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body, marker, status)


class Lane:
    """One connection. Opened again when the server closes it, as some do after every answer."""

    def __init__(self, address: Address, asked: Asked) -> None:
        self.address, self.asked = address, asked
        self._known, self._closes = b"", False
        self.socket = self._open()
        self.sent_ns = 0

    def ask(self) -> None:
        """Send the request. The time to connect anew counts, where a server asks for that."""
        self.sent_ns = time.perf_counter_ns()
        if self._closes:
            self.socket = self._open()
        self.socket.sendall(self.asked.request)

    def read(self) -> int:
        """Read the whole answer; the nanoseconds since it was asked for. Raises ValueError when it is not a good one,
        ConnectionError when there is none.
        """
        data = self.socket.recv(65_536)
        if data != self._known:
            self._judge(data)
        if self._closes:
            self.socket.close()  # at once: gunicorn waits for it before it serves anybody else
        return time.perf_counter_ns() - self.sent_ns

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def _open(self) -> socket.socket:
        made = _connect(self.address)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _ANSWER_WITHIN)
        return made

    def _judge(self, data: bytes) -> None:
        while not (end := _end(data)) or len(data) < end:
            more = self.socket.recv(65_536)
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        if (
            len(data) != end
            or not data.startswith(b"HTTP/1.1 %d " % self.asked.status)
            or self.asked.marker not in data
        ):
            raise ValueError(f"no good answer: {data[:300]!r}")
        self._closes = b"connection: close" in data.lower()
        self._known = data


def _end(data: bytes) -> int:
    """Where the answer that begins here ends; 0 while its head is not complete."""
    head, found, _ = data.partition(b"\r\n\r\n")
    if not found:
        return 0
    return len(head) + 4 + int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


def _connect(address: Address) -> socket.socket:
    """A connection over TCP, or to the Unix socket of that path."""
    if isinstance(address, tuple):
        made = socket.create_connection(address)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
    made = socket.socket(socket.AF_UNIX)
    made.connect(address)
    return made
