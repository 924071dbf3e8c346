"""Clusterings and mixtures: the nearest centre, or the likeliest component."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from convert.export.refusal import NotExportable
from convert.export.steps.elementwise import at_least, over
from convert.export.writer import Writer

Reals = NDArray[np.float64]


def squared_distances(writer: Writer, rows: str, centres: Reals) -> str:
    """Squared euclidean distances [rows, centres].

    |x|² - 2 x·c + |c|² about the mean of the centres, because the difference of two large squares loses digits.
    """
    origin = np.mean(centres, axis=0)
    moved = writer.node("Sub", rows, writer.numbers(origin))
    centres = np.asarray(centres, dtype=np.float64) - origin
    own = over(writer, "ReduceSumSquare", moved)
    product = writer.node("Gemm", moved, writer.numbers(-2.0 * centres.T), writer.numbers((centres**2).sum(axis=1)))
    return at_least(writer, writer.node("Add", product, own), 0.0)


def distances(writer: Writer) -> None:
    """Label of the nearest centre, and the distances to all: `KMeans`, `MiniBatchKMeans`."""
    near = squared_distances(writer, writer.rows, writer.model.cluster_centers_)
    writer.finish(0, writer.node("ArgMin", near, axis=1, keepdims=0))
    writer.finish(1, writer.node("Sqrt", near))


def nearest(writer: Writer) -> None:
    """Label of the nearest centre: `MeanShift`, `AffinityPropagation`."""
    centres = getattr(writer.model, "cluster_centers_", None)
    if centres is None or len(centres) == 0:
        raise NotExportable(f"{type(writer.model).__name__} has no cluster centres")
    near = squared_distances(writer, writer.rows, centres)
    writer.finish(0, writer.node("ArgMin", near, axis=1, keepdims=0))
    writer.skip(1)


def nearest_subcluster(writer: Writer) -> None:
    """`Birch`: the label of the nearest subcluster, and the distances to all."""
    model = writer.model
    near = squared_distances(writer, writer.rows, model.subcluster_centers_)
    place = writer.node("ArgMin", near, axis=1, keepdims=0)
    labels = writer.constant(np.asarray(model.subcluster_labels_, dtype=np.int64))
    writer.finish(0, writer.node("Gather", labels, place, axis=0))
    writer.finish(1, writer.node("Sqrt", near))


def bisect(writer: Writer) -> None:
    """`BisectingKMeans`: down the tree of bisections; each is the sign of a plane between two centres."""
    model = writer.model
    offset = getattr(model, "_X_mean", 0.0)
    nodes = _bisections(model._bisecting_tree)
    if not nodes:
        raise NotExportable("BisectingKMeans has a single cluster")
    planes = (_plane(node.left.center + offset, node.right.center + offset) for node in nodes)
    weights, biases = zip(*planes, strict=True)
    sides = writer.node("MatMul", writer.rows, writer.numbers(np.array(weights).T))
    right = writer.node("Greater", writer.node("Add", sides, writer.numbers(np.array(biases))), writer.numbers([0.0]))
    label = _descend(writer, model._bisecting_tree, nodes, right)
    writer.finish(0, writer.node("Reshape", label, writer.constant(np.array([-1], dtype=np.int64))))
    writer.finish(1, writer.node("Sqrt", squared_distances(writer, writer.rows, model.cluster_centers_)))


def _bisections(node: Any) -> list[Any]:
    return [] if node.left is None else [node, *_bisections(node.left), *_bisections(node.right)]


def _plane(left: Reals, right: Reals) -> tuple[Reals, float]:
    """Positive where `right` is nearer than `left`."""
    return 2.0 * (right - left), float((left**2).sum() - (right**2).sum())


def _descend(writer: Writer, node: Any, nodes: list[Any], right: str) -> str:
    if node.left is None:
        return writer.constant(np.array([node.label], dtype=np.int64))
    place = next(i for i, other in enumerate(nodes) if other is node)
    side = writer.columns(right, [place])
    ways = (_descend(writer, way, nodes, right) for way in (node.right, node.left))
    return writer.node("Where", side, *ways)


def mixture(writer: Writer) -> None:
    """`GaussianMixture`, `BayesianGaussianMixture`: the likeliest component, and the share of each."""
    model = writer.model
    squares = _mahalanobis(writer, model)
    weighted = writer.node(
        "Add", writer.node("Mul", squares, writer.numbers([-0.5])), writer.numbers(_constants(model))
    )
    writer.finish(0, writer.node("ArgMax", weighted, axis=1, keepdims=0))
    writer.finish(1, writer.node("Softmax", weighted, axis=1))


def _mahalanobis(writer: Writer, model: Any) -> str:
    """Squared distances from each mean in units of its covariance [rows, components]."""
    means = np.asarray(model.means_, dtype=np.float64)
    roots = np.asarray(model.precisions_cholesky_, dtype=np.float64)
    width = means.shape[1]
    full = _square_roots(model, roots, means.shape)
    # All components side by side: one product, then sums over each component's columns.
    weights = full.transpose(1, 0, 2).reshape(width, -1)
    biases = np.concatenate([-mean @ root for mean, root in zip(means, full, strict=True)])
    moved = writer.node("Gemm", writer.rows, writer.numbers(weights), writer.numbers(biases))
    apart = writer.node("Reshape", moved, writer.constant(np.array([0, len(means), width], dtype=np.int64)))
    return over(writer, "ReduceSumSquare", apart, 2, keep=False)


def _square_roots(model: Any, roots: Reals, shape: tuple[int, ...]) -> Reals:
    """The Cholesky factor of each component's precision [components, features, features]."""
    count, width = shape
    if model.covariance_type == "full":
        return roots
    if model.covariance_type == "tied":
        return np.repeat(roots[None], count, axis=0)
    if model.covariance_type == "diag":
        return np.array([np.diag(line) for line in roots])
    return np.array([np.eye(width) * value for value in roots])


def _constants(model: Any) -> Reals:
    """What does not depend on the row (sklearn.mixture: `_estimate_log_gaussian_prob` and `_estimate_log_prob`)."""
    width = model.means_.shape[1]
    constants = _log_determinants(model, width) - 0.5 * width * np.log(2 * np.pi) + _log_weights(model)
    if hasattr(model, "mean_precision_"):
        degrees = np.asarray(model.degrees_of_freedom_, dtype=np.float64)
        spread = width * np.log(2.0) + digamma(0.5 * (degrees - np.arange(width)[:, None])).sum(axis=0)
        constants = constants - 0.5 * width * np.log(degrees) + 0.5 * (spread - width / model.mean_precision_)
    return np.asarray(constants, dtype=np.float64)


def _log_weights(model: Any) -> Reals:
    if hasattr(model, "mean_precision_"):
        return np.asarray(model._estimate_log_weights(), dtype=np.float64)
    return np.log(np.asarray(model.weights_, dtype=np.float64))


def _log_determinants(model: Any, width: int) -> Reals:
    roots = np.asarray(model.precisions_cholesky_, dtype=np.float64)
    if model.covariance_type == "full":
        return np.asarray(np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1))
    if model.covariance_type == "tied":
        return np.repeat(np.log(np.diagonal(roots)).sum(), len(model.means_))
    return np.asarray(np.log(roots).sum(axis=1) if model.covariance_type == "diag" else width * np.log(roots))
