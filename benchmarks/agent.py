"""The agent's answers beside other ways to serve a model from Python: CPU, time, memory, start, disk, and a soak.

All servers answer the same row with the same model, and ours is the whole agent: its broker connected, its model
fetched and tested by itself. Client and server are pinned to one core, since a wake-up across cores costs more than our
whole answer. CPU per request is what the kernel charged the server, so neither the client nor other programs on the
machine are in it.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from benchmarks.measurement import Report, Row, line
from benchmarks.serving import commands, footprint, latency, mlserver, rates, soak
from benchmarks.serving.device import OURS, Device, device
from benchmarks.serving.plan import FULL, QUICK, Plan
from benchmarks.serving.samples import FAMILIES, Sample, sample
from benchmarks.serving.servers import Command, running

LIBRARIES = (
    *("onnxruntime", "numpy", "httptools", "msgspec", "paho-mqtt", "scikit-learn", "skl2onnx"),
    *("fastapi", "flask", "gunicorn", "uvicorn", "uvloop", "waitress"),
)
_ANSWER_BYTES = 96


@click.command()
@click.option("--quick", is_flag=True, help="Shorter loads, and a short soak.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def main(*, quick: bool, as_json: bool) -> None:
    """Measure the agent's serving."""
    plan, report, home = QUICK if quick else FULL, Report("agent", LIBRARIES), mlserver.installed()
    with tempfile.TemporaryDirectory() as parent, ExitStack() as devices:
        samples = {name: sample(name, Path(parent)) for name in FAMILIES}
        ours = {name: devices.enter_context(device(each, Path(parent))) for name, each in samples.items()}
        for name, each in samples.items():
            _add(report, _served(each, ours[name], plan, _peers(each, home, Path(parent))))
        _add(report, _mlserver_rows(home))
        _add(report, footprint.rows(samples["forest"], ours["forest"], plan))
        _add(report, footprint.size_rows(home))
        _add(report, soak.rows(samples["forest"], ours["forest"], plan))
    report.finish(as_json=as_json)


def _add(report: Report, rows: list[Row]) -> None:
    """Also told at once: the whole takes minutes."""
    report.rows += rows
    for row in rows:
        click.echo(line(row), err=True)


def _served(sample: Sample, ours: Device, plan: Plan, peers: dict[str, Command]) -> list[Row]:
    """What is measured on servers that all run."""
    with ExitStack() as started:
        commanded = {OURS: ours.command(), **peers, rates.TRIVIAL: commands.trivial(sample, _ANSWER_BYTES)}
        servers = {name: started.enter_context(running(command)) for name, command in commanded.items()}
        return [
            *rates.rows(sample.name, servers, plan),
            *latency.rows(sample, servers[OURS], servers[rates.TRIVIAL], plan),
            *latency.socket_rows(sample, servers[OURS], ours.unix_socket, plan),
        ]


def _peers(sample: Sample, home: mlserver.Home, parent: Path) -> dict[str, Command]:
    peers = commands.peers(sample)
    if not home.missing:
        peers[commands.MLSERVER] = commands.mlserver_command(sample, home, parent)
    return peers


def _mlserver_rows(home: mlserver.Home) -> list[Row]:
    """Its absence is told, not passed over."""
    return [Row(f"{commands.MLSERVER}: not measured", 0, "", detail=home.missing)] if home.missing else []


if __name__ == "__main__":
    main()
