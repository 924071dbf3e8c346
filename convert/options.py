"""What a conversion may be told, and the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from edgekit.errors import UsageFault
from edgekit.names import check_model_name, check_version


class OptionWords(TypedDict, total=False):
    """The keyword arguments of `convert.convert`, one for each field of `Options`."""

    target: str | None
    name: str | None
    version: str
    max_label_change: float
    max_metric_drop: float
    trust_pickle: bool
    measured: Path | None


@dataclass(frozen=True)
class Options:
    """Options of one conversion.

    `target`: column with the true answers; it is no feature. `name`, `version`: of the bundle (name defaults to the
    model's file or class name). `max_label_change`: share of rows, 0 to 1, whose answer may change. `max_metric_drop`:
    how far accuracy or R² on `target` may fall. `trust_pickle`: load pickles, which run code of whoever made them.
    `measured`: a `measured.json` of an earlier conversion, to rebuild identical bytes.
    """

    target: str | None = None
    name: str | None = None
    version: str = "1.0.0"
    max_label_change: float = 0.001
    max_metric_drop: float = 0.005
    trust_pickle: bool = False
    measured: Path | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            check_model_name(self.name)
        check_version(self.version)
        for word, budget in (("max_label_change", self.max_label_change), ("max_metric_drop", self.max_metric_drop)):
            if not 0 <= budget <= 1:
                raise UsageFault(
                    f"{word} is {budget}: give a share from 0 to 1, such as 0.001 for one row in a thousand"
                )
