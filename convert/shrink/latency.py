"""CPU time of several models side by side: their calls take turns, so that what disturbs one disturbs all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from convert.check.session import open_session

Feeds = Mapping[str, NDArray[Any]]
_ROUNDS = 400
_MOST_S = 1.5
_WARMUP = 10
_REPEATS = 3


def time_calls(contents: Sequence[bytes], feeds: Sequence[Feeds], batch: int) -> list[float]:
    """Median CPU microseconds of one call with `batch` rows, for each model with its own feeds (rows enough for some
    batches). Raises what onnxruntime raises.
    """
    sessions = [open_session(content) for content in contents]
    batches = [_batches(rows, batch) for rows in feeds]
    taken: list[list[int]] = [[] for _ in sessions]
    deadline = time.perf_counter() + _MOST_S
    for turn in range(_WARMUP + _ROUNDS):
        for place, session in enumerate(sessions):
            taken[place].append(_one(session, batches[place][turn % len(batches[place])]))
        if time.perf_counter() > deadline and turn > _WARMUP:
            break
    return [float(np.median(line[_WARMUP:])) / 1000 for line in taken]


def time_ratio(contents: tuple[bytes, bytes], feeds: tuple[Feeds, Feeds]) -> float:
    """The first model's CPU time for one row over the second one's: the median of some measurements of these two
    alone. Other work on the machine moves a single one by a fifth.
    """
    measured = [time_calls(contents, feeds, 1) for _ in range(_REPEATS)]
    return float(np.median([ours / theirs for ours, theirs in measured]))


def _one(session: onnxruntime.InferenceSession, rows: dict[str, NDArray[Any]]) -> int:
    start = time.thread_time_ns()
    session.run(None, rows)
    return time.thread_time_ns() - start


def _batches(rows: Feeds, batch: int) -> list[dict[str, NDArray[Any]]]:
    count = len(next(iter(rows.values())))
    starts = range(0, max(count - batch, 0) + 1, batch)
    return [{name: values[start : start + batch] for name, values in rows.items()} for start in starts]
