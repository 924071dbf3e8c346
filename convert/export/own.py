"""edgekit's own exporters: which kinds of estimators they know, in the form in which skl2onnx calls them.

Each room (`trees`, `dense`, `kernels`, `steps`, `meta`) lists its exporters in `EXPORTERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convert.export import dense, kernels, meta, steps, trees
from convert.export.frame import Frame
from convert.export.shapes import declare
from convert.export.sklearn_onnx import Converter
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


def converters(*, missing: bool) -> dict[type[Any], Converter]:
    """All own exporters, for rows that may hold NaN or not."""
    known = exporters()
    frame = Frame(frozenset(known))
    return {kind: Converter(_written(exporter, frame, missing=missing), declare) for kind, exporter in known.items()}


def _written(exporter: Exporter, frame: Frame, *, missing: bool) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        exporter(Writer(scope, operator, container, frame, missing=missing))

    return convert


def knows(estimator: Any) -> bool:
    """True when the whole estimator has an own exporter."""
    return type(estimator) in exporters()


def knows_part_of(estimator: Any) -> bool:
    """True when the estimator, or one that it is made of, has an own exporter."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return any(knows(part) for part in parts)
