"""Requests that arrive at the same time: answered together, each as if it had come alone."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.serve.connection import Result
from edge_agent.serve.http import Address, HttpServer
from edge_agent.serve.message import Request, Response, answer
from tests.support.models import make_bundle, make_fragile_bundle, make_mixed_bundle, make_text_bundle
from tests.support.serving import Live, on_a_loop, predictor_of, read_answers, serving
from tests.support.waiting import wait_for

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
HOLD = b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
ROWS = [{"pressure": x / 2, "flow": (x % 5) - 2.25, "heat": 3 - x / 3} for x in range(-8, 8)]
MIXED = {"temperature": 20, "cycles": 3, "mode": "eco", "running": True, "site": "north"}


def post(value: object, path: bytes = b"/predict") -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    head = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (path, len(body)) + body


@dataclass
class Gate:
    """Holds the loop of a server up, so that what is sent meanwhile arrives in one turn."""

    held: threading.Event
    opened: threading.Event

    def hold(self, request: Request) -> Response:
        self.held.set()
        assert self.opened.wait(10)
        return answer({})


def at_once(live: Live, gate: Gate, sent: Sequence[bytes], counts: Sequence[int] | None = None) -> list[list[bytes]]:
    """Each of `sent` over a connection of its own, all in one turn of the loop; the answers with their statuses."""
    with ExitStack() as opened:
        connections = [opened.enter_context(live.connect()) for _ in sent]
        for connection in connections:
            connection.sendall(HEALTH)
            read_answers(connection, 1)
        holding = opened.enter_context(live.connect())
        gate.held.clear()
        gate.opened.clear()
        holding.sendall(HOLD)
        assert gate.held.wait(10)
        for connection, content in zip(connections, sent, strict=True):
            connection.sendall(content)
        gate.opened.set()
        return [
            [b"%d %b" % given for given in read_answers(connection, count)]
            for connection, count in zip(connections, counts or [1] * len(sent), strict=True)
        ]


def alone(live: Live, sent: bytes, count: int = 1) -> list[bytes]:
    with live.connect() as connection:
        connection.sendall(sent)
        return [b"%d %b" % given for given in read_answers(connection, count)]


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(threading.Event(), threading.Event())


@pytest.fixture(scope="module")
def live(gate: Gate) -> Iterator[Live]:
    with serving(make_bundle(), extra={("GET", "/hold"): gate.hold}) as live:
        yield live


def close_to(given: bytes, expected: bytes) -> bool:
    """The same status and label; numbers within what rounding in a larger run may change."""
    if given == expected or not given.startswith(b"200 "):
        return given == expected
    one, other = json.loads(given[4:]), json.loads(expected[4:])
    shares = one.pop("probabilities", None), other.pop("probabilities", None)
    return bool(one == other and shares[0] == pytest.approx(shares[1], abs=1e-6))


def test_many_clients_at_once_get_each_the_answer_to_their_own_row(live: Live, gate: Gate) -> None:
    requests = [post(row) for row in ROWS]
    together = [answers[0] for answers in at_once(live, gate, requests)]
    single = [alone(live, request)[0] for request in requests]
    assert len(set(single)) > 10
    assert all(map(close_to, together, single))


def test_unusual_requests_among_them_are_answered_as_they_are_alone(live: Live, gate: Gate) -> None:
    odd = [
        post(ROWS[0]),
        post({"pressure": "high", "flow": 0, "heat": 0}),
        post(ROWS[:3]),
        HEALTH,
        post([1, 2, 3]),
        post(b"{"),
        post(ROWS[1], b"/predict/pump"),
        post(ROWS[1], b"/predict/nothing"),
        post(ROWS[2]).replace(b"application/json", b"text/plain"),
        post(ROWS[3]).replace(b"POST", b"PUT"),
        post(ROWS[4]),
    ]
    together = [answers[0] for answers in at_once(live, gate, odd)]
    single = [alone(live, request)[0] for request in odd]
    assert [given[:3] for given in single] == [
        *(b"200", b"422", b"200", b"200", b"200", b"400", b"200", b"404", b"415", b"405", b"200")
    ]
    assert all(map(close_to, together, single))


def test_pipelined_requests_keep_their_order_beside_other_clients(live: Live, gate: Gate) -> None:
    lists = [[post(row) for row in ROWS[start:]] + [HEALTH] for start in range(6)]
    counts = [len(requests) for requests in lists]
    together = at_once(live, gate, [b"".join(requests) for requests in lists], counts)
    for requests, answers in zip(lists, together, strict=True):
        expected = [alone(live, request)[0] for request in requests]
        assert len(answers) == len(expected)
        assert all(map(close_to, answers, expected))


def test_each_of_them_is_counted_once() -> None:
    gate = Gate(threading.Event(), threading.Event())
    with serving(make_bundle(), extra={("GET", "/hold"): gate.hold}) as live:
        at_once(live, gate, [post(row) for row in ROWS] + [post({})])
        (health,) = live.counters.totals()
    counted = health.requests
    assert (counted.ok, counted.rows, counted.client_error, counted.server_error) == (len(ROWS), len(ROWS), 1, 0)
    assert health.latency.n == sum(count for _, count in health.latency.buckets) == len(ROWS)
    assert health.latency.sum_us >= health.latency.max_us > 0


def test_a_row_that_breaks_the_model_costs_only_itself() -> None:
    gate = Gate(threading.Event(), threading.Event())
    with serving(make_fragile_bundle(), extra={("GET", "/hold"): gate.hold}) as live:
        steps = [0, 1, 99, 2, 1]
        answers = at_once(live, gate, [post({"step": step}) for step in steps])
        (health,) = live.counters.totals()
    assert [given[0][:3] for given in answers] == [b"200", b"200", b"500", b"200", b"200"]
    assert [json.loads(given[0][4:]).get("prediction") for given in answers] == [10.0, 20.0, None, 30.0, 20.0]
    assert (health.requests.ok, health.requests.server_error) == (4, 1)


@pytest.mark.parametrize(
    ("content", "row"), [(make_text_bundle(), ROWS[0]), (make_mixed_bundle(), MIXED)], ids=["text", "mixed"]
)
def test_models_that_gain_nothing_from_company_answer_all_the_same(content: bytes, row: dict[str, object]) -> None:
    gate = Gate(threading.Event(), threading.Event())
    with serving(content, extra={("GET", "/hold"): gate.hold}) as live:
        expected = alone(live, post(row))
        assert expected[0].startswith(b"200")
        assert at_once(live, gate, [post(row)] * 6) == [expected] * 6


def test_requests_of_one_turn_are_answered_by_one_version() -> None:
    gate = Gate(threading.Event(), threading.Event())
    versions = [predictor_of(make_bundle(version=f"1.{number}.0", shift=float(number))) for number in range(2)]
    with serving(make_bundle(), extra={("GET", "/hold"): gate.hold}) as live:
        for predictor in versions:
            live.models.swap("pump", predictor)
            answers = at_once(live, gate, [post(row) for row in ROWS])
            assert {json.loads(given[0][4:])["model"] for given in answers} == {predictor.label}
            for row, given in zip(ROWS, answers, strict=True):
                expected = predictor.run(predictor.rows.from_values(row).rows)
                assert json.loads(given[0][4:])["prediction"] == expected.predictions()[0]


def test_more_rows_than_a_block_holds_are_all_answered(live: Live, gate: Gate) -> None:
    rows = [ROWS[number % len(ROWS)] for number in range(100)]
    expected = {json.dumps(row): alone(live, post(row))[0] for row in ROWS}
    answers = at_once(live, gate, [post(row) for row in rows])
    assert all(close_to(given[0], expected[json.dumps(row)]) for row, given in zip(rows, answers, strict=True))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([post(ROWS[0]), post(ROWS[5]), post(ROWS[:2]), HEALTH, post({}), b"\r\n"]), max_size=8),
    st.lists(st.integers(0, 1500), max_size=4),
)
def test_a_known_head_means_the_same_wherever_the_bytes_are_cut(live: Live, sent: list[bytes], cuts: list[int]) -> None:
    stream, asked = b"".join(sent), [request for request in sent if request.strip()]
    expected = [alone(live, request)[0] for request in asked]
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    with live.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in pairwise(places):
            connection.sendall(stream[start:end])
        answers = [b"%d %b" % given for given in read_answers(connection, len(asked))]
    assert answers == expected


@pytest.mark.parametrize(
    "header",
    [b"Connection: close", b"Expect: 100-continue", b"Upgrade: h2c\r\nConnection: Upgrade"],
)
def test_a_head_that_asks_for_more_than_an_answer_is_heard_every_time(live: Live, header: bytes) -> None:
    request = post(ROWS[0]).replace(b"Host: a", b"Host: a\r\n" + header)
    for _ in range(3):
        with live.connect() as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answered = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert (b"Connection: close" in answered) == (b"Expect" not in header)
        assert answered.startswith(b"HTTP/1.1 100") == (b"Expect" in header)


# ---- the server's side, with a handler that tells what it was asked ------------------------------------------------


class Recorder:
    """Answers with what was sent, and remembers how many requests came together."""

    def __init__(self, *, broken: bool = False) -> None:
        self.gate = Gate(threading.Event(), threading.Event())
        self.sizes: list[int] = []
        self._broken = broken

    def __call__(self, request: Request) -> Result:
        return self.gate.hold(request) if request.path == "/hold" else Response(200, request.body or b"-")

    def together(self, requests: Sequence[Request]) -> list[Response | None]:
        self.sizes.append(len(requests))
        if self._broken:
            raise RuntimeError("a bug")
        return [Response(200, request.body) if request.body != b"3" else None for request in requests]


@pytest.mark.parametrize("broken", [False, True], ids=["sound", "broken"])
def test_what_comes_in_one_turn_is_handed_over_at_once(*, broken: bool) -> None:
    recorder = Recorder(broken=broken)
    with on_a_loop(lambda: HttpServer(recorder, Address())) as live:
        answers = at_once(live, recorder.gate, [post(b"%d" % number) for number in range(7)])
    assert answers == [[b"200 %d" % number] for number in range(7)]
    assert max(recorder.sizes) == 7


def test_a_lone_client_waits_for_nobody() -> None:
    recorder = Recorder()
    with on_a_loop(lambda: HttpServer(recorder, Address())) as live:
        assert alone(live, post(b"1") * 5, 5) == [b"200 1"] * 5
    assert recorder.sizes == []


def test_a_client_that_leaves_before_its_turn_harms_nobody(live: Live, gate: Gate) -> None:
    with live.connect() as leaving:
        leaving.sendall(HEALTH)
        read_answers(leaving, 1)
        leaving.sendall(post(ROWS[0]))
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    assert len(at_once(live, gate, [post(row) for row in ROWS])) == len(ROWS)
    wait_for(lambda: live.server.connections <= 1, 10, "the connections to end")
