"""Runs every case in a child of its own, so that one that hangs or crashes is a line and not the end.

The parent has imported everything and opened nothing, so a fork is cheap and safe.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from benchmarks.converting.cases import Case, Fitted
from benchmarks.converting.judge import judge_bundle
from benchmarks.converting.plain import judge_plain
from convert import convert
from convert.pipeline import Conversion
from edgekit.errors import EdgekitError

LIMIT_S, PLAIN_LIMIT_S = 150.0, 40.0
_MEMORY_BYTES = 4 << 30

Outcome = Literal["parity", "refused", "different", "crashes", "no case"]


@dataclass(frozen=True)
class Found:
    """What became of a case. `outcome` and `why` are edgekit's, `plain` and `plain_why` the peer's."""

    name: str
    kind: str
    outcome: Outcome
    why: str = ""
    plan: str = ""
    furthest: float = 0.0
    plain: str = ""
    plain_why: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Silently different, a crash, or a refusal of what the plain export gets right."""
        return self.outcome in ("different", "crashes") or (self.outcome == "refused" and self.plain == "right")


def record_of_nothing(folder: Path) -> Path:
    """A record of measured latencies to replay, so that cases that judge answers need not measure any."""
    rows = pd.DataFrame({"x": np.arange(20.0)})
    made = convert(LinearRegression().fit(rows, rows["x"]), rows, max_label_change=0.0)
    record = folder / "measured.json"
    record.write_bytes(made.documents["measured.json"])
    return record


def try_all(cases: list[Case], measured: Path | None, *, at_once: int = 2) -> Iterator[Found]:
    """Every case's finding, in the order in which they end. `measured` replaces the measuring of latencies."""
    waiting, running = list(reversed(cases)), dict[Connection, _Child]()
    while waiting or running:
        while waiting and len(running) < at_once:
            child = _Child(waiting.pop(), measured)
            running[child.answers] = child
        for answers in wait(list(running), timeout=1.0):
            assert isinstance(answers, Connection)
            if running[answers].listen():
                yield running.pop(answers).end()
        for answers, child in list(running.items()):
            if child.late:
                yield running.pop(answers).stop()


class _Child:
    """One case under way. It says what became of edgekit's part, then what became of the peer's."""

    def __init__(self, case: Case, measured: Path | None) -> None:
        context = multiprocessing.get_context("fork")
        self.answers, mine = context.Pipe(duplex=False)
        self._case = case
        self._found: Found | None = None
        self._deadline, self._limit_s = time.monotonic() + LIMIT_S, LIMIT_S
        self._process = context.Process(target=_report, args=(mine, case, measured))
        self._process.start()
        mine.close()

    @property
    def late(self) -> bool:
        """It has taken longer than a part of a case may."""
        return time.monotonic() > self._deadline

    def listen(self) -> bool:
        """Take what it says; true when that was the last."""
        try:
            self._found = self.answers.recv()
        except EOFError:
            return True
        self._deadline, self._limit_s = time.monotonic() + PLAIN_LIMIT_S, PLAIN_LIMIT_S
        return False

    def stop(self) -> Found:
        """Give up what takes too long."""
        return self.end(f"not done after {self._limit_s:.0f} s")

    def end(self, why: str = "its process died") -> Found:
        """What is known of the case, its process being gone or stopped now. `why`: what happened to an open part."""
        self._process.kill()
        self._process.join()
        self.answers.close()
        if self._found is None:
            return Found(self._case.name, self._case.kind, "crashes", why)
        unasked = self._found.plain or self._found.outcome == "no case"
        return self._found if unasked else replace(self._found, plain="fails", plain_why=why)


def _report(answers: Connection, case: Case, measured: Path | None) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    warnings.simplefilter("ignore")
    try:
        fitted = case.fit()
    except Exception as error:  # noqa: BLE001 - an estimator may refuse its rows in any way
        answers.send(Found(case.name, case.kind, "no case", f"{type(error).__name__}: {error}"))
        return
    started = time.monotonic()
    words = _exact_or_default(fitted, {"measured": measured, "name": "case"})
    found = Found(case.name, case.kind, **words, seconds=round(time.monotonic() - started, 1))
    answers.send(found)
    plain, plain_why = judge_plain(fitted)
    answers.send(replace(found, plain=plain, plain_why=plain_why))


def _exact_or_default(fitted: Fitted, options: dict[str, Any]) -> dict[str, Any]:
    """The form that changes nothing; where there is none, the one that is made by default, judged by the same rule."""
    exact = convert_and_judge(fitted, options | {"max_label_change": 0.0})
    return convert_and_judge(fitted, options) if exact["why"].startswith("parity: ") else exact


def convert_and_judge(fitted: Fitted, options: dict[str, Any]) -> dict[str, Any]:
    """The converter's part of a finding."""
    try:
        made: Conversion = convert(fitted.model, fitted.shown, **options)
    except EdgekitError as error:
        return {"outcome": "refused", "why": f"{error.reason}: {error.message}"}
    except Exception as error:  # noqa: BLE001 - a fault that is not worded for people is the finding
        return {"outcome": "crashes", "why": f"{type(error).__name__}: {error}"}
    try:
        found = judge_bundle(fitted, made.content)
    except Exception as error:  # noqa: BLE001 - a bundle that a device cannot run is as bad as a wrong one
        return {"outcome": "different", "why": f"{type(error).__name__}: {error}", "plan": made.manifest.plan}
    outcome = "parity" if found.agrees else "different"
    why = "" if found.agrees else found.words
    return {"outcome": outcome, "why": why, "plan": made.manifest.plan, "furthest": found.furthest}
