"""edgekit's own exporters: which kinds of estimators they know, in the form in which skl2onnx calls them.

Each room (`trees`, `dense`, `kernels`, `steps`, `meta`) lists its exporters in `EXPORTERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convert.export import dense, kernels, meta, steps, trees
from convert.export.shapes import declare
from convert.export.sklearn_onnx import Converter
from convert.export.writer import Exporter, Exporters, Writer

EXPORTERS: Exporters = {
    **trees.EXPORTERS,
    **dense.EXPORTERS,
    **kernels.EXPORTERS,
    **steps.EXPORTERS,
    **meta.EXPORTERS,
}


def converters(*, missing: bool) -> dict[type[Any], Converter]:
    """All own exporters, for rows that may hold NaN or not."""
    return {kind: Converter(_written(exporter, missing=missing), declare) for kind, exporter in EXPORTERS.items()}


def _written(exporter: Exporter, *, missing: bool) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        exporter(Writer(scope, operator, container, missing=missing))

    return convert


def knows(estimator: Any) -> bool:
    """True when the whole estimator has an own exporter."""
    return type(estimator) in EXPORTERS


def folds(estimator: Any) -> bool:
    """True when the estimator's exporter can multiply affine steps before it into its own numbers."""
    return type(estimator) in dense.EXPORTERS or type(estimator) in kernels.EXPORTERS


def has_trees(estimator: Any) -> bool:
    """True when trees are a part of the estimator: they compare what steps before them computed in float64."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return any(type(part) in trees.EXPORTERS for part in parts)


def knows_part_of(estimator: Any) -> bool:
    """True when the estimator, or one that it is made of, has an own exporter."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return any(knows(part) for part in parts)
