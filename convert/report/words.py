"""Figures as people read them, and text from outside made harmless for Markdown."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence

from convert.pack.report import Disagreement, PlanOutcome, Report
from edgekit.console import size
from edgekit.manifest import Quality, Task

NOTHING = "–"
METRICS = {"accuracy": "accuracy", "r2": "R²"}


def share(value: float | None) -> str:
    """A share from 0 to 1 in per cent, with as many digits as say something."""
    if value is None:
        return NOTHING
    percent = 100 * value
    if 0 < percent < 0.01 and not math.isclose(percent, 0.01):
        return "< 0.01 %"
    return f"{percent:.2g} %" if percent < 10 else f"{percent:.3g} %"


def number(value: float | None) -> str:
    """A number with four significant digits; whole numbers below ten million in full."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e7 else f"{value:.4g}"


def bytes_of(value: int | None) -> str:
    """A size in binary units."""
    return NOTHING if value is None else size(value)


def microseconds(value: float | None) -> str:
    """A latency."""
    if value is None:
        return NOTHING
    return f"{value / 1000:,.2f} ms" if value >= 1000 else f"{value:.3g} µs"


def disagreed(found: Disagreement, task: Task) -> str:
    """How many rows differ, and by how much at most."""
    return f"{changed(found, task)}, largest difference {largest(found)}"


def changed(found: Disagreement, task: Task) -> str:
    """How many rows differ: by their label, or, where there is none, by a number beyond the tolerance."""
    if task in ("regression", "transformation"):
        return f"{found.rows_off:,} of {found.rows:,} values off"
    off = f", {found.rows_off:,} off" if found.rows_off else ""
    return f"{found.label_changes:,} of {found.rows:,} labels changed{off}"


def largest(found: Disagreement) -> str:
    """The largest difference of a number."""
    return "not finite" if found.max_abs_difference is None else f"{found.max_abs_difference:.2g}"


def quality(line: Quality) -> str:
    """A metric before and after."""
    return f"{line.source:.4f} before, {line.converted:.4f} after (on {line.rows:,} of the rows given)"


def model_of(report: Report) -> str:
    """The source model in words: its steps, or its class."""
    steps = report.details.steps if report.details is not None else []
    return " → ".join(step.kind for step in steps) or report.manifest.source.get("model", "unknown")


def why_this_plan(report: Report) -> str:
    """Why the plan that was chosen was chosen."""
    chosen = next((line for line in report.plans if line.plan == report.manifest.plan), None)
    if chosen is None:
        return "chosen by parity on rows of its own"
    if _exact(chosen):
        before = report.plans.index(chosen)
        order = "the first plan tried" if before == 0 else f"the first of {before + 1} plans tried"
        return f"{order} that answers every row as the source model does"
    return f"no plan answers every row as the source model does; of {len(report.plans)} this one differs least"


def lossy(report: Report) -> bool:
    """The form that ships rounds."""
    return any(line.chosen and line.lossy for line in report.variants)


def _exact(line: PlanOutcome) -> bool:
    found = [part for part in (line.selection, line.edge) if part is not None]
    return bool(found) and all(part.label_changes == part.rows_off == 0 for part in found)


def summary(report: Report) -> list[tuple[str, str]]:
    """The figures that people ask for first, as pairs of name and value."""
    measured = report.manifest.measured
    return [
        ("plan", report.manifest.plan),
        ("parity", f"{disagreed(report.reported, report.manifest.task)}, on rows that chose nothing"),
        *((METRICS.get(line.metric, line.metric), quality(line)) for line in report.manifest.quality),
        ("size", f"{size(report.bundle_bytes)} bundle, {size(report.onnx_bytes)} ONNX{_against_plain(report)}"),
        ("memory", f"{size(measured.load_peak_bytes)} to load"),
        ("latency", f"{measured.p50_us:g} µs median, {measured.p99_us:g} µs p99, one row"),
        ("measured on", measured.host),
        ("sha256", report.bundle_sha256),
    ]


def _against_plain(report: Report) -> str:
    if report.plain is None:
        return ""
    zstd = "" if report.plain.zstd_bytes is None else f", with zstd {size(report.plain.zstd_bytes)}"
    return f" (plain export {size(report.plain.onnx_bytes)}{zstd})"


def one_line(text: str) -> str:
    """Text without line breaks and control characters, which a page, a table or a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))


def code(text: str) -> str:
    """Text as a code span of GitHub's Markdown (CommonMark 0.31, §6.1): nothing inside it is obeyed."""
    plain = one_line(text).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    padding = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{padding}{plain}{padding}{fence}" if plain else "(empty)"


def prose(text: str) -> str:
    """Text as plain words of GitHub's Markdown: no markup, no link, nobody mentioned."""
    escaped = re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(one_line(text), quote=False))
    return escaped.replace("@", "@\N{WORD JOINER}")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of a Markdown table. Cells come escaped."""
    lines = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
