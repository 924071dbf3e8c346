"""Clients of the agents: one that compares every held-out row, one that keeps predicting."""

from __future__ import annotations

import csv
import http.client
import itertools
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BATCH_ROWS = 200
TOLERANCE = 1e-4


@dataclass(frozen=True)
class HeldOut:
    """Rows that neither training nor conversion saw, with scikit-learn's own answers."""

    rows: list[dict[str, float]]
    labels: list[int]
    probabilities: list[list[float]]

    @classmethod
    def read(cls, path: Path, features: list[str]) -> HeldOut:
        """Columns: the features, `prediction`, `probability_0`, `probability_1`, …"""
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
        names = sorted(name for name in lines[0] if name.startswith("probability_"))
        return cls(
            rows=[{name: float(line[name]) for name in features} for line in lines],
            labels=[int(float(line["prediction"])) for line in lines],
            probabilities=[[float(line[name]) for name in names] for line in lines],
        )


@dataclass
class Comparison:
    """How an agent's answers over HTTP compare with scikit-learn's."""

    rows: int = 0
    different: int = 0
    worst_probability: float = 0.0


class AgentClient:
    """A keep-alive connection to one agent."""

    def __init__(self, address: str) -> None:
        self._host = address.removeprefix("http://")
        self._connection = http.client.HTTPConnection(self._host, timeout=10)

    def __enter__(self) -> AgentClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def predict(self, rows: dict[str, float] | list[dict[str, float]]) -> dict[str, Any]:
        """POST /predict. Raises OSError or HTTPException when the agent is away, ValueError for another status."""
        return self.call("POST", "/predict", json.dumps(rows))

    def call(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        """One request; the JSON answer."""
        try:
            self._connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if answer.status != 200:
            raise ValueError(f"{path} answered {answer.status}: {content[:200]!r}")
        document: dict[str, Any] = json.loads(content)
        return document


def compare(address: str, held_out: HeldOut) -> Comparison:
    """Every held-out row through the agent's HTTP interface, against scikit-learn's answer for it."""
    found = Comparison()
    with AgentClient(address) as client:
        for start in range(0, len(held_out.rows), BATCH_ROWS):
            answers = client.predict(held_out.rows[start : start + BATCH_ROWS])
            for offset, label in enumerate(answers["predictions"]):
                found.rows += 1
                found.different += label != held_out.labels[start + offset]
                ours = answers["probabilities"][offset].values()
                theirs = held_out.probabilities[start + offset]
                worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
                found.worst_probability = max(found.worst_probability, worst)
    return found


@dataclass
class Traffic:
    """A client that predicts one row after another on every agent until stopped."""

    addresses: dict[str, str]
    rows: list[dict[str, float]]
    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Traffic:
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._predict, args=item, daemon=True) for item in self.addresses.items()
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _predict(self, device: str, address: str) -> None:
        with AgentClient(address) as client:
            for row in itertools.cycle(self.rows):
                if self._stopped.is_set():
                    return
                try:
                    answer = client.predict(row)
                    self.answered[f"{device} {answer['model']}"] += 1
                except (OSError, http.client.HTTPException, ValueError):
                    self.failed[device] += 1
                    self._stopped.wait(0.05)  # the agent is being restarted
                self._stopped.wait(0.002)  # a steady client, not a load test: the machine has other things to show
