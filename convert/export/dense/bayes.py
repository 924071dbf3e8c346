"""Naive Bayes and quadratic discriminants: joint log likelihoods, and Softmax over them."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.export.affine import Reals, scaling
from convert.export.dense import answers
from convert.export.products import features, gemm, product
from convert.export.writer import BOOL, INT64, Writer


def gaussian(writer: Writer) -> None:
    """Independent normal distributions of each feature in each class."""
    model = writer.model
    variance, priors = np.asarray(model.var_, dtype=np.float64), np.log(np.asarray(model.class_prior_))
    middle = model.class_prior_ @ model.theta_
    rows = writer.node(
        "Unsqueeze", features(writer, scaling(middle, None, len(middle))), writer.constant(np.array([1]))
    )
    scaled = writer.node("Sub", rows, writer.numbers(model.theta_ - middle))
    scaled = writer.node("Mul", scaled, writer.numbers(np.sqrt(0.5 / variance)))
    squares = writer.node("ReduceSumSquare", scaled, writer.constant(np.array([2])), keepdims=0)
    constants = priors - 0.5 * np.log(2.0 * np.pi * variance).sum(axis=1)
    answers.softmax(writer, writer.node("Sub", writer.numbers(constants), squares))


def bernoulli(writer: Writer) -> None:
    """Features that are there or not, after the model's own threshold."""
    model = writer.model
    absent = np.log(1.0 - np.exp(model.feature_log_prob_))
    weights = (model.feature_log_prob_ - absent).T
    offset = model.class_log_prior_ + absent.sum(axis=1)
    if model.binarize is None:
        answers.softmax(writer, product(writer, weights, offset))
        return
    there = writer.node("Greater", features(writer), writer.numbers([model.binarize]))
    answers.softmax(writer, gemm(writer, writer.cast(there, writer.element, BOOL), weights, offset))


def multinomial(writer: Writer) -> None:
    """Counts of each feature."""
    model = writer.model
    answers.softmax(writer, product(writer, model.feature_log_prob_.T, model.class_log_prior_))


def complement(writer: Writer) -> None:
    """Counts against the other classes; the prior matters only where there is a single class."""
    model = writer.model
    offset = model.class_log_prior_ if len(model.classes_) == 1 else np.zeros(len(model.classes_))
    answers.softmax(writer, product(writer, model.feature_log_prob_.T, offset))


def categorical(writer: Writer) -> None:
    """Category codes from 0: one table of all features' categories, looked up.

    A code outside its feature's table points behind all of them: onnxruntime refuses such a row, as scikit-learn does.
    """
    model = writer.model
    tables = [np.asarray(table, dtype=np.float64).T for table in model.feature_log_prob_]
    counts = np.array([len(table) for table in tables])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    codes = writer.cast(features(writer), INT64)
    known = writer.node("And", *_inside(writer, codes, counts))
    places = writer.node("Add", codes, writer.constant(starts))
    places = writer.node("Where", known, places, writer.constant(np.array([counts.sum()])))
    found = writer.node("Gather", writer.numbers(np.concatenate(tables)), places, axis=0)
    total = writer.node("ReduceSum", found, writer.constant(np.array([1])), keepdims=0)
    priors = np.asarray(model.class_log_prior_)
    answers.softmax(writer, writer.node("Add", total, writer.numbers(priors)))


def _inside(writer: Writer, codes: str, counts: Any) -> tuple[str, str]:
    low = writer.node("GreaterOrEqual", codes, writer.constant(np.array([0])))
    return low, writer.node("Less", codes, writer.constant(counts.astype(np.int64)))


def quadratic(writer: Writer) -> None:
    """Quadratic discriminants (Hastie et al., The Elements of Statistical Learning, equation 4.12).

    All classes' rotations stand side by side in one matrix; the squares of its products are summed class by class.
    """
    model = writer.model
    rotations = [rotation / np.sqrt(scale) for rotation, scale in zip(model.rotations_, model.scalings_, strict=True)]
    offsets = [-mean @ rotation for mean, rotation in zip(model.means_, rotations, strict=True)]
    rotated = product(writer, np.hstack(rotations), np.concatenate(offsets))
    squares = writer.node("Mul", rotated, rotated)
    spreads = np.array([np.log(scale).sum() for scale in model.scalings_])
    offset = np.log(model.priors_) - 0.5 * spreads
    scores = gemm(writer, squares, -0.5 * _by_class(rotations), offset)
    if writer.decision:
        answers.compared(writer, scores, len(model.classes_))
    else:
        answers.softmax(writer, scores)


def _by_class(rotations: list[Reals]) -> Reals:
    """Ones where a column of the joined matrix belongs to a class: [columns, classes]."""
    widths = [rotation.shape[1] for rotation in rotations]
    return np.repeat(np.eye(len(widths)), widths, axis=0)
