"""Plots as geometry: where ticks, marks, lines and bars lie, in SVG user units. Templates draw them. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from convert.pack.report import VariantLine
from convert.report.details import Calibration, Reliability, Residuals
from convert.report.words import bytes_of, microseconds, number, share

# A plot is drawn 380 units wide and shown 320 to 520 pixels wide, so that its text stays legible on a telephone.
WIDTH, HEIGHT = 380.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 366.0, 12.0, 222.0
_MARK, _MARK_SMALLEST, _MARK_LARGEST = 8.0, 7.0, 12.0
_SMALLEST_SHARE = 1e-4
_UNITS = ((1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))

Scale = Callable[[float], float]


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A disc with a short text in it; `title` says it in full, `kind` is its style."""

    x: float
    y: float
    r: float
    text: str
    title: str
    kind: str


@dataclass(frozen=True)
class Line:
    """A polyline: `points` as SVG wants them."""

    points: str
    kind: str


@dataclass(frozen=True)
class Bar:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    title: str
    kind: str


@dataclass(frozen=True)
class Plot:
    """A whole plot with its two axes."""

    x_title: str
    y_title: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: Sequence[Line] = ()
    marks: Sequence[Mark] = ()
    bars: Sequence[Bar] = ()


def pareto(variants: list[VariantLine], budget: float) -> Plot:
    """Variants that run: size as it travels against label change, the mark's area by latency."""
    numbered = enumerate(variants, 1)
    shown = [(i, line) for i, line in numbered if line.label_change is not None and line.wire_bytes is not None]
    tallest = max([1, *(line.wire_bytes or 0 for _, line in shown)])
    unit, unit_name = next(pair for pair in _UNITS if tallest >= pair[0])
    steps, y_top = nice_ticks(tallest / unit)
    x, x_ticks = _share_axis(max([budget, *(line.label_change or 0.0 for _, line in shown)]))
    y = _scale(0, y_top * unit, BOTTOM, TOP)
    slowest = max((line.b1_us or 0.0 for _, line in shown), default=0.0)
    return Plot(
        x_title="share of answers that change",
        y_title="size as it travels",
        x_ticks=x_ticks,
        y_ticks=[Tick(y(value * unit), f"{value:g} {unit_name}") for value in steps],
        lines=[Line(_points([(x(budget), TOP), (x(budget), BOTTOM)]), "limit")],
        marks=_side_by_side([_variant_mark(i, line, x, y, slowest) for i, line in shown]),
    )


def _variant_mark(i: int, line: VariantLine, x: Scale, y: Scale, slowest: float) -> Mark:
    said = (
        f"{i}. {line.name}: {bytes_of(line.wire_bytes)}, {share(line.label_change)} changed, {microseconds(line.b1_us)}"
    )
    kind = "chosen" if line.chosen else "refused" if line.refused else "pareto" if line.pareto else "other"
    radius = _MARK if not slowest or line.b1_us is None else _MARK_LARGEST * math.sqrt(line.b1_us / slowest)
    return Mark(x(line.label_change or 0.0), y(line.wire_bytes or 0), max(radius, _MARK_SMALLEST), str(i), said, kind)


def _side_by_side(marks: list[Mark]) -> list[Mark]:
    """Marks that would hide one another move to the right: where nothing changes, the size alone tells them apart."""
    placed: list[Mark] = []
    for mark in marks:
        at = mark.x
        while at < RIGHT and any(math.hypot(at - other.x, mark.y - other.y) < mark.r + other.r for other in placed):
            at += 4.0
        placed.append(replace(mark, x=round(at, 2)))
    return placed


