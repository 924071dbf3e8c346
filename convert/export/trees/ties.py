"""Tells whether float32 sums of a forest could take another class than scikit-learn's float64 sums.

They could where two classes are as good as even, which happens in forests of few trees with small leaves. Rows drawn
from the forest's own thresholds show it: they lie where its classes meet, so they tie more often than real rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_ROWS = 8192
_SEED = 0
# float32 sums of shares, divided by the number of trees, are off by less.
_EVEN = 1e-6


def likely(trees: list[Any]) -> bool:
    """True when some drawn row finds the classes of these trees of `sklearn.tree` even. One tree is exact."""
    if len(trees) == 1:
        return False
    rows = _drawn(trees)
    lead = np.zeros(_ROWS)
    for tree in trees:
        value = tree.value[:, 0, :]
        lead += (value[:, 1] - value[:, 0])[tree.apply(rows)]
    return bool((np.abs(lead) / len(trees) < _EVEN).any())


def _drawn(trees: list[Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Rows whose every feature is a threshold that some tree compares it with, or just above it."""
    feature = np.concatenate([tree.feature for tree in trees])
    threshold = np.concatenate([tree.threshold for tree in trees])
    random = np.random.default_rng(_SEED)
    rows = np.zeros((_ROWS, trees[0].n_features), dtype=np.float32)
    for column in np.unique(feature[feature >= 0]):
        known = threshold[(feature == column) & np.isfinite(threshold)]
        if len(known):
            rows[:, column] = random.choice(known, _ROWS)
    return rows
