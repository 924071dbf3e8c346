"""The HTTP server over real sockets: order, limits, refusals, and what a hostile or clumsy peer can do to it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.serve.connection import Handler
from edge_agent.serve.http import Address, HttpServer
from edge_agent.serve.message import Limits, Request, Response, answer
from edgekit.errors import Conflict, UsageFault
from tests.support.models import make_bundle
from tests.support.serving import Live, read_answers, serving
from tests.support.waiting import wait_for

ROW = b'{"pressure": 0.1, "flow": -0.3, "heat": 3}'
HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
BRISK = Limits(idle_s=0.3, request_s=0.3, write_s=0.3, sweep_s=0.02, connections=4)


def post(body: bytes, *, path: str = "/predict", headers: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + headers + b"\r\n" + body


def exchange(live: Live, sent: bytes, count: int = 1) -> list[tuple[int, bytes]]:
    with live.connect() as connection:
        connection.sendall(sent)
        return read_answers(connection, count)


def closed_by_peer(connection: socket.socket) -> bool:
    """Reads to the end. True when the peer ends the connection before the socket's own timeout."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    gate = threading.Event()

    async def slowly(request: Request) -> Response:
        while not gate.is_set():
            await asyncio.sleep(0.005)
        return answer({"slow": True})

    def open_gate(request: Request) -> Response:
        gate.set()
        return answer({})

    def shut_gate(request: Request) -> Response:
        gate.clear()
        return answer({})

    def broken(request: Request) -> Response:
        raise RuntimeError("a bug")

    def large(request: Request) -> Response:
        return Response(200, b"x" * (8 << 20))

    extra: dict[tuple[str, str], Handler] = {
        ("GET", "/slow"): slowly,
        ("GET", "/open"): open_gate,
        ("GET", "/shut"): shut_gate,
        ("GET", "/broken"): broken,
        ("GET", "/large"): large,
    }
    with serving(make_bundle(), extra=extra) as live:
        yield live


@pytest.fixture
def brisk() -> Iterator[Live]:
    with serving(
        make_bundle(), limits=BRISK, extra={("GET", "/large"): lambda _: Response(200, b"x" * (8 << 20))}
    ) as live:
        yield live


def test_a_connection_is_kept_for_further_requests(live: Live) -> None:
    with live.connect() as connection:
        for _ in range(3):
            connection.sendall(post(ROW))
            ((status, body),) = read_answers(connection, 1)
            assert (status, body[:15]) == (200, b'{"prediction":2')


def test_pipelined_requests_are_answered_in_order(live: Live) -> None:
    rows = [b'{"pressure": %d, "flow": 0, "heat": 0}' % (sign * 4) for sign in (1, -1, 1, 1, -1) * 20]
    answers = exchange(live, b"".join(map(post, rows)), len(rows))
    assert [b'"prediction":0' in body for _, body in answers] == [b": 4" in row for row in rows]


def test_requests_behind_a_slow_one_wait_for_it(live: Live) -> None:
    exchange(live, b"GET /shut HTTP/1.1\r\nHost: a\r\n\r\n")
    with live.connect() as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + post(ROW) + HEALTH)
        assert exchange(live, HEALTH)[0][0] == 200  # others are not held up
        exchange(live, b"GET /open HTTP/1.1\r\nHost: a\r\n\r\n")
        first, second, third = (body for _, body in read_answers(connection, 3))
    assert first == b'{"slow":true}'
    assert second.startswith(b'{"prediction"')
    assert third.startswith(b'{"status"')


def test_a_peer_that_has_finished_sending_still_gets_its_answers(live: Live) -> None:
    exchange(live, b"GET /shut HTTP/1.1\r\nHost: a\r\n\r\n")
    with live.connect() as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + HEALTH)
        connection.shutdown(socket.SHUT_WR)
        exchange(live, b"GET /open HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [status for status, _ in read_answers(connection, 2)] == [200, 200]
        assert closed_by_peer(connection)


def test_a_request_may_come_byte_by_byte(live: Live) -> None:
    with live.connect() as connection:
        for byte in post(ROW):
            connection.sendall(bytes([byte]))
        assert read_answers(connection, 1)[0][0] == 200


def test_a_chunked_body_is_read(live: Live) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (ROW[:7], ROW[7:]))
    assert exchange(live, head + chunks + b"0\r\n\r\n")[0][0] == 200


