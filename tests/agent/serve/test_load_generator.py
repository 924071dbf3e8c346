"""The benchmark's load generator believes no answer that it has not read: each wrong server must be caught."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from benchmarks.serving.lanes import Asked, Lane

ASKED = Asked.post("/predict", b"{}")
GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"prediction":1}'


@contextmanager
def answering(*answers: bytes) -> Iterator[Lane]:
    """A lane to a server that gives these answers, in the pieces between `|`, and then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for answer in answers:
                    peer.recv(65_536)
                    for piece in answer.split(b"|"):
                        peer.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        with closing(Lane(listener.getsockname(), ASKED)) as lane:
            yield lane
        thread.join()


@pytest.mark.parametrize("answer", [GOOD, GOOD.replace(b"Content", b"|Content").replace(b"{", b"|{")])
def test_a_good_answer_is_read_whole(answer: bytes) -> None:
    with answering(answer, GOOD) as lane:
        for _ in range(2):
            lane.ask()
            assert lane.read() > 0


@pytest.mark.parametrize(
    "answer",
    [
        GOOD.replace(b"200 OK", b"503 Service Unavailable"),
        GOOD.replace(b"prediction", b"permission"),
        GOOD + b"more",
    ],
)
def test_a_wrong_answer_is_refused(answer: bytes) -> None:
    with answering(GOOD, answer) as lane:
        lane.ask()
        lane.read()
        lane.ask()
        with pytest.raises(ValueError, match="no good answer"):
            lane.read()


def test_an_answer_that_breaks_off_is_refused() -> None:
    with answering(GOOD[:-1]) as lane:
        lane.ask()
        with pytest.raises(ConnectionError):
            lane.read()
