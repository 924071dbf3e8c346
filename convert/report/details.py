"""The figures of a report beside parity: calibration, confusion, residuals and features. Part of `report.json`."""

from __future__ import annotations

import msgspec


class StepLine(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the source model: its name in the pipeline ("" without one) and its class."""

    name: str
    kind: str


class FeatureLine(msgspec.Struct, frozen=True, kw_only=True):
    """One feature as the given rows have it. `low`, `median`, `high`: of numbers. `categories`: the most frequent
    texts or booleans with their counts; `distinct`: how many there are in all.
    """

    name: str
    kind: str
    missing: int
    low: float | None = None
    median: float | None = None
    high: float | None = None
    distinct: int
    categories: list[tuple[str, int]] = []


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Rows whose probability lies in (`low`, `high`] (the first bin includes 0): how many there are, the mean
    probability, and the share for which it came true. The means are None in an empty bin.
    """

    low: float
    high: float
    rows: int
    predicted: float | None
    observed: float | None


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """A reliability curve. `error`: expected calibration error, the mean of |observed − predicted| weighted by rows
    (Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 5). `brier`: the mean of (probability − came
    true)², as sklearn.metrics.brier_score_loss.
    """

    bins: list[ReliabilityBin]
    error: float
    brier: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Reliability before and after conversion, on held-out rows. `of`: the class whose probability it is, None for
    the probability of whatever class is predicted.
    """

    of: str | None
    before: Reliability
    after: Reliability


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of held-out rows, [true or source class][predicted class], classes in the order of `classes`.

    With a target both matrices have the true class in rows. Without one, `before` is None, and `after` has the source
    model's class in rows. Rare classes beyond a dozen are counted together as the last one, `others`.
    """

    with_target: bool
    classes: list[str]
    before: list[list[int]] | None
    after: list[list[int]]
    others: int = 0


class Residuals(msgspec.Struct, frozen=True, kw_only=True):
    """Target minus prediction on held-out rows, counted between `edges` (n + 1 edges, n counts; what lies outside is
    counted in the outermost bins), before and after conversion, and its root mean square and mean absolute value.
    """

    edges: list[float]
    before: list[int]
    after: list[int]
    rmse: tuple[float, float]
    mae: tuple[float, float]


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """`rows`: all rows given; about half of them chose a plan (`selection_rows`), the others judged it.
    `max_metric_drop`: how far the metric was allowed to fall.
    """

    rows: int
    selection_rows: int
    edge_rows: int
    max_metric_drop: float
    steps: list[StepLine]
    features: list[FeatureLine]
    calibration: Calibration | None = None
    confusion: Confusion | None = None
    residuals: Residuals | None = None
