"""Gaussian processes: their kernels as products with the training points, and what is made of them.

Sources: `sklearn.gaussian_process.kernels`; Rasmussen and Williams, Gaussian Processes for Machine Learning, algorithms
2.1 and 3.2; Williams and Barber 1998, appendix A, for the classifier's integral.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import erfcx
from sklearn.gaussian_process import kernels as gp
from sklearn.gaussian_process._gpc import COEFS, LAMBDAS
from sklearn.multiclass import OneVsRestClassifier

from convert.export.affine import Reals
from convert.export.dense import answers
from convert.export.kernels import pairwise
from convert.export.kernels.pairwise import Kernel, moved, real
from convert.export.products import features, gemm, product
from convert.export.refusal import NotExportable
from convert.export.writer import DOUBLE, Writer

_ERF_TERMS = 24
_ERF_SCALE = 2.0
_ERF_NEAR, _ERF_SERIES = 0.5, 12  # its first term left out is below 1e-17


def regress(writer: Writer) -> None:
    """The posterior mean [rows, targets]."""
    model = writer.model
    if getattr(model, "X_train_", None) is None:
        raise NotExportable("it was never fitted")
    weights = real(model.alpha_).reshape(len(model.X_train_), -1)
    spread, mean = np.ravel(model._y_train_std), np.ravel(model._y_train_mean)
    values = covariance(writer, model.kernel_, real(model.X_train_))
    offset = np.broadcast_to(mean, weights.shape[1:])
    writer.finish(0, gemm(writer, values, weights * spread, offset))


def classify(writer: Writer) -> None:
    """Label and probabilities of two classes, or of more by one against the rest."""
    model = writer.model
    base = model.base_estimator_
    if isinstance(base, OneVsRestClassifier):
        shares = [_share(writer, estimator) for estimator in base.estimators_]
        joined = writer.node("Concat", *shares, axis=1)
        writer.finish_label(writer.node("ArgMax", joined, axis=1, keepdims=0))
        total = writer.node("ReduceSum", joined, writer.constant(np.array([1])), keepdims=1)
        writer.finish(1, writer.node("Div", joined, total))
    elif hasattr(base, "pi_"):
        answers.positive(writer, _latent_mean(writer, base, _star(writer, base)))
        answers.complemented(writer, _share(writer, base))
    else:
        raise NotExportable("it compares its classes pair by pair, which gives no probabilities")


def _star(writer: Writer, base: Any) -> str:
    return covariance(writer, base.kernel_, real(base.X_train_))


def _latent_mean(writer: Writer, base: Any, star: str) -> str:
    return writer.node("MatMul", star, writer.numbers((base.y_train_ - base.pi_)[:, None]))


def _share(writer: Writer, base: Any) -> str:
    """The probability [rows, 1] of the positive class: five error functions, whose factors of thousands cancel."""
    if writer.element != DOUBLE:
        raise NotExportable("its probabilities need float64")
    star = _star(writer, base)
    mean = _latent_mean(writer, base, star)
    root = np.linalg.solve(real(base.L_), np.diag(base.W_sr_))
    reduced = writer.node("MatMul", star, writer.numbers(root.T))
    explained = writer.node("ReduceSumSquare", reduced, writer.constant(np.array([1])), keepdims=1)
    variance = writer.node("Sub", _diagonal(writer, base.kernel_), explained)
    scales = np.ravel(LAMBDAS)[None, :]
    widened = writer.node("Mul", variance, writer.numbers(2.0 * scales**2))
    width = writer.node("Sqrt", writer.node("Add", widened, writer.numbers([1.0])))
    arguments = writer.node("Div", writer.node("Mul", mean, writer.numbers(scales)), width)
    factors = np.ravel(COEFS)
    return gemm(writer, _erf(writer, arguments), 0.5 * factors[:, None], np.array([0.5 * factors.sum()]))


def _erf(writer: Writer, name: str) -> str:
    """The error function in float64, which onnxruntime has in float32 only.

    To 1e-12 by erf |x| = 1 − exp(−x²) P(t) with t = (c − |x|) / (c + |x|), P a polynomial through the scaled
    complementary error function at Chebyshev's points. Below one half by its Maclaurin series, which keeps the digits
    of small numbers: far from all training rows every class comes to the same probability, and noise would choose.
    """
    nodes = np.cos(np.pi * (np.arange(_ERF_TERMS) + 0.5) / _ERF_TERMS)
    fitted = np.polynomial.chebyshev.Chebyshev.fit(
        nodes, erfcx(_ERF_SCALE * (1.0 - nodes) / (1.0 + nodes)), _ERF_TERMS - 1, domain=[-1, 1]
    )
    terms = fitted.convert(kind=np.polynomial.Polynomial).coef
    size = writer.node("Abs", name)
    scale = writer.numbers([_ERF_SCALE])
    place = writer.node("Div", writer.node("Sub", scale, size), writer.node("Add", scale, size))
    deep = writer.node("Unsqueeze", place, writer.constant(np.array([2])))
    powers = writer.node("Pow", deep, writer.numbers(np.arange(len(terms), dtype=np.float64)))
    value = writer.node("MatMul", powers, writer.numbers(terms))
    fading = writer.node("Exp", writer.node("Neg", writer.node("Mul", name, name)))
    upper = writer.node("Sub", writer.numbers([1.0]), writer.node("Mul", fading, value))
    far = writer.node("Mul", writer.node("Sign", name), upper)
    return writer.node("Where", writer.node("Less", size, writer.numbers([_ERF_NEAR])), _erf_near(writer, name), far)


def _erf_near(writer: Writer, name: str) -> str:
    """x Σ 2/√π (−1)ⁿ x²ⁿ / (n! (2n + 1)) (Abramowitz and Stegun 7.1.5)."""
    signs = (-1.0) ** np.arange(_ERF_SERIES)
    terms = [2.0 / math.sqrt(math.pi) / (math.factorial(n) * (2 * n + 1)) for n in range(_ERF_SERIES)] * signs
    squared = writer.node("Mul", name, name)
    powers = writer.node(
        "Pow",
        writer.node("Unsqueeze", squared, writer.constant(np.array([2]))),
        writer.numbers(np.arange(_ERF_SERIES, dtype=np.float64)),
    )
    return writer.node("Mul", name, writer.node("MatMul", powers, writer.numbers(terms)))


def covariance(writer: Writer, kernel: Any, points: Reals) -> str:
    """Values [rows, n] (or what broadcasts to it) of a kernel between rows and points. Raises NotExportable."""
    if isinstance(kernel, gp.Sum | gp.Product):
        kind = "Add" if isinstance(kernel, gp.Sum) else "Mul"
        return writer.node(kind, covariance(writer, kernel.k1, points), covariance(writer, kernel.k2, points))
    if isinstance(kernel, gp.Exponentiation):
        inner = covariance(writer, kernel.kernel, points)
        return writer.node("Pow", inner, writer.numbers(np.array(float(kernel.exponent))))
    if type(kernel) not in _KERNELS:
        raise NotExportable(f"its kernel {type(kernel).__name__} has no ONNX form")
    return str(_KERNELS[type(kernel)](writer, kernel, points))


def _everywhere(writer: Writer, value: float, points: Reals) -> str:
    """The same value for all rows and points."""
    return answers.constant_rows(writer, np.full(len(points), value))


def _constant(writer: Writer, kernel: Any, points: Reals) -> str:
    return _everywhere(writer, float(kernel.constant_value), points)


def _white(writer: Writer, kernel: Any, points: Reals) -> str:
    """Noise of a new row has nothing to do with that of the training rows."""
    return _everywhere(writer, 0.0, points)


def _dot(writer: Writer, kernel: Any, points: Reals) -> str:
    return product(writer, points.T, np.full(len(points), float(kernel.sigma_0) ** 2))


def _rbf(writer: Writer, kernel: Any, points: Reals) -> str:
    return pairwise.bell(writer, moved(writer, points, math.sqrt(0.5) / np.asarray(kernel.length_scale)))


def _matern(writer: Writer, kernel: Any, points: Reals) -> str:
    """Rasmussen and Williams, section 4.2.1, for the smoothness values that have a closed form."""
    nu = float(kernel.nu)
    if np.isinf(nu):
        return _rbf(writer, kernel, points)
    if nu not in (0.5, 1.5, 2.5):
        raise NotExportable(f"its kernel Matern with nu = {nu:g} needs Bessel functions")
    scale = math.sqrt(2.0 * nu) / np.asarray(kernel.length_scale)
    distance = writer.node("Sqrt", pairwise.squared(writer, moved(writer, points, scale)))
    fading = writer.node("Exp", writer.node("Neg", distance))
    if nu == 0.5:
        return fading
    one = writer.numbers([1.0])
    factor = writer.node("Add", one, distance)
    if nu == 2.5:
        third = writer.node("Mul", writer.node("Mul", distance, distance), writer.numbers([1.0 / 3.0]))
        factor = writer.node("Add", factor, third)
    return writer.node("Mul", factor, fading)


def _quadratic(writer: Writer, kernel: Any, points: Reals) -> str:
    scale = math.sqrt(0.5 / float(kernel.alpha)) / float(kernel.length_scale)
    base = writer.node("Add", pairwise.squared(writer, moved(writer, points, scale)), writer.numbers([1.0]))
    return writer.node("Pow", base, writer.numbers(np.array(-float(kernel.alpha))))


def _periodic(writer: Writer, kernel: Any, points: Reals) -> str:
    turns = writer.node("Sqrt", pairwise.squared(writer, moved(writer, points, math.pi / float(kernel.periodicity))))
    wave = writer.node("Mul", writer.node("Sin", turns), writer.numbers([math.sqrt(2.0) / float(kernel.length_scale)]))
    return writer.node("Exp", writer.node("Neg", writer.node("Mul", wave, wave)))


def _pairwise(writer: Writer, kernel: Any, points: Reals) -> str:
    """`PairwiseKernel`: its gamma is the only parameter that it passes on by itself."""
    if kernel.pairwise_kernels_kwargs:
        raise NotExportable("its pairwise kernel has parameters of its own")
    return pairwise.kernel(writer, points, Kernel(str(kernel.metric), gamma=float(kernel.gamma)))


def _diagonal(writer: Writer, kernel: Any) -> str:
    """The kernel of each row with itself: one number for stationary kernels, [rows, 1] for others."""
    if isinstance(kernel, gp.Sum | gp.Product):
        kind = "Add" if isinstance(kernel, gp.Sum) else "Mul"
        return writer.node(kind, _diagonal(writer, kernel.k1), _diagonal(writer, kernel.k2))
    if isinstance(kernel, gp.Exponentiation):
        inner = _diagonal(writer, kernel.kernel)
        return writer.node("Pow", inner, writer.numbers(np.array(float(kernel.exponent))))
    if isinstance(kernel, gp.DotProduct):
        squares = writer.node("ReduceSumSquare", features(writer), writer.constant(np.array([1])), keepdims=1)
        return writer.node("Add", squares, writer.numbers([float(kernel.sigma_0) ** 2]))
    if isinstance(kernel, gp.PairwiseKernel):
        raise NotExportable("the variance of its pairwise kernel has no ONNX form")
    value = getattr(kernel, "constant_value", getattr(kernel, "noise_level", 1.0))
    return writer.numbers([[float(value)]])


_KERNELS: dict[type[Any], Any] = {
    gp.ConstantKernel: _constant,
    gp.WhiteKernel: _white,
    gp.DotProduct: _dot,
    gp.RBF: _rbf,
    gp.Matern: _matern,
    gp.RationalQuadratic: _quadratic,
    gp.ExpSineSquared: _periodic,
    gp.PairwiseKernel: _pairwise,
}
