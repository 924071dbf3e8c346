"""What a conversion tells while it works: the stage it is in, and what it is busy with there.

A listener is called in the converting thread, in the order of `Stage`; it must be quick, and what it raises ends the
conversion. Figures belong to the report, never here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """The stages of a conversion in the order in which they happen; the values are words for people."""

    READ = "reading model and rows"
    ASK = "asking the source model"
    EXPORT = "trying plans"
    SHRINK = "weighing variants"
    PLAIN = "making the plain export"
    TIME = "timing one row and many"
    JUDGE = "judging on rows that chose nothing"
    MEASURE = "measuring memory and latency"
    PACK = "packing"


@dataclass(frozen=True)
class Step:
    """One step: `detail` is what is at work, such as a plan's or variant's name; `done` of `total` where both are known
    (`total` 0: not known).
    """

    stage: Stage
    detail: str = ""
    done: int = 0
    total: int = 0


Progress = Callable[[Step], None]


def quiet(step: Step) -> None:
    """The listener that does nothing."""
