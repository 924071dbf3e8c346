"""Small float32 linear classifiers as one `LinearClassifier` operator, label included: the fastest form for one row.

Its numbers are attributes, which no later pass can store more narrowly, and it computes in float32 whatever it is
given: large models and float64 plans use matrix products instead.
"""

from __future__ import annotations

import numpy as np

from convert.export.affine import Reals
from convert.export.products import factors
from convert.export.writer import FLOAT, Writer

_MAX_NUMBERS = 1024


def fits(writer: Writer, weights: Reals) -> bool:
    """True when the operator is the better form of a model with this matrix [n, classes or 1]."""
    return weights.size <= _MAX_NUMBERS and writer.element == FLOAT


def both_sides(weights: Reals, offset: Reals) -> tuple[Reals, Reals]:
    """One score of two classes as (−s, s); other scores as they are."""
    if weights.shape[1] > 1:
        return weights, offset
    return np.column_stack([-weights, weights]), np.append(-offset, offset)


def classify(writer: Writer, weights: Reals, offset: Reals, after: str) -> str:
    """Output 0, and the scores [rows, classes] after the transformation `after` (NONE, LOGISTIC or SOFTMAX)."""
    rows, weights, offset = factors(writer, weights, offset)
    classes = np.asarray(writer.model.classes_)
    texts = classes.dtype.kind in "OUS"
    labels = (
        {"classlabels_strings": [str(c) for c in classes]} if texts else {"classlabels_ints": [int(c) for c in classes]}
    )
    numbers = {"coefficients": np.float32(weights.T).ravel().tolist(), "intercepts": np.float32(offset).tolist()}
    words = {**labels, **numbers, "post_transform": after, "multi_class": 0}
    label, scores = writer.nodes("LinearClassifier", 2, rows, domain="ai.onnx.ml", **words)
    writer.finish(0, label)
    return scores
