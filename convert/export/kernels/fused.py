"""Small float32 support vector machines as one operator of ai.onnx.ml: the fastest form for one row.

It takes 1.7 ns for each number of its vectors, where matrix products take a sixth of that and 10 µs more at first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.export.affine import Reals
from convert.export.kernels.pairwise import Kernel
from convert.export.products import features
from convert.export.writer import FLOAT, Writer

_MAX_NUMBERS = 4096
_KERNELS = {"rbf": "RBF", "poly": "POLY", "sigmoid": "SIGMOID"}


def fits(writer: Writer, points: Reals, form: Kernel) -> bool:
    """True when the operator is the better form for these vectors [n, m]."""
    return form.metric in _KERNELS and points.size <= _MAX_NUMBERS and writer.element == FLOAT


def weighted(writer: Writer, points: Reals, form: Kernel, sums: tuple[Reals, float]) -> str:
    """One weighted sum of kernel values [rows, 1]; `sums`: its coefficients [vectors] and offset."""
    coefficients, offset = sums
    words = {"coefficients": _floats(coefficients), "rho": [float(offset)], "n_supports": len(points)}
    kind = writer.nodes("SVMRegressor", 1, features(writer), domain="ai.onnx.ml", **_words(points, form), **words)
    return kind[0]


def classify(writer: Writer, points: Reals, form: Kernel, coefficients: Reals, *, probable: bool) -> list[str]:
    """The class's place [rows] by votes, and probabilities or else the decisions of the pairs of classes."""
    model = writer.model
    words: dict[str, Any] = {
        "coefficients": _floats(coefficients),
        "classlabels_ints": list(range(len(model.classes_))),
        "rho": _floats(model._intercept_),
        "vectors_per_class": [int(count) for count in model._n_support],
    }
    if probable:
        words |= {"prob_a": _floats(model._probA), "prob_b": _floats(model._probB)}
    return writer.nodes("SVMClassifier", 2, features(writer), domain="ai.onnx.ml", **_words(points, form), **words)


def _words(points: Reals, form: Kernel) -> dict[str, Any]:
    return {
        "kernel_type": _KERNELS[form.metric],
        "kernel_params": [form.gamma, form.coef0, form.degree],
        "post_transform": "NONE",
        "support_vectors": _floats(points),
    }


def _floats(values: Any) -> list[float]:
    return [float(value) for value in np.ravel(values).astype(np.float32)]
