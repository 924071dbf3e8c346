"""The model card: what a person should know before trusting the model on a device. Touches nothing."""

from __future__ import annotations

from convert.pack.report import Report, summary, table
from edgekit.manifest import Feature, Output

_MAX_CATEGORIES_SHOWN = 8


def as_markdown(report: Report) -> bytes:
    """A model card in Markdown, made only of facts that the conversion knows."""
    manifest = report.manifest
    lines = [
        f"# Model card: {manifest.name} {manifest.version}",
        "",
        f"A {manifest.task} model ({manifest.source.get('model', 'unknown')}), converted on {manifest.created} "
        f"from scikit-learn {manifest.source.get('scikit-learn', 'unknown')}.",
        "",
        "## Inputs",
        "",
        *table(("feature", "type", "seen in training", "missing values"), [_input(line) for line in manifest.inputs]),
        "",
        "## Outputs",
        "",
        *table(("output", "type", "classes"), [_output(line) for line in manifest.outputs]),
        "",
        "## Figures",
        "",
        *table(("what", "value"), summary(report)),
        "",
        "Values outside the ranges above were never seen in training: answers to them are extrapolation.",
    ]
    return ("\n".join(lines) + "\n").encode()


def _input(feature: Feature) -> tuple[str, str, str, str]:
    return feature.name, feature.dtype, _seen(feature), "allowed" if feature.nullable else "refused"


def _seen(feature: Feature) -> str:
    if feature.range is not None:
        return f"{feature.range[0]:g} to {feature.range[1]:g}"
    if feature.categories is None:
        return "anything" if feature.dtype == "string" else ""
    shown = ", ".join(str(value) for value in feature.categories[:_MAX_CATEGORIES_SHOWN])
    more = len(feature.categories) - _MAX_CATEGORIES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _output(output: Output) -> tuple[str, str, str]:
    targets = [output.classes or []] if output.target_classes is None else output.target_classes
    return output.role, output.dtype, "; ".join(", ".join(str(value) for value in classes) for classes in targets)
