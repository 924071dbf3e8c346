"""Embeddings through the nearest training rows, and sparse codes that take a fixed number of steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.refusal import NotExportable
from convert.export.steps.clusters import squared_distances
from convert.export.steps.elementwise import at_least, at_most, joined, over
from convert.export.steps.small_systems import solve
from convert.export.writer import Writer

# Systems are written out operator by operator, about k³ / 3 of them.
_MAX_UNKNOWNS = 12
# One row's geodesic distances, neighbours × training rows × 8 bytes.
_MAX_GEODESICS = 1 << 16


def geodesic(writer: Writer) -> None:
    """`Isomap`: shortest ways over the nearest training rows, then their kernel's components."""
    model = writer.model
    if model.n_neighbors is None:
        raise NotExportable("Isomap with a radius: the number of neighbours differs from row to row")
    ways = np.asarray(model.dist_matrix_, dtype=np.float64)
    if model.n_neighbors * len(ways) > _MAX_GEODESICS:
        raise NotExportable(f"Isomap over {len(ways)} rows would take too much memory")
    apart, nearest = _nearest(writer, model.nbrs_, model.n_neighbors)
    through = writer.node("Gather", writer.numbers(ways), nearest, axis=0)
    length = writer.node("Add", through, writer.node("Unsqueeze", apart, _axis(writer, 2)))
    shortest = over(writer, "ReduceMin", length, 1, keep=False)
    kernel = writer.node("Mul", writer.node("Mul", shortest, shortest), writer.numbers([-0.5]))
    writer.finish(0, _components(writer, kernel, model.kernel_pca_))


def _components(writer: Writer, kernel: str, model: Any) -> str:
    """`KernelPCA.transform` of a kernel."""
    centring = model._centerer
    mean = writer.node("Div", over(writer, "ReduceSum", kernel), writer.numbers([len(centring.K_fit_rows_)]))
    moved = writer.node("Sub", writer.node("Sub", kernel, writer.numbers(centring.K_fit_rows_)), mean)
    moved = writer.node("Add", moved, writer.numbers([centring.K_fit_all_]))
    some = np.flatnonzero(model.eigenvalues_)
    weights = np.zeros_like(model.eigenvectors_)
    weights[:, some] = model.eigenvectors_[:, some] / np.sqrt(model.eigenvalues_[some])
    return writer.node("MatMul", moved, writer.numbers(weights))


def _nearest(writer: Writer, neighbours: Any, count: int) -> tuple[str, str]:
    """Distances to the nearest training rows and their places [rows, count]."""
    euclidean = neighbours.effective_metric_ == "euclidean"
    if not euclidean and not (neighbours.effective_metric_ == "minkowski" and neighbours.p == 2):
        raise NotExportable(f"{type(writer.model).__name__} measures by {neighbours.effective_metric_}")
    squares = squared_distances(writer, writer.rows, np.asarray(neighbours._fit_X, dtype=np.float64))
    found = writer.nodes("TopK", 2, writer.node("Sqrt", squares), _axis(writer, count), axis=1, largest=0)
    return found[0], found[1]


def locally_linear(writer: Writer) -> None:
    """`LocallyLinearEmbedding`: weights that rebuild a row from its neighbours (Roweis and Saul 2000)."""
    model = writer.model
    count = int(model.n_neighbors)
    _limit(model, count)
    nearest = _nearest(writer, model.nbrs_, count)[1]
    around = writer.node("Gather", writer.numbers(model.nbrs_._fit_X), nearest, axis=0)
    apart = writer.node("Sub", around, writer.node("Unsqueeze", writer.rows, _axis(writer, 1)))
    gram = writer.node("MatMul", apart, writer.node("Transpose", apart, perm=[0, 2, 1]))
    flat = writer.node("Reshape", gram, writer.constant(np.array([0, count * count], dtype=np.int64)))
    entries = [[writer.columns(flat, [i * count + j]) for j in range(i + 1)] for i in range(count)]
    trace = over(writer, "ReduceSum", joined(writer, [entries[i][i] for i in range(count)]))
    positive = writer.node("Greater", trace, writer.numbers([0.0]))
    ridge = writer.node("Where", positive, trace, writer.numbers([1.0]))
    ridge = writer.node("Mul", ridge, writer.numbers([model.reg]))
    for i in range(count):
        entries[i][i] = writer.node("Add", entries[i][i], ridge)
    one = writer.node("Add", writer.node("Mul", ridge, writer.numbers([0.0])), writer.numbers([1.0]))
    weights = joined(writer, solve(writer, entries, [one] * count))
    weights = writer.node("Div", weights, over(writer, "ReduceSum", weights))
    points = writer.node("Gather", writer.numbers(model.embedding_), nearest, axis=0)
    scaled = writer.node("Mul", points, writer.node("Unsqueeze", weights, _axis(writer, 2)))
    writer.finish(0, over(writer, "ReduceSum", scaled, 1, keep=False))


