"""The ends that dense models share: from scores to labels and probabilities.

Two classes are written as the pair of scores (0, s): its Softmax is (1 − p, p) and its ArgMax the label, a tie to the
first class as in scikit-learn, in fewer operators than a Sigmoid and its complement.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.export.affine import Reals
from convert.export.refusal import NotExportable
from convert.export.writer import BOOL, INT64, Writer
from convert.read.targets import read

# A column of zeros costs four bytes per row of the matrix; beyond this many rows two more operators cost less.
_MAX_PAIRED_ROWS = 256


def refuse_several(writer: Writer) -> None:
    """Raise NotExportable for a classifier of several targets."""
    if read(writer.model):
        raise NotExportable("it answers several targets at once")


def softmax(writer: Writer, scores: str) -> None:
    """Label and probabilities from one score per class."""
    writer.finish_label(writer.node("ArgMax", scores, axis=1, keepdims=0))
    writer.finish(1, writer.node("Softmax", scores, axis=1))


def paired(weights: Reals, offset: Reals) -> tuple[Reals, Reals] | None:
    """The matrix [n, 1] and offset [1] of one score as those of the pair (0, score); None where that is wasteful."""
    if len(weights) > _MAX_PAIRED_ROWS:
        return None
    return np.column_stack([np.zeros_like(weights), weights]), np.append(0.0, offset)


def logistic(writer: Writer, score: str) -> None:
    """Label and probabilities of two classes from one score [rows, 1]."""
    positive(writer, score)
    complemented(writer, writer.node("Sigmoid", score))


def complemented(writer: Writer, share: str) -> None:
    """Output 1: (1 − p, p) from p [rows, 1]."""
    other = writer.node("Sub", writer.numbers([1.0]), share)
    writer.finish(1, writer.node("Concat", other, share, axis=1))


def positive(writer: Writer, score: str) -> None:
    """The label of two classes: the second where the score [rows, 1] is above zero."""
    writer.finish_label(flat(writer, writer.cast(above_zero(writer, score), INT64, BOOL)))


def above_zero(writer: Writer, score: str) -> str:
    """Where a score is above zero, as booleans of the same shape."""
    return writer.node("Greater", score, writer.numbers([0.0]))


def flat(writer: Writer, column: str) -> str:
    """[rows, 1] as [rows]."""
    return writer.node("Reshape", column, writer.constant(np.array([-1])))


def scored(writer: Writer, scores: str, classes: int) -> None:
    """Label and decision scores: one score per class, or one in all for two classes."""
    if classes == 2:
        positive(writer, scores)
    else:
        writer.finish_label(writer.node("ArgMax", scores, axis=1, keepdims=0))
    writer.finish(1, scores)


def compared(writer: Writer, scores: str, classes: int) -> None:
    """Label, and one score per class as decision; of two classes, how much the second one's is larger."""
    writer.finish_label(writer.node("ArgMax", scores, axis=1, keepdims=0))
    if classes == 2:
        scores = writer.node("Sub", writer.columns(scores, [1]), writer.columns(scores, [0]))
    writer.finish(1, scores)


def present(writer: Writer, scores: str) -> None:
    """Several labels that are there or not: 1 where a score [rows, targets] is above zero, and the scores."""
    writer.finish(0, writer.cast(above_zero(writer, scores), INT64, BOOL))
    writer.finish(1, scores)


def constant_rows(writer: Writer, values: Any) -> str:
    """The same numbers [k] for every row: [rows, k]."""
    count = writer.node("Shape", writer.input, start=0, end=1)
    shape = writer.node("Concat", count, writer.constant(np.array([1])), axis=0)
    return writer.node("Expand", writer.numbers(np.asarray(values)[None, :]), shape)


def outlying(writer: Writer, decision: str) -> None:
    """Label −1 where the decision [rows, 1] is below zero and 1 elsewhere, and the decision itself."""
    below = writer.node("Less", decision, writer.numbers([0.0]))
    signs = (writer.constant(np.array([sign], dtype=np.int64)) for sign in (-1, 1))
    writer.finish(0, writer.node("Where", below, *signs))
    writer.finish(1, decision)