def _share_axis(largest: float) -> tuple[Scale, list[Tick]]:
    """None at the left, then a logarithmic axis: what matters lies between one row in ten thousand and a half."""
    decades = [_SMALLEST_SHARE * 10**i for i in range(5)]
    highest = min(1.0, next((value for value in decades if value >= largest), 1.0))
    decades = [value for value in decades if value <= highest] + ([1.0] if highest == 1.0 else [])
    start = LEFT + 0.3 * (RIGHT - LEFT)
    span = _scale(math.log10(decades[0]), math.log10(max(highest, decades[0] * 10)), start, RIGHT - 14)

    def place(value: float) -> float:
        return LEFT + 14 if value <= 0 else span(math.log10(max(value, _SMALLEST_SHARE)))

    return place, [Tick(place(0), "none"), *(Tick(place(value), share(value)) for value in decades)]


def reliability(found: Calibration) -> Plot:
    """Observed against predicted, before and after; the diagonal is what a calibrated model shows."""
    x, y = _scale(0, 1, LEFT, RIGHT), _scale(0, 1, BOTTOM, TOP)
    steps = [0.0, 0.25, 0.5, 0.75, 1.0]
    return Plot(
        x_title="probability predicted" if found.of is not None else "probability of the class predicted",
        y_title="share that came true",
        x_ticks=[Tick(x(value), f"{value:g}") for value in steps],
        y_ticks=[Tick(y(value), f"{value:g}") for value in steps],
        lines=[
            Line(_points([(x(0), y(0)), (x(1), y(1))]), "ideal"),
            _curve(found.before, x, y, "before"),
            _curve(found.after, x, y, "after"),
        ],
        marks=[*_dots(found.before, x, y, "before"), *_dots(found.after, x, y, "after")],
    )


def _known(curve: Reliability) -> list[tuple[float, float, int]]:
    return [
        (line.predicted, line.observed, line.rows)
        for line in curve.bins
        if line.predicted is not None and line.observed is not None
    ]


def _curve(curve: Reliability, x: Scale, y: Scale, kind: str) -> Line:
    return Line(_points([(x(predicted), y(observed)) for predicted, observed, _ in _known(curve)]), kind)


def _dots(curve: Reliability, x: Scale, y: Scale, kind: str) -> list[Mark]:
    radius = 5.5 if kind == "before" else 3.0
    return [
        Mark(
            x(predicted), y(observed), radius, "", f"{kind}: {predicted:.3f} predicted, {observed:.3f} came true", kind
        )
        for predicted, observed, _ in _known(curve)
    ]


def residual_bars(found: Residuals) -> Plot:
    """Counts of residuals: bars before, a line of steps after."""
    low, high = found.edges[0], found.edges[-1]
    x = _scale(low, high, LEFT, RIGHT)
    y_ticks, y_top = nice_ticks(float(max(*found.before, *found.after, 1)))
    y = _scale(0, y_top, BOTTOM, TOP)
    width = (RIGHT - LEFT) / len(found.before)
    steps = [(x(edge), y(count)) for i, count in enumerate(found.after) for edge in found.edges[i : i + 2]]
    return Plot(
        x_title="target minus prediction",
        y_title="rows",
        x_ticks=[Tick(x(value), number(value)) for value in (low, (low + high) / 2, high)],
        y_ticks=[Tick(y(value), number(value)) for value in y_ticks],
        lines=[Line(_points(steps), "after")],
        bars=[
            Bar(LEFT + i * width, y(count), max(width - 1, 0.5), BOTTOM - y(count), f"before: {count:,} rows", "before")
            for i, count in enumerate(found.before)
        ],
    )


def nice_ticks(highest: float) -> tuple[list[float], float]:
    """Up to six ticks from 0 in steps of 1, 2 or 5 times a power of ten, and the end of the axis."""
    step = 10.0 ** math.floor(math.log10(highest / 5)) if highest > 0 else 1.0
    step *= next(factor for factor in (1, 2, 5, 10) if step * factor * 5 >= highest)
    count = max(1, math.ceil(round(highest / step, 9)))
    return [step * i for i in range(count + 1)], step * count


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 2)


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places)
