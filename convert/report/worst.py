"""The rows on which both models disagree most, as a page shows them. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from convert.check.worst import WorstRow
from convert.pack.report import Report
from convert.report.words import NOTHING

_SHOWN_ANSWERS = 4
_SHOWN_VALUES = 40


@dataclass(frozen=True)
class WorstLine:
    """`answers`: name, source model's and converted model's answer, the most different first; `values`: features with
    what the row holds, of which `more` are left out.
    """

    what: str
    counts: bool
    answers: list[tuple[str, str, str]]
    values: list[tuple[str, str]]
    more: int


def worst_lines(report: Report) -> list[WorstLine]:
    """The worst ordinary rows, then the worst edge rows."""
    named = [_names(report, len(row.expected)) for row in (*report.worst, *report.worst_edge)]
    ordinary = [_line(row, "held-out row", names) for row, names in zip(report.worst, named, strict=False)]
    edge = [
        _line(row, f"edge row: {row.about}", names)
        for row, names in zip(report.worst_edge, named[len(report.worst) :], strict=True)
    ]
    return ordinary + edge


def _names(report: Report, width: int) -> list[str]:
    """What a row's numbers are called."""
    output = next((line for line in report.manifest.outputs if line.role != "label"), None)
    if output is None:
        return [""] * width
    if output.classes is not None and len(output.classes) >= width:
        return [f"P({value})" for value in output.classes[:width]]
    return [output.role] if width == 1 else [f"{output.role} {place + 1}" for place in range(width)]


def _line(row: WorstRow, what: str, names: list[str]) -> WorstLine:
    values = [(name, _said(value)) for name, value in row.row.items()]
    label = [("label", _said(row.expected_label), _said(row.got_label))] if row.expected_label is not None else []
    return WorstLine(
        what=what,
        counts=not row.within,
        answers=label + _numbers(row, names),
        values=values[:_SHOWN_VALUES],
        more=max(0, len(values) - _SHOWN_VALUES),
    )


def _numbers(row: WorstRow, names: list[str]) -> list[tuple[str, str, str]]:
    """The numbers that differ most."""
    got = row.got if len(row.got) == len(row.expected) else [None] * len(row.expected)
    lines = sorted(zip(names, row.expected, got, strict=True), key=lambda line: -_difference(line[1], line[2]))
    return [(name, _said(before), _said(after)) for name, before, after in lines[:_SHOWN_ANSWERS]]


def _difference(before: float | None, after: float | None) -> float:
    if before is None or after is None:
        return 0.0 if before is after else math.inf
    return abs(before - after)


def _said(value: Any) -> str:
    """A value as it stands: all the digits that a float32 can tell."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    return f"{value:.9g}" if isinstance(value, float) else str(value)