@pytest.mark.parametrize("ask", [b"Connection: close\r\n", b""], ids=["asked to close", "HTTP/1.0"])
def test_the_connection_ends_when_the_client_wants_it(live: Live, ask: bytes) -> None:
    version = b"1.1" if ask else b"1.0"
    with live.connect() as connection:
        connection.sendall(b"GET /health HTTP/" + version + b"\r\nHost: a\r\n" + ask + b"\r\n")
        assert read_answers(connection, 1)[0][0] == 200
        assert closed_by_peer(connection)


def test_a_head_request_gets_the_length_without_the_body(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(HEALTH.replace(b"GET", b"HEAD").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: 46" in head
    assert body == b""


def test_a_client_that_waits_for_leave_to_send_gets_it(live: Live) -> None:
    request = post(ROW, headers=b"Expect: 100-continue\r\n")
    with live.connect() as connection:
        connection.sendall(request[: -len(ROW)])
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(ROW)
        assert read_answers(connection, 1)[0][0] == 200


def test_an_offer_of_another_protocol_is_ignored(live: Live) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert exchange(live, HEALTH.replace(b"\r\n\r\n", b"\r\n" + offer))[0][0] == 200


BIG = 1 << 20
REFUSED: list[tuple[str, bytes, int]] = [
    ("not HTTP", b"hello\r\n\r\n", 400),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("no Host", b"GET /health HTTP/1.1\r\n\r\n", 400),
    ("bad length", post(ROW).replace(b"Length: ", b"Length: -"), 400),
    ("length and chunks", post(ROW, headers=b"Transfer-Encoding: chunked\r\n"), 400),
    ("two lengths", post(ROW, headers=b"Content-Length: 3\r\n"), 400),
    ("long header", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
    ("endless header", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 600_000, 431),
    ("many headers", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 5000 + b"\r\n", 431),
    ("long path", b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    ("large body announced", post(b"", headers=b"").replace(b"Length: 0", b"Length: %d" % (BIG + 1)), 413),
    ("large body sent", post(b" " * (BIG + 1)), 413),
]


@pytest.mark.parametrize(("sent", "status"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_over_a_limit_or_not_http_is_refused_and_the_connection_ends(
    live: Live, sent: bytes, status: int
) -> None:
    with live.connect() as connection:
        connection.sendall(HEALTH + sent)
        (before, _), (given, body) = read_answers(connection, 2)
        assert (before, given) == (200, status)
        assert body.startswith(b'{"error":')
        assert closed_by_peer(connection)


def test_a_large_chunked_body_is_refused_however_small_its_chunks(live: Live) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with live.connect() as connection:
        connection.sendall(head + b"1\r\n \r\n" * 500_000)
        assert read_answers(connection, 1)[0][0] == 413


def test_the_largest_allowed_body_is_read(live: Live) -> None:
    assert exchange(live, post(ROW + b" " * (BIG - len(ROW))))[0][0] == 200


def test_a_fault_of_a_handler_is_told_without_its_inside_and_costs_only_that_request(live: Live) -> None:
    (status, body), (after, _) = exchange(live, b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n" + HEALTH, 2)
    assert (status, after) == (500, 200)
    assert b"a bug" not in body


def test_an_idle_connection_is_closed(brisk: Live) -> None:
    with brisk.connect() as connection:
        connection.sendall(HEALTH)
        read_answers(connection, 1)
        assert closed_by_peer(connection)


@pytest.mark.parametrize("part", [HEALTH[:20], post(ROW)[:-3]], ids=["in the headers", "in the body"])
def test_a_request_that_does_not_arrive_in_time_is_told_so(brisk: Live, part: bytes) -> None:
    with brisk.connect() as connection:
        connection.sendall(part)
        assert read_answers(connection, 1)[0][0] == 408
        assert closed_by_peer(connection)


def test_a_peer_that_does_not_read_is_cut_off(brisk: Live) -> None:
    with brisk.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * 4)
        wait_for(lambda: brisk.server.connections, 10, "the server to take the connection")
        wait_for(lambda: not brisk.server.connections, 10, "the server to give the peer up")


def test_connections_over_the_cap_are_told_so_and_others_go_on(brisk: Live) -> None:
    limits = replace(BRISK, idle_s=60, connections=2)
    with serving(make_bundle(), limits=limits) as live, live.connect() as first, live.connect() as second:
        for connection in (first, second):
            connection.sendall(HEALTH)
            assert read_answers(connection, 1)[0][0] == 200
        with live.connect() as third:
            assert read_answers(third, 1)[0][0] == 503
        first.sendall(HEALTH)
        assert read_answers(first, 1)[0][0] == 200
        second.close()
        wait_for(lambda: exchange(live, HEALTH)[:1] and exchange(live, HEALTH)[0][0] == 200, 10, "room for another")


def test_stopping_lets_requests_under_way_be_answered() -> None:
    gate = threading.Event()

    async def slowly(request: Request) -> Response:
        while not gate.is_set():
            await asyncio.sleep(0.005)
        return answer({})

    with (
        serving(make_bundle(), extra={("GET", "/slow"): slowly}) as live,
        live.connect() as idle,
        live.connect() as busy,
    ):
        idle.sendall(HEALTH)
        read_answers(idle, 1)
        busy.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: live.server.connections == 2, 10, "both connections")
        stopping = threading.Thread(target=live.stop, args=(20.0,))
        stopping.start()
        assert closed_by_peer(idle)
        gate.set()
        assert read_answers(busy, 1)[0][0] == 200
        assert closed_by_peer(busy)
        stopping.join(20)
        with pytest.raises(ConnectionRefusedError):
            live.connect()


def test_a_taken_port_is_a_conflict_that_says_what_to_do(live: Live) -> None:
    with pytest.raises(Conflict, match=f"port {live.port} on 127.0.0.1 is taken: choose another") as error:
        asyncio.run(HttpServer(lambda _: answer({}), Address(port=live.port)).start())
    assert error.value.reason == "port_taken"


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("127.0.0.1", 70_000)])
def test_an_address_that_cannot_be_had_is_a_usage_fault(host: str, port: int) -> None:
    with pytest.raises(UsageFault) as error:
        asyncio.run(HttpServer(lambda _: answer({}), Address(host=host, port=port)).start())
    assert error.value.reason == "address_unusable"


def test_the_unix_socket_answers_alike_and_goes_away_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with serving(make_bundle(), unix_path=path), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(post(ROW))
        assert read_answers(connection, 1)[0][0] == 200
        with pytest.raises(Conflict, match="in use"):
            asyncio.run(HttpServer(lambda _: answer({}), Address(unix_path=path)).start())
        with socket.socket(socket.AF_UNIX) as another:
            another.settimeout(10)
            another.connect(str(path))
            another.sendall(HEALTH)
            assert read_answers(another, 1)[0][0] == 200
    assert not path.exists()


def test_a_stale_unix_socket_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving(make_bundle(), unix_path=path), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(HEALTH)
        assert read_answers(connection, 1)[0][0] == 200


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    b"GET ",
                    b"POST ",
                    b"/predict",
                    b" HTTP/1.1",
                    b"\r\n",
                    b"Host: a",
                    b"\r\n\r\n",
                    b"0",
                    b"Content-Length: 5",
                    b"Transfer-Encoding: chunked",
                    b"\x00",
                    b"{}",
                ]
            ),
            max_size=16,
        ).map(b"".join),
    )
)
def test_no_bytes_whatever_break_the_server(live: Live, sent: bytes) -> None:
    with live.connect() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        statuses = [status for status, _ in read_answers(connection, 50)]
        assert all(status < 500 or status == 501 for status in statuses)
    assert exchange(live, HEALTH)[0][0] == 200
