"""What the demo shows: a line a step, a live table during a rollout, a summary; JSON when a machine asks."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table


class Screen:
    """Talks to a person, or stays silent until the JSON at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(stderr=as_json, quiet=as_json, highlight=False)
        self._started = time.monotonic()

    def chapter(self, title: str) -> None:
        """A new part of the story."""
        self._console.rule(f"[bold]{title}", align="left")

    def say(self, text: str) -> None:
        """One fact, with the seconds since the start."""
        self._console.print(f"[dim]{time.monotonic() - self._started:5.1f}s[/dim]  {text}")

    @contextmanager
    def rollout(self) -> Iterator[Any]:
        """A live view: call what this yields with the rollout and the versions per device."""
        if self._as_json or not self._console.is_terminal:
            last: list[str] = []
            yield lambda rollout, versions: self._line(rollout, versions, last)
            return
        with Live(console=self._console, refresh_per_second=8, transient=False) as live:
            yield lambda rollout, versions: live.update(_picture(rollout, versions))

    def _line(self, rollout: Mapping[str, Any], versions: Mapping[str, str], last: list[str]) -> None:
        stages = ", ".join(f"stage {stage['number']} {stage['state']}" for stage in rollout["stages"])
        text = f"{rollout['state']}: {stages}; " + ", ".join(f"{name} {text}" for name, text in versions.items())
        if last != [text]:
            last[:] = [text]
            self.say(text)

    def summary(self, facts: Mapping[str, Any]) -> None:
        """The closing page."""
        if self._as_json:
            json.dump(facts, sys.stdout)
            sys.stdout.write("\n")
            return
        table = Table(title="what happened", show_header=False, title_justify="left")
        for name, value in facts.items():
            table.add_row(_words(name), _said(value))
        self._console.print(table)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _said(value: Any) -> str:
    """A value as a person reads it."""
    match value:
        case dict():
            return ", ".join(f"{_words(name)} {_said(inner)}" for name, inner in value.items())
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.1e}" if 0 < value < 0.001 else f"{value:g}"
        case _:
            return str(value)


def _picture(rollout: Mapping[str, Any], versions: Mapping[str, str]) -> Group:
    stages = Table(box=None, pad_edge=False)
    for heading in ("stage", "state", "done", ""):
        stages.add_column(heading)
    for stage in rollout["stages"]:
        done, total = ended(stage), max(1, sum(stage["counts"].values()))
        bar = ProgressBar(total=total, completed=done, width=24)
        stages.add_row(str(stage["number"]), stage["state"], f"{done}/{total}", bar)
    devices = Table(box=None, pad_edge=False)
    for name in versions:
        devices.add_column(name)
    devices.add_row(*versions.values())
    return Group(f"[bold]{rollout['id']}[/bold] {rollout['state']}", stages, devices)


def ended(stage: Mapping[str, Any]) -> int:
    """Devices of a stage that are through with the update, well or badly."""
    waiting = (
        "pending",
        "offered",
        "queued",
        "waiting",
        "downloading",
        "verifying",
        "testing",
        "activating",
        "soaking",
    )
    return sum(count for state, count in stage["counts"].items() if state not in waiting)
