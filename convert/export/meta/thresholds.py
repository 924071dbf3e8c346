"""FixedThresholdClassifier and TunedThresholdClassifierCV: two classes, told apart at a chosen score."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.export.meta import asking
from convert.export.writer import INT64, Writer


def fixed(writer: Writer) -> None:
    """FixedThresholdClassifier. `auto` is 0.5 of a probability and 0 of a decision."""
    model = writer.model
    shares = _by_probability(model)
    threshold = (0.5 if shares else 0.0) if model.threshold == "auto" else float(model.threshold)
    _apart(writer, threshold, model.pos_label)


def tuned(writer: Writer) -> None:
    """TunedThresholdClassifierCV."""
    # scikit-learn keeps the class that the tuned score is about inside the scorer.
    _apart(writer, float(writer.model.best_threshold_), writer.model._curve_scorer._get_pos_label())


def _by_probability(model: Any) -> bool:
    wanted = model.response_method
    return bool(wanted == "predict_proba" or (wanted == "auto" and hasattr(_inner(model), "predict_proba")))


def _inner(model: Any) -> Any:
    return getattr(model, "estimator_", model.estimator)


def _apart(writer: Writer, threshold: float, positive: Any) -> None:
    model, inner = writer.model, _inner(writer.model)
    first = positive is not None and positive == model.classes_[0]
    reply = asking.classify(writer, inner, decision=writer.decision)
    if _by_probability(model):
        shares = asking.probabilities(writer, inner) if writer.decision else reply.numbers
        score = writer.columns(shares, [0 if first else 1])
    else:
        decision = asking.decided(writer, inner).numbers
        score = writer.node("Neg", decision) if first else decision
    above = writer.node("GreaterOrEqual", score, writer.numbers([threshold]))
    chosen = writer.node("Squeeze", writer.node("Cast", above, to=INT64), writer.constant(np.array([1])))
    writer.finish_label(writer.node("Sub", writer.constant(np.array(1)), chosen) if first else chosen)
    writer.finish(1, reply.numbers)
