"""How many labels a form that rounds is likely to change among rows like those shown. Pure.

A label changes where rounding takes more off the lead of its class than there is. Counting changed labels tells little
of a few hundred rows: none of 700 still allows 0.4 % (the rule of three, Hanley and Lippman-Hand 1983). But every row
tells a lead and what rounding took off it, and each loss might have met each lead: the share of such pairs in which the
loss is larger estimates the share of labels (a two-sample U-statistic, the one of Mann and Whitney 1947), about as well
as counting does among four times as many rows.
"""

from __future__ import annotations

import numpy as np

from convert.check.parity import Answers, Number

# Rounding moves a probability most where it is in the middle, so losses are those of rows with small leads.
_NEAR_SHARE = 4
_FEWEST = 64


def likely_changes(expected: Answers, got: Answers) -> float:
    """The share of labels likely to change; 0 where there are no labels, or no numbers [rows, k] that lead to them."""
    if expected.label is None or expected.label.ndim > 1 or expected.numbers is None or got.numbers is None:
        return 0.0
    lead = _lead(expected.numbers, expected.numbers)
    loss = lead - _lead(expected.numbers, got.numbers)
    known = np.isfinite(lead) & np.isfinite(loss)
    lead, loss = lead[known], loss[known]
    if len(lead) == 0:
        return 0.0
    near = np.argsort(lead, kind="stable")[: max(len(lead) // _NEAR_SHARE, _FEWEST)]
    losses = np.sort(loss[near])
    larger = len(losses) - np.searchsorted(losses, lead, side="right")
    return float(larger.mean() / len(losses))


def _lead(chosen: Number, numbers: Number) -> Number:
    """By how much `numbers` put the class that leads in `chosen` before the second one of there [rows]."""
    if chosen.shape[1] == 1:
        alone: Number = np.sign(chosen[:, 0]) * numbers[:, 0]
        return alone
    rows, order = np.arange(len(chosen)), np.argsort(chosen, axis=1, kind="stable")
    found: Number = numbers[rows, order[:, -1]] - numbers[rows, order[:, -2]]
    return found
