"""Sums up what became of the cases: rows with goals, and the page `docs/coverage.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import sklearn

from benchmarks.converting.trials import Found
from benchmarks.measurement import Row

PAGE = Path(__file__).parents[2] / "docs/coverage.md"
PARITY_GOAL = 165

_HEAD = """# Coverage

What `edgekit convert` does with every estimator of scikit-learn {version} that answers for new rows from a table, with
{composites} composite models and with {newcomers} first pipelines over DataFrames. Written by
`scripts/bench convert`; do not edit.

The judge is code of the benchmark: it reads the bundle back, expands its model, runs it in onnxruntime as a device does
and holds every output against the model's own `predict`, `predict_proba`, `decision_function` or `transform` on rows
that the converter never saw. *Parity*: no more than one row in a thousand has another label, or a number that is off by
over 0.1 % of its size or of its column's spread (probabilities: by over 0.001). *Refused*: no bundle, and a reason.
*Different*: a bundle that answers differently, which must not happen. The plain export is skl2onnx with its operator
sets pinned, judged by the same rule; *fails* means that it raises or that onnxruntime cannot run what it makes.

| | cases | edgekit: parity | refused | different | crashed | plain: right | wrong | fails |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
"""


def rows(suites: dict[str, list[Found]], *, whole: bool) -> list[Row]:
    """The goals of coverage. Without the whole of it, how many reach parity is only told."""
    made = []
    for name, found in suites.items():
        parity, total = _count(found, "parity"), len(found)
        goal = PARITY_GOAL if whole and name == "estimators" else None
        ok = None if goal is None else parity >= goal
        detail = f"of {total}; {_count(found, 'refused')} refused; plain export right: {_plain(found, 'right')}"
        made.append(Row(f"{name}: parity", parity, "cases", None, goal, ok, detail, at_least=True))
        for outcome, words in (("different", "silently different"), ("crashes", "crashed or hung")):
            named = [one.name for one in found if one.outcome == outcome]
            made.append(Row(f"{name}: {words}", len(named), "cases", None, 0, not named, ", ".join(named)))
        lost = [one.name for one in found if one.outcome == "refused" and one.plain == "right"]
        made.append(Row(f"{name}: refused, plain right", len(lost), "cases", None, 0, not lost, ", ".join(lost)))
    return made


def write_page(suites: dict[str, list[Found]]) -> None:
    """Write `docs/coverage.md`."""
    sizes = {name: len(found) for name, found in suites.items()}
    text = _HEAD.format(version=sklearn.__version__, **sizes)
    text += "".join(_summary(name, found) for name, found in suites.items())
    for name, found in suites.items():
        text += f"\n## {name.capitalize()}\n\n" + _table(found)
    PAGE.write_text(text)


def _count(found: Iterable[Found], outcome: str) -> int:
    return sum(one.outcome == outcome for one in found)


def _plain(found: Iterable[Found], outcome: str) -> int:
    return sum(one.plain == outcome for one in found)


def _summary(name: str, found: Sequence[Found]) -> str:
    ours = [_count(found, outcome) for outcome in ("parity", "refused", "different", "crashes")]
    theirs = [_plain(found, outcome) for outcome in ("right", "wrong", "fails")]
    return "| " + " | ".join([name, *(str(count) for count in (len(found), *ours, *theirs))]) + " |\n"


def _table(found: Sequence[Found]) -> str:
    head = (
        "| model | kind | edgekit | plan, or reason | largest difference | plain export |\n|---|---|---|---|--:|---|\n"
    )
    return head + "".join(_line(one) for one in sorted(found, key=lambda one: one.name.lower()))


def _line(one: Found) -> str:
    said = one.plan if one.outcome == "parity" else one.why
    furthest = f"{one.furthest:.1e}" if one.outcome in ("parity", "different") and one.plan else ""
    words = " ".join(said.replace("|", "\\|").replace("<", "‹").replace(">", "›").split())
    return f"| {one.name} | {one.kind} | {one.outcome} | {words[:240]} | {furthest} | {one.plain} |\n"
