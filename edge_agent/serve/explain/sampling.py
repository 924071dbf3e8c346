"""Shapley values from random permutations. Pure: the model is a function that is asked about coalitions.

Štrumbelj & Kononenko 2014: a feature's contribution is the mean change of the output when its value joins those of the
features before it in a random order (Castro et al. 2009), all others taking the values of a background row. Every order
is also walked backwards from the same background row (antithetic pairs), which cancels much of the noise (Mitchell et
al. 2022). A walk begins at the background row and ends at the row explained, so that each pair's contributions add up
to the difference of the two, and all of them to the output minus the mean over the background rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
# Coalitions [n, features], True: the explained row's own value, and the background row of each [n] → outputs [n].
Ask = Callable[[NDArray[np.bool_], NDArray[np.intp]], Reals]

_SEED = 20_140_612
_CHUNK_CELLS = 1 << 18


@dataclass(frozen=True)
class Estimate:
    """`contributions` and `standard_errors` [features]; `base`: the mean output over the background rows."""

    base: float
    contributions: Reals
    standard_errors: Reals


def evaluations(features: int, pairs: int) -> int:
    """How many rows the model is asked about to explain one, the row itself included."""
    return pairs * (2 * features - 1) + 1


def sample(features: int, pairs: int, output: float, ask: Ask) -> Estimate:
    """Contributions to `output` from `pairs` antithetic pairs of permutations, one for each background row."""
    rng = np.random.default_rng(_SEED)
    ranks = rng.permuted(np.tile(np.arange(features), (pairs, 1)), axis=1)
    step = max(1, _CHUNK_CELLS // ((2 * features - 1) * features))
    bases: list[Reals] = []
    parts: list[Reals] = []
    for start in range(0, pairs, step):
        base, part = _walked(ranks[start : start + step], start, output, ask)
        bases.append(base)
        parts.append(part)
    found = np.concatenate(parts)
    errors = found.std(axis=0, ddof=1) / np.sqrt(pairs)
    return Estimate(float(np.concatenate(bases).mean()), found.mean(axis=0), errors)


def _walked(ranks: NDArray[np.intp], start: int, output: float, ask: Ask) -> tuple[Reals, Reals]:
    """The outputs of the background rows [pairs] and the contributions [pairs, features]."""
    pairs, features = ranks.shape
    inner = np.arange(1, features)[:, None]
    forwards, backwards = ranks[:, None, :] < inner, (features - 1 - ranks)[:, None, :] < inner
    nobody = np.zeros((pairs, 1, features), dtype=bool)
    coalitions = np.concatenate([nobody, forwards, backwards], axis=1)
    rows = np.repeat(np.arange(start, start + pairs), coalitions.shape[1])
    outputs = ask(coalitions.reshape(-1, features), rows).reshape(pairs, -1)
    ends = np.full((pairs, 1), output)
    there = np.diff(np.hstack([outputs[:, :features], ends]), axis=1)
    back = np.diff(np.hstack([outputs[:, :1], outputs[:, features:], ends]), axis=1)
    contributions = np.take_along_axis(there, ranks, axis=1) + np.take_along_axis(back, features - 1 - ranks, axis=1)
    return outputs[:, 0], contributions / 2


def balanced(contributions: Reals, difference: float) -> Reals:
    """The contributions, adding up to `difference`: what rounding left is shared out in proportion to their size."""
    residue = difference - float(contributions.sum())
    sizes = np.abs(contributions)
    total = float(sizes.sum())
    shares = sizes / total if total > 0 else np.full(len(sizes), 1 / len(sizes))
    return np.asarray(contributions + residue * shares)