def sparse_code(writer: Writer) -> None:
    """`DictionaryLearning`, `SparseCoder`: thresholds and orthogonal matching pursuit; paths of the lasso iterate."""
    model = writer.model
    atoms = np.asarray(model.dictionary if hasattr(model, "dictionary") else model.components_, dtype=np.float64)
    if model.transform_algorithm == "threshold":
        code = _thresholded(writer, atoms)
    elif model.transform_algorithm == "omp":
        code = _pursued(writer, atoms)
    else:
        raise NotExportable(f"{type(model).__name__} solves a lasso for every row (use 'omp' or 'threshold')")
    if model.split_sign:
        plus = at_least(writer, code, 0.0)
        code = joined(writer, [plus, writer.node("Neg", at_most(writer, code, 0.0))])
    writer.finish(0, code)


def _thresholded(writer: Writer, atoms: NDArray[np.float64]) -> str:
    model = writer.model
    alpha = model.transform_alpha if model.transform_alpha is not None else getattr(model, "alpha", 1.0)
    cover = writer.node("MatMul", writer.rows, writer.numbers(atoms.T))
    size = writer.node("Abs", cover)
    left = at_least(writer, writer.node("Sub", size, writer.numbers([alpha])), 0.0)
    code = writer.node("Mul", writer.node("Sign", cover), left)
    return at_least(writer, code, 0.0) if model.positive_code else code


def _pursued(writer: Writer, atoms: NDArray[np.float64]) -> str:
    """Orthogonal matching pursuit (Rubinstein et al. 2008): the best atom, all coefficients anew, and again."""
    model = writer.model
    asked = model.transform_n_nonzero_coefs
    count = int(asked if asked is not None else min(max(atoms.shape[1] / 10, 1), len(atoms)))
    _limit(model, count)
    gram = writer.numbers(atoms @ atoms.T)
    cover = writer.node("MatMul", writer.rows, writer.numbers(atoms.T))
    left, lines, goals, places = cover, [], [], []
    gammas: list[str] = []
    for _ in range(count):
        place = writer.node("ArgMax", writer.node("Abs", left), axis=1, keepdims=1)
        places.append(place)
        lines.append(writer.node("Gather", gram, writer.node("Squeeze", place, _axis(writer, 1)), axis=0))
        goals.append(writer.node("GatherElements", cover, place, axis=1))
        system = [[writer.node("GatherElements", line, other, axis=1) for other in places] for line in lines]
        gammas = solve(writer, system, goals)
        left = cover
        for line, gamma in zip(lines, gammas, strict=True):
            left = writer.node("Sub", left, writer.node("Mul", line, gamma))
    code = writer.node("Mul", cover, writer.numbers([0.0]))
    for place, gamma in zip(places, gammas, strict=True):
        code = writer.node("ScatterElements", code, place, gamma, axis=1)
    return code


def _limit(model: Any, count: int) -> None:
    if count > _MAX_UNKNOWNS:
        raise NotExportable(f"{type(model).__name__} solves a system of {count} unknowns for every row")


def _axis(writer: Writer, value: int) -> str:
    return writer.constant(np.array([value], dtype=np.int64))
