"""What every benchmark shares: rows with a goal, the machine, the table for people, the JSON for machines.

The machines are shared and noisy, so a row's value is a ratio against a peer measured in the same run wherever a peer
exists, medians of interleaved repeats, and CPU time rather than wall-clock where the question allows it.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import click

Figure = TypeVar("Figure")

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One measured figure. `value` is a ratio to `peer` where there is one; `goal` is an upper bound, or a lower one
    with `at_least`.
    """

    name: str
    value: float
    unit: str
    peer: str | None = None
    goal: float | None = None
    ok: bool | None = None
    detail: str = ""
    at_least: bool = False


def below(name: str, ours: float, theirs: float, peer: str, goal: float, detail: str = "") -> Row:
    """A ratio that should not exceed `goal`."""
    ratio = ours / theirs
    return Row(name, round(ratio, 4), "ratio", peer, goal, ratio <= goal, detail)


def fewer(name: str, ours: float, theirs: float, peer: str, goal: float | None = None, detail: str = "") -> Row:
    """How many times less than the peer; should be `goal` at least."""
    times = theirs / ours
    ok = None if goal is None else times >= goal
    return Row(name, round(times, 2), "× less", peer, goal, ok, detail, at_least=True)


def plain(name: str, value: float, unit: str, detail: str = "") -> Row:
    """A figure without a peer."""
    return Row(name, round(value, 3), unit, detail=detail)


@dataclass
class Report:
    """All rows of one run."""

    benchmark: str
    libraries: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    versions: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        # At once: a library that is not there is known before an hour of measuring, not after it.
        self.versions = {name: metadata.version(name) for name in self.libraries}

    def finish(self, *, as_json: bool) -> None:
        """Print, and write `results/NAME.json` here; exits 0 whether or not goals were met: a measurement that ran is a
        result.
        """
        document = {
            "benchmark": self.benchmark,
            "machine": machine(),
            "versions": self.versions,
            "rows": [asdict(row) for row in self.rows],
        }
        words = json.dumps(document, indent=1, allow_nan=False)
        _RESULTS.mkdir(exist_ok=True)
        (_RESULTS / f"{self.benchmark}.json").write_text(words + "\n")
        if as_json:
            click.echo(words)
            return
        click.echo(f"{self.benchmark} on {', '.join(f'{k} {v}' for k, v in machine().items())}")
        for row in self.rows:
            click.echo(f"  {line(row)}")


def line(row: Row) -> str:
    """A row as a person reads it."""
    goal = (
        "" if row.goal is None else f"goal {'≥' if row.at_least else '≤'} {row.goal:g} {'met' if row.ok else 'MISSED'}"
    )
    peer = "" if row.peer is None else f"{'than' if row.at_least else 'of'} {row.peer}"
    return f"{row.name:44} {row.value:>12,.3f} {row.unit:8} {peer:34} {goal:20} {row.detail}"


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {
        "cpu": model,
        "cores": os.cpu_count() or 1,
        "kernel": platform.release().partition("-")[0],
        "python": sys.version.partition(" ")[0],
    }


def turns_of(repeats: int, *actions: Callable[[], Figure]) -> list[list[Figure]]:
    """Each action's own figures, the actions taking turns so that a noisy moment hits all of them."""
    figures = [[action() for action in actions] for _ in range(repeats)]
    return [list(column) for column in zip(*figures, strict=True)]


def median_of(repeats: int, *actions: Callable[[], float]) -> list[float]:
    """Medians of what `turns_of` gives."""
    return [statistics.median(column) for column in turns_of(repeats, *actions)]


def timed(action: Callable[[], object]) -> Callable[[], float]:
    """CPU seconds of this process (all threads) that `action` takes."""

    def run() -> float:
        started = time.process_time()
        action()
        return time.process_time() - started

    return run


def cpu_s(pid: int) -> float:
    """User and system CPU seconds a process has used so far (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def resident_bytes(pid: int) -> int:
    """Resident memory of a process now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
