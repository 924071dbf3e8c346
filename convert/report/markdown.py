"""`report.md`: the report for a pull request, in GitHub's Markdown, the verdict first. It holds no rows of data."""

from __future__ import annotations

from convert.pack.report import PlanOutcome, Report, VariantLine
from convert.report.checks import checks
from convert.report.words import (
    bytes_of,
    changed,
    code,
    disagreed,
    microseconds,
    model_of,
    prose,
    share,
    summary,
    table,
    why_this_plan,
)
from edgekit.manifest import Task


def as_markdown(report: Report) -> bytes:
    """The verdict and the checks; plans, variants and remarks folded away."""
    manifest = report.manifest
    lines = [
        f"# {manifest.name} {manifest.version}: {prose(changed(report.reported, manifest.task))}",
        "",
        f"{prose(model_of(report))}, converted and compared with the source model on rows that chose nothing.",
        "",
        *table(
            ("check", "found", "allowed"),
            [(f"{_sign(line.holds)} {line.title}", prose(line.found), line.allowed) for line in checks(report)],
        ),
        "",
        *table(("what", "value"), [(name, prose(value)) for name, value in summary(report)]),
        "",
        *_folded(f"Plans tried: {len(report.plans)}", _plans(report)),
        *(_folded(f"Variants weighed: {len(report.variants)}", _variants(report)) if report.variants else []),
    ]
    if report.notes:
        lines += ["## Remarks", "", *(f"- {prose(note)}" for note in report.notes), ""]
    return ("\n".join(lines).rstrip() + "\n").encode()


def _sign(holds: bool) -> str:
    return "✓" if holds else "✗"


def _folded(summary_line: str, lines: list[str]) -> list[str]:
    return ["<details>", f"<summary>{summary_line}</summary>", "", *lines, "", "</details>", ""]


def _plans(report: Report) -> list[str]:
    head = ("plan", "ordinary rows", "edge rows")
    rows = [_plan(line, report.manifest.task) for line in report.plans]
    return [f"{code(report.manifest.plan)}: {prose(why_this_plan(report))}.", "", *table(head, rows)]


def _plan(line: PlanOutcome, task: Task) -> tuple[str, str, str]:
    if line.selection is None or line.edge is None:
        return code(line.plan), prose(f"not possible: {line.fault}"), ""
    return code(line.plan), disagreed(line.selection, task), disagreed(line.edge, task)


def _variants(report: Report) -> list[str]:
    head = ("variant", "as it travels", "ONNX", "one row", "answers changed", "")
    return table(head, [_variant(line) for line in report.variants])


def _variant(line: VariantLine) -> tuple[str, ...]:
    fate = "**chosen**" if line.chosen else prose(f"refused: {line.refused}") if line.refused else ""
    sizes = bytes_of(line.wire_bytes), bytes_of(line.onnx_bytes)
    return code(line.name), *sizes, microseconds(line.b1_us), prose(share(line.label_change)), fate
