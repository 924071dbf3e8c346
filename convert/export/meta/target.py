"""TransformedTargetRegressor: a regressor whose values are taken back by an inverse function or transformer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from convert.export.meta import asking
from convert.export.meta.curves import follow
from convert.export.refusal import NotExportable
from convert.export.writer import FLOAT, Writer

_Inverse = Callable[[Writer, Any, str], str]


def regress(writer: Writer) -> None:
    """TransformedTargetRegressor. Raises NotExportable for a function or transformer that it does not know."""
    model = writer.model
    writer.finish(0, _back(writer, model.transformer_, asking.values(writer, model.regressor_)))


def _back(writer: Writer, transformer: Any, values: str) -> str:
    if isinstance(transformer, Pipeline):
        for _, step in reversed(transformer.steps):
            values = _back(writer, step, values)
        return values
    if transformer in ("passthrough", None):
        return values
    inverse = next((rule for kind, rule in _INVERSES if type(transformer) is kind), None)
    if inverse is None:
        raise NotExportable(f"its transformer {type(transformer).__name__} has no known inverse in ONNX")
    return inverse(writer, transformer, values)


def _function(writer: Writer, transformer: Any, values: str) -> str:
    function = transformer.inverse_func
    if function is None:
        return values
    if transformer.inv_kw_args or function not in _FUNCTIONS:
        name = getattr(function, "__name__", str(function))
        raise NotExportable(f"its inverse function {name!r} is none of numpy's that ONNX knows")
    return _FUNCTIONS[function](writer, values)


def _by(*kinds: str) -> Callable[[Writer, str], str]:
    """One operator after the other."""

    def apply(writer: Writer, values: str) -> str:
        for kind in kinds:
            values = writer.node(kind, values)
        return values

    return apply


def _with(kind: str, number: float, *, before: bool = False, then: str | None = None) -> Callable[[Writer, str], str]:
    """An operator with a number as its second (or, `before`, first) input, and one more."""

    def apply(writer: Writer, values: str) -> str:
        constant = writer.numbers([number])
        found = writer.node(kind, constant, values) if before else writer.node(kind, values, constant)
        return writer.node(then, found) if then else found

    return apply


def _logarithm(base: float) -> Callable[[Writer, str], str]:
    def apply(writer: Writer, values: str) -> str:
        return writer.node("Div", writer.node("Log", values), writer.numbers([np.log(base)]))

    return apply


def _exp_less_one(writer: Writer, values: str) -> str:
    return writer.node("Sub", writer.node("Exp", values), writer.numbers([1.0]))


_FUNCTIONS: Mapping[Any, Callable[[Writer, str], str]] = {
    np.exp: _by("Exp"),
    np.log: _by("Log"),
    np.expm1: _exp_less_one,
    np.log1p: _with("Add", 1.0, then="Log"),
    np.exp2: _with("Pow", 2.0, before=True),
    np.log2: _logarithm(2),
    np.log10: _logarithm(10),
    np.sqrt: _by("Sqrt"),
    np.square: _with("Pow", 2.0),
    np.negative: _by("Neg"),
    np.positive: _by(),
    np.abs: _by("Abs"),
    np.reciprocal: _by("Reciprocal"),
    np.tanh: _by("Tanh"),
    special.expit: _by("Sigmoid"),
}


def _scaled(writer: Writer, transformer: Any, values: str) -> str:
    scale = getattr(transformer, "scale_", None)
    centre = getattr(transformer, "mean_", getattr(transformer, "center_", None))
    if scale is not None:
        values = writer.node("Mul", values, writer.numbers(scale))
    return values if centre is None else writer.node("Add", values, writer.numbers(centre))


def _ranged(writer: Writer, transformer: Any, values: str) -> str:
    return writer.node(
        "Div", writer.node("Sub", values, writer.numbers(transformer.min_)), writer.numbers(transformer.scale_)
    )


def _powered(writer: Writer, transformer: Any, values: str) -> str:
    """Box-Cox and Yeo-Johnson backwards (scikit-learn's `PowerTransformer.inverse_transform`)."""
    if transformer.standardize:
        values = _scaled(writer, transformer._scaler, values)
    back = _box_cox if transformer.method == "box-cox" else _yeo_johnson
    columns = [
        back(writer, values if len(transformer.lambdas_) == 1 else writer.columns(values, [place]), float(power))
        for place, power in enumerate(transformer.lambdas_)
    ]
    return asking.joined(writer, columns)


def _box_cox(writer: Writer, values: str, power: float) -> str:
    if power == 0:
        return writer.node("Exp", values)
    inner = writer.node("Add", writer.node("Mul", values, writer.numbers([power])), writer.numbers([1.0]))
    return writer.node("Pow", inner, writer.numbers([1 / power]))


def _yeo_johnson(writer: Writer, values: str, power: float) -> str:
    """Both branches are computed; the one that does not count gets a harmless value."""
    zero, one = writer.numbers([0.0]), writer.numbers([1.0])
    upper, lower = writer.node("Max", values, zero), writer.node("Min", values, zero)
    if abs(power) < np.spacing(1.0):
        high = writer.node("Sub", writer.node("Exp", upper), one)
    else:
        base = writer.node("Add", writer.node("Mul", upper, writer.numbers([power])), one)
        high = writer.node("Sub", writer.node("Pow", base, writer.numbers([1 / power])), one)
    if abs(power - 2) <= np.spacing(1.0):
        low = writer.node("Sub", one, writer.node("Exp", writer.node("Neg", lower)))
    else:
        base = writer.node("Add", writer.node("Mul", lower, writer.numbers([power - 2])), one)
        low = writer.node("Sub", one, writer.node("Pow", base, writer.numbers([1 / (2 - power)])))
    return writer.node("Where", writer.node("GreaterOrEqual", values, zero), high, low)


def _quantiles(writer: Writer, transformer: Any, values: str) -> str:
    """Ranks, uniform or normal, back to values along straight pieces."""
    if transformer.output_distribution == "normal":
        values = _normal_rank(writer, values)
    references = np.asarray(transformer.references_)
    table = np.asarray(transformer.quantiles_)
    columns = [
        follow(writer, values if table.shape[1] == 1 else writer.columns(values, [place]), references, table[:, place])
        for place in range(table.shape[1])
    ]
    return asking.joined(writer, columns)


def _normal_rank(writer: Writer, values: str) -> str:
    """The normal distribution function (1 + erf(x / √2)) / 2; onnxruntime has erf in float32 only."""
    reduced = writer.node("Mul", values, writer.numbers([np.sqrt(0.5)]))
    error = writer.node("Erf", writer.cast(reduced, FLOAT, writer.element))
    wide = writer.cast(error, writer.element, FLOAT)
    return writer.node("Mul", writer.node("Add", wide, writer.numbers([1.0])), writer.numbers([0.5]))


_INVERSES: tuple[tuple[type[Any], _Inverse], ...] = (
    (FunctionTransformer, _function),
    (StandardScaler, _scaled),
    (RobustScaler, _scaled),
    (MaxAbsScaler, _scaled),
    (MinMaxScaler, _ranged),
    (PowerTransformer, _powered),
    (QuantileTransformer, _quantiles),
)
