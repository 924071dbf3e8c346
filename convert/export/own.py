"""edgekit's own exporters: which kinds of estimators they know, in the form in which skl2onnx calls them.

Each room (`trees`, `dense`, `kernels`, `steps`, `meta`) lists its exporters in `EXPORTERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from onnx import ModelProto
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from convert.export import dense, kernels, meta, steps, trees
from convert.export.parts import answering, parts_of, unwrapped
from convert.export.refusal import NotExportable
from convert.export.shapes import declare
from convert.export.sklearn_onnx import Converter, export
from convert.export.trees import libraries
from convert.export.writer import Exporter, Exporters, Writer

EXPORTERS: Exporters = {
    **trees.EXPORTERS,
    **dense.EXPORTERS,
    **kernels.EXPORTERS,
    **steps.EXPORTERS,
    **meta.EXPORTERS,
}


def exporters() -> Exporters:
    """All exporters, those for models of other libraries included where these are loaded."""
    return {**EXPORTERS, **libraries.exporters()}


def converters(*, missing: bool, decided: Any = None) -> dict[type[Any], Converter]:
    """All own exporters, for rows that may hold NaN or not. Of the estimator `decided`, its decision function is wanted
    in place of its probabilities.
    """
    return {
        kind: Converter(_written(exporter, missing=missing, decided=decided), declare)
        for kind, exporter in exporters().items()
    }


def _written(exporter: Exporter, *, missing: bool, decided: Any) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        wanted = operator.raw_operator is decided
        writer = Writer(scope, operator, container, partial(answer, missing=missing), missing=missing, decision=wanted)
        exporter(writer)
        if wanted and not writer.heeded:
            raise NotExportable(f"another step needs the decision function of {type(decided).__name__}")

    return convert


def answer(estimator: Any, inputs: list[tuple[str, Any]], *, decision: bool, missing: bool) -> ModelProto:
    """The ONNX form of an estimator inside another one, by its own exporter or else by skl2onnx's.

    `decision`: its decision function is wanted in place of its probabilities. Raises NotExportable.
    """
    last = answering(estimator)
    if len(inputs) > 1:  # the frame joins the lanes of what stands in a pipeline
        estimator = Pipeline([("alone", estimator)])
    decided = last if decision and hasattr(last, "predict_proba") else None
    own = converters(missing=missing, decided=decided)
    if type(last) not in own:
        return export(estimator, inputs, own, decided)
    try:
        return export(estimator, inputs, own)
    except NotExportable as refusal:
        rest = {kind: converter for kind, converter in own.items() if kind is not type(last)}
        try:
            return export(estimator, inputs, rest, decided)
        except NotExportable:
            raise refusal from None


def knows(estimator: Any) -> bool:
    """True when the whole estimator has an own exporter."""
    return type(estimator) in exporters()


def folds(estimator: Any) -> bool:
    """True when the estimator's exporter can multiply affine steps before it into its own numbers.

    What is unwrapped before it is written (RANSAC's final estimator) would lose them on the way.
    """
    if unwrapped(estimator) is not estimator:
        return False
    kind = type(estimator)
    written = dense.EXPORTERS.get(kind) or kernels.EXPORTERS.get(kind)
    return written is not None and EXPORTERS[kind] is written


def has_trees(estimator: Any) -> bool:
    """True when trees are a part of the estimator: they compare what steps before them computed in float64."""
    return any(type(part) in trees.EXPORTERS for part in parts_of(estimator))


def knows_part_of(estimator: Any) -> bool:
    """True when the estimator, or one that it is made of, has an own exporter."""
    return any(knows(part) or isinstance(part, ColumnTransformer | FeatureUnion) for part in parts_of(estimator))
