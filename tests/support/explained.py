"""Shapley values the long way, from a scikit-learn model itself: what the agent's explanations are held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from edgekit import bundle as bundles
from edgekit import packing
from edgekit.golden import NumericBins, Reference, decode_reference

Reals = NDArray[np.float64]
Ask = Callable[[Reals], Reals]

_ROWS = 2048


def reference_of(content: bytes) -> Reference:
    """The reference of a bundle."""
    return decode_reference(packing.expand(bundles.parse(content), "reference"))


@dataclass(frozen=True)
class Exact:
    """`values`: contributions by full enumeration of all coalitions; `noise`: how far they may be off, a standard
    error, because the expectation is taken over some thousand rows.
    """

    values: Reals
    noise: float


def enumerate_exactly(ask: Ask, row: Reals, reference: Reference) -> Exact:
    """The Shapley values of `ask` at `row` [features], by asking for every coalition of features, the others drawn from
    the bins independently of each other.
    """
    count = len(row)
    background = drawn(reference)
    worth = {}
    for size in range(count + 1):
        for members in combinations(range(count), size):
            rows = background.copy()
            rows[:, members] = row[list(members)]
            worth[members] = ask(rows)
    found = np.zeros((count, len(background)))
    for members, outputs in worth.items():
        for feature in set(range(count)) - set(members):
            weight = factorial(len(members)) * factorial(count - len(members) - 1) / factorial(count)
            joined = tuple(sorted((*members, feature)))
            found[feature] += weight * (worth[joined] - outputs)
    return Exact(found.mean(axis=1), float(found.std(axis=1).max()) / np.sqrt(_ROWS))


def drawn(reference: Reference) -> Reals:
    """Rows of independent features [rows, features] with the shares that numeric bins tell."""
    rng = np.random.default_rng(7)
    columns = []
    for line in reference.features:
        assert isinstance(line, NumericBins)
        shares = np.array(line.counts) / sum(line.counts)
        columns.append(rng.choice(np.array(line.means), _ROWS, p=shares))
    return np.column_stack(columns)


def table(rows: int, features: int, seed: int = 0) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Rows of `features` numbers, some of them skewed or stepped, and a target that needs pairs of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features))
    x[:, 1] = np.exp(x[:, 1])
    x[:, 2] = np.round(x[:, 2])
    y = x[:, 0] * x[:, 2] + 0.5 * x[:, 1] + x[:, -1] ** 2 + 0.1 * rng.normal(size=rows)
    return pd.DataFrame(x, columns=[f"s{place}" for place in range(features)]), y
