"""The thread itself: conversion time, bundle bytes, update time, prediction CPU and agent memory, beside their peers.

Peers: skl2onnx alone (conversion), zstd-19 of its file (bytes), a plain HTTP download with digest and load (update),
and Flask + waitress + the scikit-learn pickle (prediction). Goals are upper bounds.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import resource
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import zstandard

from benchmarks import peers
from benchmarks.measurement import Report, below, cpu_s, median_of, plain, resident_bytes
from edgekit.http import Api
from examples.demo.screen import Screen
from examples.demo.story import MODEL, Story, release, serve
from examples.demo.traffic import AgentClient
from examples.demo.workshop import ROOT, Process, Workshop, free_port

LIBRARIES = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy", "paho-mqtt", "flask", "waitress", "zstandard")


@click.command()
@click.option("--quick", is_flag=True, help="Fewer repeats.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def main(*, quick: bool, as_json: bool) -> None:
    """Measure the thread."""
    report = Report("thread", LIBRARIES)
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Workshop(Path(folder)), Screen(as_json=True))
        try:
            _measure(story, report, repeats=1 if quick else 3)
        finally:
            for process in reversed(story.processes):
                process.stop()
    report.finish(as_json=as_json)


def _measure(story: Story, report: Report, repeats: int) -> None:
    story.shop.example("train.py", "--variant", "1.0.0", "--out", "model-1.0.0")
    _conversion(story, report, repeats)
    _bytes(story, report)
    serve(story)
    release(story, "1.0.0")
    agents = [_agent(story, f"bench-{number}") for number in range(1, repeats + 1)]
    _update(story, report, agents)
    _prediction(story, report, agents[0], requests=300 if repeats == 1 else 2000)


def _agent(story: Story, device: str) -> Process:
    folder = story.shop.folder
    story.shop.edgekit("fleet", "devices", "add", device, "-o", f"{device}.toml")
    settings = {"EDGEKIT_HTTP_PORT": str(free_port()), "EDGEKIT_AGENT_DATA_DIR": str(folder / device)}
    agent = Process(story.shop, device, ["agent", "run", "--config", folder / f"{device}.toml"], settings)
    story.processes.append(agent)
    agent.start()
    return agent


def _children_cpu(words: list[str], folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _conversion(story: Story, report: Report, repeats: int) -> None:
    folder = story.shop.folder
    model = folder / "model-1.0.0"
    edgekit = Path(os.path.realpath(ROOT)) / ".venv/bin/edgekit"
    words = [str(edgekit), "convert", str(model / "model.joblib"), "--trust-pickle", "--target", "anomaly"]
    words += ["--data", str(model / "train.csv"), "--name", MODEL, "--model-version", "1.0.0"]
    words += ["-o", str(story.bundle("1.0.0"))]
    alone = peers.plain_export(model / "model.joblib", folder / "plain.onnx")
    ours, theirs = median_of(repeats, lambda: _children_cpu(words, folder), lambda: _children_cpu(alone, folder))
    report.rows.append(plain("convert with parity, golden rows and measurement", ours, "CPU s"))
    report.rows.append(plain("skl2onnx alone, nothing checked", theirs, "CPU s"))


def _bytes(story: Story, report: Report) -> None:
    packed = len(zstandard.ZstdCompressor(level=19).compress((story.shop.folder / "plain.onnx").read_bytes()))
    bundle = story.bundle("1.0.0").stat().st_size
    detail = f"{bundle:,} against {packed:,} bytes"
    report.rows.append(below("bundle on the air", bundle, packed, "zstd-19 of the plain export", 1.25, detail))


def _update(story: Story, report: Report, agents: list[Process]) -> None:
    with _file_server(story.shop.folder) as address:
        url = f"{address}/{story.bundle('1.0.0').name}"
        pairs = [(_roll_out(story, agent), _plain_download(url)) for agent in agents]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    report.rows.append(plain("update: rollout created to first answer", ours, "s", "trust, chunks, preflight, swap"))
    report.rows.append(plain("plain HTTP download, digest and load", theirs, "s", "nothing verified, no self-test"))


def _roll_out(story: Story, agent: Process) -> float:
    """Seconds from the rollout's creation to the device's first answer."""
    api = Api(story.shop.environ["EDGEKIT_SERVER"], story.shop.environ["EDGEKIT_TOKEN"])
    stages = [{"devices": [agent.name]}]
    started = time.monotonic()
    api.post("/api/v1/rollouts", {"model": MODEL, "version": "1.0.0", "stages": stages, "soak_s": 0})
    with AgentClient(agent.ready["http"]) as client:
        _until_serving(client)
    return time.monotonic() - started


def _until_serving(client: AgentClient) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            client.call("GET", f"/v2/models/{MODEL}")
        except (OSError, ValueError):
            time.sleep(0.01)
            continue
        return
    raise TimeoutError(f"{MODEL} did not come")


@contextmanager
def _file_server(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


_LOAD = """
import sys, onnxruntime
from edgekit import bundle, packing
onnxruntime.InferenceSession(packing.expand(bundle.load(__import__("pathlib").Path(sys.argv[1])), "model"))
"""


def _plain_download(url: str) -> float:
    started = time.monotonic()
    with tempfile.NamedTemporaryFile(suffix=".edgekit") as file, urllib.request.urlopen(url) as answer:
        content = answer.read()
        hashlib.sha256(content).hexdigest()
        file.write(content)
        file.flush()
        subprocess.run([str(ROOT / ".venv/bin/python"), "-c", _LOAD, file.name], check=True)
    return time.monotonic() - started


def _prediction(story: Story, report: Report, agent: Process, requests: int) -> None:
    port = free_port()
    words = peers.flask_server(story.shop.folder / "model-1.0.0/model.joblib", port)
    peer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert peer.stdout is not None
        peer.stdout.readline()
        row = {f"f{number}": float(number) for number in range(1, 10)}
        clients = {agent.pid: AgentClient(agent.ready["http"]), peer.pid: AgentClient(f"http://127.0.0.1:{port}")}
        ours, theirs = median_of(
            3,
            lambda: _cpu_per_request(agent.pid, clients[agent.pid], row, requests),
            lambda: _cpu_per_request(peer.pid, clients[peer.pid], row, requests // 10),
        )
        detail = f"{ours * 1e6:.0f} against {theirs * 1e6:.0f} µs"
        report.rows.append(
            below("prediction, server CPU per request", ours, theirs, "Flask + scikit-learn", 0.05, detail)
        )
        mine, other = resident_bytes(agent.pid), resident_bytes(peer.pid)
        detail = f"{mine / 2**20:.0f} against {other / 2**20:.0f} MiB"
        report.rows.append(below("resident memory, MQTT connected", mine, other, "Flask + scikit-learn", 0.55, detail))
    finally:
        peer.terminate()
        peer.wait()
        assert peer.stdout is not None
        peer.stdout.close()


def _cpu_per_request(pid: int, client: AgentClient, row: dict[str, float], requests: int) -> float:
    body = json.dumps(row)
    for _ in range(20):
        client.call("POST", "/predict", body)
    before = cpu_s(pid)
    for _ in range(requests):
        client.call("POST", "/predict", body)
    return (cpu_s(pid) - before) / requests


if __name__ == "__main__":
    main()
