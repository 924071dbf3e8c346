"""Steps that give fewer columns than they take: projections, pooled groups of columns, hidden units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.refusal import NotExportable
from convert.export.steps.elementwise import joined, over
from convert.export.writer import Writer


def project(writer: Writer, centre: Any, weights: NDArray[np.float64]) -> str:
    """(x - centre) @ weights [features, k]; None for no centre."""
    rows = writer.rows
    if centre is not None and np.any(centre):
        rows = writer.node("Sub", rows, writer.numbers(centre))
    return writer.node("MatMul", rows, writer.numbers(weights))


def principal(writer: Writer) -> None:
    """`PCA` and `IncrementalPCA` (sklearn.decomposition._base._BasePCA.transform)."""
    model = writer.model
    weights = np.asarray(model.components_, dtype=np.float64).T
    if model.whiten:
        scale = np.sqrt(np.asarray(model.explained_variance_, dtype=np.float64))
        weights = weights / np.maximum(scale, np.finfo(scale.dtype).eps)
    writer.finish(0, project(writer, model.mean_, weights))


def components(writer: Writer) -> None:
    """x @ components.T: `TruncatedSVD` and random projections."""
    weights = writer.model.components_
    dense = weights.toarray() if hasattr(weights, "toarray") else weights
    writer.finish(0, project(writer, None, np.asarray(dense, dtype=np.float64).T))


def independent(writer: Writer) -> None:
    """`FastICA`."""
    model = writer.model
    centre = model.mean_ if model.whiten else None
    writer.finish(0, project(writer, centre, np.asarray(model.components_, dtype=np.float64).T))


def factors(writer: Writer) -> None:
    """`FactorAnalysis`: the expected latent variables (Bishop 2006, equation 12.66)."""
    model = writer.model
    scaled = model.components_ / model.noise_variance_
    covariance = np.linalg.inv(np.eye(len(model.components_)) + scaled @ model.components_.T)
    writer.finish(0, project(writer, model.mean_, scaled.T @ covariance))


def sparse_components(writer: Writer) -> None:
    """`SparsePCA`: ridge regression onto the components, which is one matrix."""
    model = writer.model
    basis = np.asarray(model.components_, dtype=np.float64)
    gram = basis @ basis.T + model.ridge_alpha * np.eye(len(basis))
    writer.finish(0, project(writer, model.mean_, np.linalg.solve(gram, basis).T))


def hidden_units(writer: Writer) -> None:
    """`BernoulliRBM`: the probabilities of the hidden units."""
    model = writer.model
    sums = project(writer, None, np.asarray(model.components_, dtype=np.float64).T)
    writer.finish(0, writer.node("Sigmoid", writer.node("Add", sums, writer.numbers(model.intercept_hidden_))))


def pool(writer: Writer) -> None:
    """`FeatureAgglomeration`: the mean, minimum, maximum, sum or median of each group of columns."""
    model = writer.model
    groups = [np.flatnonzero(model.labels_ == label) for label in np.unique(model.labels_)]
    if model.pooling_func in (np.mean, np.sum):
        weights = np.zeros((len(model.labels_), len(groups)))
        for place, group in enumerate(groups):
            weights[group, place] = 1.0 / len(group) if model.pooling_func is np.mean else 1.0
        writer.finish(0, project(writer, None, weights))
    else:
        writer.finish(0, joined(writer, [_pooled(writer, group) for group in groups]))
    for index in range(1, writer.outputs):
        writer.skip(index)


def _pooled(writer: Writer, group: NDArray[np.intp]) -> str:
    columns = writer.columns(writer.rows, group.tolist())
    function = writer.model.pooling_func
    if function in (np.max, np.amax):
        return over(writer, "ReduceMax", columns)
    if function in (np.min, np.amin):
        return over(writer, "ReduceMin", columns)
    if function is not np.median:
        raise NotExportable(f"FeatureAgglomeration pools by {getattr(function, '__name__', function)}")
    count = writer.constant(np.array([len(group) // 2 + 1], dtype=np.int64))
    largest = writer.nodes("TopK", 2, columns, count, axis=1)[0]
    places = [len(group) // 2] if len(group) % 2 else [len(group) // 2 - 1, len(group) // 2]
    return over(writer, "ReduceMean", writer.columns(largest, places))
