"""Ridge regression on kernels, kernel maps and their approximations, and labels spread over training rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics.pairwise import KERNEL_PARAMS

from convert.export.affine import scaling
from convert.export.kernels import neighbours
from convert.export.kernels.pairwise import Kernel, kernel, real, weighted
from convert.export.products import features, gemm, product
from convert.export.refusal import NotExportable
from convert.export.writer import Writer

_MULTIPLIED_OUT = 128  # components: 128 KiB for each row on its way


def ridge(writer: Writer) -> None:
    """`KernelRidge`: values [rows, targets]."""
    model = writer.model
    points = real(model.X_fit_)
    weights = real(model.dual_coef_).reshape(len(points), -1)
    writer.finish(0, weighted(writer, _form(model, points.shape[1], None), points, (weights, 0.0)))


def components(writer: Writer) -> None:
    """`KernelPCA`: the centred kernel matrix times the scaled eigenvectors, with the centring multiplied in."""
    model = writer.model
    fitted = real(model.X_fit_)
    form = _form(model, fitted.shape[1], getattr(model, "gamma_", None))
    spread = np.sqrt(np.where(model.eigenvalues_ == 0, 1.0, model.eigenvalues_))
    axes = np.where(model.eigenvalues_ == 0, 0.0, real(model.eigenvectors_) / spread)
    centred = axes - axes.mean(axis=0)
    offset = (model._centerer.K_fit_all_ - np.asarray(model._centerer.K_fit_rows_)) @ axes
    writer.finish(0, weighted(writer, form, fitted, (centred, offset)))


def nystroem(writer: Writer) -> None:
    """`Nystroem`: kernel values with the chosen rows, normalised."""
    model = writer.model
    weights = real(model.normalization_).T
    points = real(model.components_)
    writer.finish(0, weighted(writer, _form(model, points.shape[1], None), points, (weights, 0.0)))


def _form(model: Any, width: int, gamma: float | None) -> Kernel:
    """The kernel with the defaults of `sklearn.metrics.pairwise`."""
    metric = model.kernel
    if not isinstance(metric, str) or metric not in KERNEL_PARAMS:
        raise NotExportable("its kernel is no function of the rows that ONNX could say")
    words = dict(model.kernel_params or {})
    for word in ("gamma", "degree", "coef0"):
        if getattr(model, word, None) is not None and word in KERNEL_PARAMS[metric]:
            words[word] = getattr(model, word)
    default = 1.0 if metric == "chi2" else 1.0 / width
    found = words.get("gamma") if gamma is None else gamma
    return Kernel(
        metric,
        gamma=float(default if found is None else found),
        degree=float(words.get("degree", 3)),
        coef0=float(words.get("coef0", 1)),
    )


def random_waves(writer: Writer) -> None:
    """`RBFSampler`."""
    _waves(writer, product(writer, writer.model.random_weights_, writer.model.random_offset_))


def skewed_waves(writer: Writer) -> None:
    """`SkewedChi2Sampler`: waves over the logarithm of moved features."""
    model = writer.model
    width = len(model.random_weights_)
    logs = writer.node("Log", features(writer, scaling(np.full(width, -float(model.skewedness)), None, width)))
    _waves(writer, gemm(writer, logs, real(model.random_weights_), np.asarray(model.random_offset_)))


def _waves(writer: Writer, angles: str) -> None:
    height = writer.numbers([np.sqrt(2.0 / writer.model.n_components)])
    writer.finish(0, writer.node("Mul", writer.node("Cos", angles), height))


def additive_chi_squared(writer: Writer) -> None:
    """`AdditiveChi2Sampler` (Vedaldi and Zisserman 2012): roots of the features times waves of their logarithms."""
    model = writer.model
    step = model.sample_interval or {1: 0.8, 2: 0.5, 3: 0.4}.get(model.sample_steps)
    if step is None:
        raise NotExportable("it has no sample interval")
    rows = features(writer)
    zero = writer.numbers([0.0])
    empty = writer.node("Equal", rows, zero)
    log = writer.node("Log", writer.node("Where", empty, writer.numbers([1.0]), rows))
    parts = [writer.node("Sqrt", writer.node("Mul", rows, writer.numbers([step])))]
    for turn in range(1, model.sample_steps):
        height = 2.0 * step / np.cosh(np.pi * turn * step)
        root = writer.node("Sqrt", writer.node("Mul", rows, writer.numbers([height])))
        angle = writer.node("Mul", log, writer.numbers([turn * step]))
        parts += [writer.node("Mul", root, writer.node(wave, angle)) for wave in ("Cos", "Sin")]
    writer.finish(0, writer.node("Concat", *parts, axis=1))


def count_sketch(writer: Writer) -> None:
    """`PolynomialCountSketch` (Pham and Pagh 2013): the circular convolution of the rows' sketches.

    Small sketches are multiplied out. scikit-learn's way, the product of their Fourier transforms turned back, is taken
    for large ones: its rounding errors are those of the largest component, in the components that are zero too.
    """
    (_convolved if writer.model.n_components <= _MULTIPLIED_OUT else _by_transforms)(writer)


def _convolved(writer: Writer) -> None:
    size = writer.model.n_components
    turns = (np.arange(size)[:, None] - np.arange(size)[None, :]) % size
    found = _sketched(writer, np.eye(size), 0)
    for place in range(1, writer.model.degree):
        turned = writer.node("Gather", found, writer.constant(turns), axis=1)
        factors = writer.node("Unsqueeze", _sketched(writer, np.eye(size), place), writer.constant(np.array([2])))
        found = writer.node("Squeeze", writer.node("MatMul", turned, factors), writer.constant(np.array([2])))
    writer.finish(0, found)


def _by_transforms(writer: Writer) -> None:
    """Sketch and transform together are one complex matrix, written as its real and imaginary part."""
    model = writer.model
    size = model.n_components
    waves = np.exp(-2j * np.pi * np.outer(np.arange(size), np.arange(size // 2 + 1)) / size)
    real_part, imaginary = (_sketched(writer, part, 0) for part in (waves.real, waves.imag))
    for place in range(1, model.degree):
        a, b = (_sketched(writer, part, place) for part in (waves.real, waves.imag))
        straight = writer.node("Sub", writer.node("Mul", real_part, a), writer.node("Mul", imaginary, b))
        crossed = writer.node("Add", writer.node("Mul", real_part, b), writer.node("Mul", imaginary, a))
        real_part, imaginary = straight, crossed
    twice = np.where((np.arange(size // 2 + 1) == 0) | (2 * np.arange(size // 2 + 1) == size), 1.0, 2.0)
    back = (np.conj(waves) * twice / size).T
    joined = writer.node("Concat", real_part, imaginary, axis=1)
    writer.finish(0, writer.node("MatMul", joined, writer.numbers(np.vstack([back.real, -back.imag]))))


def _sketched(writer: Writer, lines: Any, place: int) -> str:
    """The rows' sketch of one degree, times a matrix with a line for each bucket."""
    model = writer.model
    buckets, bits = np.asarray(model.indexHash_)[place], np.asarray(model.bitHash_)[place]
    chosen = bits[:, None] * lines[buckets]
    constant = np.zeros(lines.shape[1]) + (np.sqrt(model.coef0) * chosen[-1] if model.coef0 != 0 else 0.0)
    return product(writer, np.sqrt(model.gamma) * (chosen[:-1] if model.coef0 != 0 else chosen), constant)


def spread_labels(writer: Writer) -> None:
    """`LabelPropagation` and `LabelSpreading`: the training rows' label shares, weighted by nearness."""
    model = writer.model
    shares = real(model.label_distributions_)
    if model.kernel == "rbf":
        values = kernel(writer, model.X_, Kernel("rbf", gamma=float(model.gamma)))
        total = writer.node("MatMul", values, writer.numbers(shares))
    elif model.kernel == "knn":
        found = neighbours.nearest(writer, model.nn_fit, model.n_neighbors, distances=False)
        near = writer.node("Gather", writer.numbers(shares), found.places, axis=0)
        total = writer.node("ReduceSum", near, writer.constant(np.array([1])), keepdims=0)
    else:
        raise NotExportable("its kernel is a function of its own")
    norm = writer.node("ReduceSum", total, writer.constant(np.array([1])), keepdims=1)
    writer.finish_label(writer.node("ArgMax", total, axis=1, keepdims=0))
    writer.finish(1, writer.node("Div", total, norm))
