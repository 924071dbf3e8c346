"""The rows of the cases: what a converter is shown, and rows of other seeds that it never sees.

Small real sets are split, and the unseen part is enlarged by mixtures of its rows with some noise: more decimals and
more combinations than any converter saw.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits, load_wine

Matrix = NDArray[np.float64]
UNSEEN = 600


def mixed(rows: Matrix, count: int = UNSEEN, seed: int = 90) -> Matrix:
    """`rows` and mixtures of two of them with noise of 5 % of each column's spread."""
    random = np.random.default_rng(seed)
    share = random.uniform(0, 1, (count, 1))
    pairs = rows[random.integers(0, len(rows), (2, count))]
    noise = random.normal(0, 0.05, (count, rows.shape[1])) * rows.std(axis=0)
    return np.asarray(np.vstack([rows, share * pairs[0] + (1 - share) * pairs[1] + noise]))


@cache
def wine() -> tuple[Matrix, NDArray[np.int64], Matrix]:
    """13 features, 3 classes: shown rows, their answers, unseen rows."""
    rows, answers = load_wine(return_X_y=True)
    order = np.random.default_rng(11).permutation(len(rows))
    shown, kept = order[:120], order[120:]
    return rows[shown], answers[shown], mixed(rows[kept])


@cache
def diabetes() -> tuple[Matrix, Matrix, Matrix]:
    """10 features, a positive number to predict."""
    rows, answers = load_diabetes(return_X_y=True)
    order = np.random.default_rng(12).permutation(len(rows))
    shown, kept = order[:300], order[300:]
    return rows[shown], answers[shown].astype(np.float64), mixed(rows[kept])


@cache
def counts() -> tuple[Matrix, NDArray[np.int64], Matrix]:
    """64 whole numbers from 0 to 16 (digits), 10 classes; the unseen ones are real digits too."""
    rows, answers = load_digits(return_X_y=True)
    order = np.random.default_rng(13).permutation(len(rows))
    return rows[order[:500]], answers[order[:500]], rows[order[500:1100]]


def with_gaps(rows: Matrix, seed: int, share: float = 0.1) -> Matrix:
    """Some values missing."""
    gaps = np.random.default_rng(seed).uniform(size=rows.shape) < share
    return np.where(gaps, np.nan, rows)


def synthetic(seed: int, rows: int = UNSEEN, *, offset: float = 0.0) -> Matrix:
    """8 features of different scales and shapes, the same distribution for every seed."""
    random = np.random.default_rng(seed)
    scales = np.array([1.0, 10.0, 0.1, 1.0, 5.0, 1.0, 100.0, 2.0])
    normal = random.normal(size=(rows, 8)) * scales + offset
    normal[:, 4] = random.integers(0, 12, rows)
    normal[:, 5] = np.exp(random.normal(size=rows))
    return np.asarray(normal)


def score_of(rows: Matrix) -> Matrix:
    """The number behind the generated answers: smooth, with an interaction and a step."""
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return np.asarray(scaled[:, 0] + scaled[:, 1] * scaled[:, 2] - np.abs(scaled[:, 3]) + (scaled[:, 4] > 0.3))


def classes_of(rows: Matrix, count: int, seed: int = 5) -> NDArray[np.int64]:
    """Evenly filled classes by that number, with a little noise."""
    noisy = score_of(rows) + np.random.default_rng(seed).normal(0, 0.2, len(rows))
    return np.asarray(np.searchsorted(np.quantile(noisy, np.arange(1, count) / count), noisy))


_WORDS = [
    "pump",
    "valve",
    "motor",
    "belt",
    "Sensor",
    "fan",
    "Filter",
    "pressure",
    "leak",
    "noise",
    "high",
    "low",
    "replaced",
    "checked",
    "the",
    "and",
    "of",
    "in",
    "on",
    "was",
    "is",
    "bearing",
    "oil",
    "temperature",
    "OK",
    "not",
    "found",
    "worn",
    "Loose",
    "tight",
    "shift",
    "night",
    "day",
    "Line",
    "two",
    "three",
    "a1",
    "b-2",
    "über",
    "straße",
]


def texts(seed: int, count: int = 300) -> list[str]:
    """Short remarks with capitals, punctuation, umlauts, repeated words, and now and then nothing known."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, 12, count)
    remarks = [" ".join(random.choice(_WORDS, length)) for length in lengths]
    return [remark + random.choice(["", ".", ", again!", "; see 12"]) for remark in remarks]


def topics_of(remarks: list[str]) -> NDArray[np.int64]:
    """0, 1 or 2, by words."""
    return np.array([("pump" in text or "oil" in text) + ("leak" in text or "noise" in text) for text in remarks])


SITES = ("north", "south", "east", "Köln", "x")
MODES = ("eco", "normal", "boost")


def machines(seed: int, rows: int = UNSEEN, *, gaps: bool = True) -> pd.DataFrame:
    """A table as people have it: doubles, whole numbers, texts, booleans and missing values."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "temperature": random.normal(60, 15, rows),
            "pressure": np.exp(random.normal(1, 0.5, rows)),
            "cycles": random.integers(0, 5000, rows),
            "age": random.integers(1, 20, rows),
            "site": random.choice(SITES, rows, p=[0.4, 0.3, 0.15, 0.1, 0.05]),
            "mode": random.choice(MODES, rows),
            "running": random.uniform(size=rows) < 0.7,
        }
    )
    if gaps:
        frame.loc[random.uniform(size=rows) < 0.1, "temperature"] = np.nan
        frame.loc[random.uniform(size=rows) < 0.08, "site"] = np.nan
    return frame


def wear(frame: pd.DataFrame, seed: int = 6) -> NDArray[np.float64]:
    """The number behind the machines' answers."""
    heat = frame["temperature"].fillna(60).to_numpy() / 15
    place = frame["site"].map({site: place for place, site in enumerate(SITES)}).fillna(2).to_numpy(dtype=np.float64)
    mode = frame["mode"].map({"eco": -1.0, "normal": 0.0, "boost": 2.0}).to_numpy(dtype=np.float64)
    noise = np.random.default_rng(seed).normal(0, 0.2, len(frame))
    running = frame["running"].to_numpy(dtype=np.float64)
    return np.asarray(heat + frame["cycles"].to_numpy() / 1500 + mode * running + 0.3 * place + noise)


Rows = Callable[[int], Any]
