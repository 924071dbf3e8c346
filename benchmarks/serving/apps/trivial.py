"""A responder that does nothing but answer: what it reaches is the most that the load generator lets any server reach.

`PORT` and `ANSWER_BYTES` (of the body) from the environment. A request comes in one piece here, so it is not parsed.
"""

from __future__ import annotations

import os
import select
import socket

_BODY_BYTES = int(os.environ["ANSWER_BYTES"])
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n"
_ANSWER = _HEAD % _BODY_BYTES + b'{"prediction":1}'.ljust(_BODY_BYTES)


def main() -> None:
    """Serve for ever."""
    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
    peers = {listener.fileno(): listener}
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    while True:
        for number, _ in poller.poll():
            if number == listener.fileno():
                peer, _ = listener.accept()
                peers[peer.fileno()] = peer
                poller.register(peer, select.EPOLLIN)
            elif peers[number].recv(65_536):
                peers[number].send(_ANSWER)
            else:
                peers.pop(number).close()


if __name__ == "__main__":
    main()
