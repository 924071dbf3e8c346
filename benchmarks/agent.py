"""The agent's answers over HTTP: server CPU and wall-clock per request for one row, beside the peers' on the same core.

Every server answers the same row with the same ONNX file, a random forest of 100 trees over 30 features. Client and
server are pinned to one core, since a wake-up across cores costs more than our whole answer. CPU per request is what
the kernel charged the server, so neither the client nor other programs on the machine are in it.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

from benchmarks import peers
from benchmarks.measurement import Report, Row, below, cpu_s, median_of, plain
from edgekit import bundle, packing
from examples.demo.workshop import free_port

LIBRARIES = ("onnxruntime", "numpy", "httptools", "msgspec", "scikit-learn", "skl2onnx", "uvicorn", "flask", "waitress")
CONNECTIONS = (1, 16)
OURS, ASGI, FLASK = "edgekit agent", "bare ASGI on uvicorn + onnxruntime", "Flask + waitress + onnxruntime"
# Server, program, requests in one measurement relative to ours, upper bound for our share of its CPU.
SERVERS: tuple[tuple[str, str, float, float | None], ...] = (
    (OURS, peers.AGENT_SERVER, 1.0, None),
    (ASGI, peers.ASGI_ORT_SERVER, 0.3, 0.5),
    (FLASK, peers.FLASK_ORT_SERVER, 0.1, 1 / 12),
)


@click.command()
@click.option("--quick", is_flag=True, help="Fewer requests.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def main(*, quick: bool, as_json: bool) -> None:
    """Measure the agent's HTTP server."""
    report = Report("agent", LIBRARIES)
    core = max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as parent, ExitStack() as running:
        model = _model(Path(parent))
        os.sched_setaffinity(0, {core})
        # As a batch job, so that the first of several answers does not take the core away from the server.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        servers = {name: running.enter_context(_serving(program, model, core)) for name, program, _, _ in SERVERS}
        for connections in CONNECTIONS:
            report.rows += _compare(servers, connections, 4_000 if quick else 20_000)
    report.finish(as_json=as_json)


@dataclass(frozen=True)
class Model:
    """The ONNX file in its expanded bundle, and the request for one row."""

    path: Path
    features: list[str]
    request: bytes


@dataclass(frozen=True)
class Server:
    """A server that is listening."""

    pid: int
    port: int
    request: bytes


@dataclass(frozen=True)
class Load:
    """What one measurement gave, in µs."""

    cpu_us: float
    p50_us: float


def _model(folder: Path) -> Model:
    """Train and convert, as a user would."""
    import joblib

    rows, answers = load_breast_cancer(return_X_y=True, as_frame=True)
    rows.columns = [name.replace(" ", "_") for name in rows.columns]
    joblib.dump(RandomForestClassifier(100, random_state=0).fit(rows, answers), folder / "model.joblib")
    rows.assign(target=answers).to_csv(folder / "rows.csv", index=False)
    words = ["convert", "model.joblib", "--trust-pickle", "--data", "rows.csv", "--target", "target", "--name", "rf"]
    command = [sys.executable, "-m", "edgekit", *words, "-o", "rf.edgekit"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    packed = bundle.load(folder / "rf.edgekit")
    (folder / bundle.MANIFEST_PATH).write_bytes(packed.manifest_bytes)
    path = folder / packing.EXPANDED_NAMES["model"]
    path.write_bytes(packing.expand(packed, "model"))
    return Model(path, list(rows.columns), _request(json.dumps(rows.iloc[17].to_dict()).encode()))


def _request(body: bytes) -> bytes:
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


@contextmanager
def _serving(program: str, model: Model, core: int) -> Iterator[Server]:
    port = free_port()
    process = subprocess.Popen(
        peers.onnx_server(program, model.path, port, model.features), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        os.sched_setaffinity(process.pid, {core})
        os.sched_setscheduler(process.pid, os.SCHED_OTHER, os.sched_param(0))
        process.stdout.readline()
        yield Server(process.pid, port, model.request)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _compare(servers: dict[str, Server], connections: int, requests: int) -> list[Row]:
    """Three turns of every server, and the medians."""
    loads: dict[str, list[Load]] = {name: [] for name in servers}

    def measure(name: str, share: float) -> float:
        loads[name].append(_load(servers[name], connections, int(requests * share)))
        return loads[name][-1].cpu_us

    turns = [lambda name=name, share=share: measure(name, share) for name, _, share, _ in SERVERS]
    cpu = dict(zip(servers, median_of(3, *turns), strict=True))
    p50 = {name: statistics.median(load.p50_us for load in loads[name]) for name in servers}
    where = f"{connections} connection{'s' if connections > 1 else ''}"
    rows = []
    for name, _, _, goal in SERVERS:
        rows.append(plain(f"CPU a request, {where}", cpu[name], "µs", f"{name}; p50 {p50[name]:.0f} µs"))
        if goal is not None:
            rows.append(below(f"CPU a request, {where}", cpu[OURS], cpu[name], name, round(goal, 4)))
    return rows


def _load(server: Server, connections: int, requests: int) -> Load:
    """Keep one request under way on each connection until `requests` are answered."""
    with ExitStack() as opened, selectors.EpollSelector() as selector:
        sockets = [
            opened.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(connections)
        ]
        for connection in sockets:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ)
        _rounds(server, sockets, selector, 50 * connections)
        before = cpu_s(server.pid)
        times = _rounds(server, sockets, selector, requests)
        return Load((cpu_s(server.pid) - before) / len(times) * 1e6, statistics.median(times) / 1000)


def _rounds(
    server: Server, sockets: list[socket.socket], selector: selectors.EpollSelector, requests: int
) -> list[int]:
    """The nanoseconds that each request took, from sending it to having read its answer."""
    times: list[int] = []
    sent: dict[int, int] = {}
    for connection in sockets:
        sent[connection.fileno()] = time.perf_counter_ns()
        connection.sendall(server.request)
    while sent:
        for key, _ in selector.select(10):
            connection = sockets[0] if len(sockets) == 1 else key.fileobj  # type: ignore[assignment]
            _read_answer(connection)
            now = time.perf_counter_ns()
            times.append(now - sent.pop(key.fd))
            if len(times) + len(sent) < requests:
                sent[key.fd] = time.perf_counter_ns()
                connection.sendall(server.request)
    return times


def _read_answer(connection: socket.socket) -> None:
    """One whole answer, which must be a prediction."""
    data = connection.recv(65_536)
    while True:
        head, found, body = data.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(body) == length:
                break
        more = connection.recv(65_536)
        if not more:
            raise ConnectionError("the server closed the connection")
        data += more
    if b" 200 " not in head[:16] or b'"prediction"' not in body:
        raise ValueError(f"no prediction: {data[:200]!r}")


if __name__ == "__main__":
    main()
