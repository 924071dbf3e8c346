"""Several targets at once: one estimator for each, side by side or in a chain.

A classifier's label is [rows, targets]; its probabilities stand side by side, target after target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convert.export.meta import asking
from convert.export.meta.asking import Reply, Rows
from convert.export.refusal import NotExportable
from convert.export.writer import INT64, STRING, Writer


def classify_each(writer: Writer) -> None:
    """MultiOutputClassifier."""
    replies = [asking.classify(writer, part) for part in writer.model.estimators_]
    writer.finish(0, side_by_side(writer, replies))
    if hasattr(writer.model, "predict_proba"):
        writer.finish(1, asking.joined(writer, [reply.numbers for reply in replies]))
    else:
        writer.skip(1)


def side_by_side(writer: Writer, replies: Sequence[Reply]) -> str:
    """Labels [rows, targets]. Raises NotExportable where some targets are texts and others numbers."""
    texts = {reply.classes.dtype.kind in "OUS" for reply in replies}
    if len(texts) > 1:
        raise NotExportable("some of its targets are texts and others numbers")
    element = STRING if True in texts else INT64
    return asking.joined(
        writer, [asking.column(writer, writer.node("Cast", reply.label, to=element)) for reply in replies]
    )


def regress_each(writer: Writer) -> None:
    """MultiOutputRegressor."""
    writer.finish(0, asking.joined(writer, [asking.values(writer, part) for part in writer.model.estimators_]))


def chain_values(writer: Writer) -> None:
    """RegressorChain: each sees the values before it."""
    found: list[str] = []
    for rows, part in _links(writer, found):
        found.append(asking.values(writer, part, rows))
    writer.finish(0, _in_order(writer, found))


def chain_labels(writer: Writer) -> None:
    """ClassifierChain: each sees what the ones before it answered, in the way that `chain_method` says."""
    model = writer.model
    method = getattr(model, "chain_method_", "predict")
    if method not in _WAYS:
        raise NotExportable(f"its chain_method is {method}")
    seen: list[str] = []
    replies: list[Reply] = []
    for rows, part in _links(writer, seen):
        reply = asking.classify(writer, part, rows)
        replies.append(reply)
        seen.append(_WAYS[method](writer, part, reply, rows))
    order = np.argsort(model.order_)
    writer.finish(0, side_by_side(writer, [replies[place] for place in order]))
    if _of_two(model):
        shares = [asking.last_columns(writer, reply.numbers) for reply in replies]
        writer.finish(1, _in_order(writer, shares))
    else:
        writer.skip(1)


def _of_two(model: Any) -> bool:
    gives = hasattr(model, "predict_proba") or hasattr(model, "decision_function")
    return gives and all(len(classes) == 2 for classes in model.classes_)


def _links(writer: Writer, seen: list[str]) -> Any:
    """Each estimator of the chain with the rows that it sees."""
    for place, part in enumerate(writer.model.estimators_):
        width = writer.model.n_features_in_ + place
        yield (Rows(asking.joined(writer, [writer.rows, *seen]), width) if place else None), part


def _in_order(writer: Writer, found: Sequence[str]) -> str:
    """The chain's answers in the order of the targets."""
    return asking.joined(writer, [found[place] for place in np.argsort(writer.model.order_)])


def _label(writer: Writer, part: Any, reply: Reply, rows: Rows | None) -> str:
    del part, rows
    return asking.column(writer, writer.node("Cast", reply.label, to=writer.element))


def _probability(writer: Writer, part: Any, reply: Reply, rows: Rows | None) -> str:
    del part, rows
    return asking.last_columns(writer, reply.numbers)


def _logarithm(writer: Writer, part: Any, reply: Reply, rows: Rows | None) -> str:
    return writer.node("Log", _probability(writer, part, reply, rows))


def _decision(writer: Writer, part: Any, reply: Reply, rows: Rows | None) -> str:
    return asking.decided(writer, part, rows).numbers if hasattr(part, "predict_proba") else reply.numbers


_WAYS: dict[str, Callable[[Writer, Any, Reply, Rows | None], str]] = {
    "predict": _label,
    "predict_proba": _probability,
    "predict_log_proba": _logarithm,
    "decision_function": _decision,
}
