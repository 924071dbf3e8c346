"""What a conversion may be told, and the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, get_args

from edgekit.errors import UsageFault
from edgekit.names import check_model_name, check_version

Objective = Literal["size", "latency", "balanced"]
DEFAULT_METRIC_DROP = 0.005


class OptionWords(TypedDict, total=False):
    """The keyword arguments of `convert.convert`, one for each field of `Options`."""

    target: str | None
    name: str | None
    version: str
    max_label_change: float
    max_drift: float
    max_metric_drop: float | None
    objective: Objective
    trust_pickle: bool
    measured: Path | None


@dataclass(frozen=True)
class Options:
    """Options of one conversion.

    `target`: column with the true answers; it is no feature. `name`, `version`: of the bundle (name defaults to the
    model's file or class name). `max_label_change`: share of rows, 0 to 1, whose answer may change; 0 allows only exact
    forms. `max_drift`: how far the numbers of a form that rounds may move before they count as a changed answer: a
    probability by that much, a value or score by that share of their standard deviation. `max_metric_drop`: how far
    accuracy or R² on `target` may fall (None: 0.005); only when it is given are forms with fewer trees weighed.
    `objective`: what to choose by among the forms within the budget (`convert.shrink.choose` tells the rules).
    `trust_pickle`: load pickles, which run code of whoever made them. `measured`: a `measured.json` of an earlier
    conversion, to rebuild identical bytes.
    """

    target: str | None = None
    name: str | None = None
    version: str = "1.0.0"
    max_label_change: float = 0.001
    max_drift: float = 0.02
    max_metric_drop: float | None = None
    objective: Objective = "balanced"
    trust_pickle: bool = False
    measured: Path | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            check_model_name(self.name)
        check_version(self.version)
        if self.objective not in get_args(Objective):
            raise UsageFault(f"objective {self.objective!r} is unknown: give one of {', '.join(get_args(Objective))}")
        for word in ("max_label_change", "max_drift", "max_metric_drop"):
            budget = getattr(self, word)
            if budget is not None and not 0 <= budget <= 1:
                raise UsageFault(
                    f"{word} is {budget}: give a share from 0 to 1, such as 0.001 for one row in a thousand"
                )

    @property
    def metric_drop(self) -> float:
        """The budget for the fall of the metric."""
        return DEFAULT_METRIC_DROP if self.max_metric_drop is None else self.max_metric_drop
