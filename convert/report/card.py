"""The model card: what a person should know before trusting the model on a device. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from convert.pack.report import Report
from convert.report.words import code, model_of, number, one_line, prose, summary, table
from edgekit.manifest import Feature, Output

MAX_FEATURES_SHOWN = 200
_MAX_CATEGORIES_SHOWN = 8
_MAX_CLASSES_SHOWN = 50


def as_markdown(report: Report) -> bytes:
    """A model card in Markdown, made only of facts that the conversion knows."""
    manifest = report.manifest
    lines = [
        f"# Model card: {manifest.name} {manifest.version}",
        "",
        f"A {manifest.task} model ({prose(model_of(report))}), converted on {manifest.created} "
        f"from scikit-learn {manifest.source.get('scikit-learn', 'unknown')}.",
        "",
        "## Inputs",
        "",
        *table(("feature", "type", "seen in training", "missing values"), _inputs(manifest.inputs)),
        *_more(len(manifest.inputs)),
        "",
        "## Outputs",
        "",
        *table(("output", "type", "classes"), [_output(line) for line in manifest.outputs]),
        "",
        "## Figures",
        "",
        *table(("what", "value"), [(name, prose(value)) for name, value in summary(report)]),
        "",
        "## Limits",
        "",
        "- Values outside the ranges above were never seen in training: answers to them are extrapolation.",
        "- The figures come from the rows given for the conversion. If the model was trained on them, its quality on "
        "new rows is lower.",
        "- What the model is meant for, and for whom it must not be used, only its makers can say.",
    ]
    return ("\n".join(lines) + "\n").encode()


def _inputs(features: list[Feature]) -> list[tuple[str, ...]]:
    shown = features[:MAX_FEATURES_SHOWN]
    return [(code(line.name), line.dtype, seen(line), "allowed" if line.nullable else "refused") for line in shown]


def _more(count: int) -> list[str]:
    left = count - MAX_FEATURES_SHOWN
    return ["", f"… and {left:,} more, listed in the bundle (`edgekit inspect BUNDLE --json`)."] if left > 0 else []


def seen(feature: Feature) -> str:
    """The range or the categories of a feature, in Markdown."""
    if feature.range is not None:
        return f"{number(feature.range[0])} to {number(feature.range[1])}"
    if feature.categories is None:
        return "anything" if feature.dtype == "string" else ""
    shown = ", ".join(code(one_line(str(value))) for value in feature.categories[:_MAX_CATEGORIES_SHOWN])
    more = len(feature.categories) - _MAX_CATEGORIES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _output(output: Output) -> tuple[str, str, str]:
    targets = [output.classes or []] if output.target_classes is None else output.target_classes
    return output.role, output.dtype, "; ".join(_classes(classes) for classes in targets)


def _classes(classes: Sequence[object]) -> str:
    more = len(classes) - _MAX_CLASSES_SHOWN
    shown = ", ".join(code(str(value)) for value in classes[:_MAX_CLASSES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown
