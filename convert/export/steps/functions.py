"""`FunctionTransformer` with the functions that ONNX can say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from convert.export.refusal import NotExportable
from convert.export.steps.elementwise import clip
from convert.export.writer import FLOAT, Writer

_Written = Callable[[Writer, str], str]


def _plain(operator: str) -> _Written:
    return lambda writer, rows: writer.node(operator, rows)


def _single(operator: str) -> _Written:
    """An operator that onnxruntime has for float32 only."""

    def write(writer: Writer, rows: str) -> str:
        found = writer.node(operator, writer.cast(rows, FLOAT, writer.element))
        return writer.cast(found, writer.element, FLOAT)

    return write


def _sign(writer: Writer, rows: str) -> str:
    """ONNX leaves the sign of NaN open."""
    return writer.node("Where", writer.node("IsNaN", rows), rows, writer.node("Sign", rows))


def _with(operator: str, number: float, *, first: bool = False, after: str | None = None) -> _Written:
    """`x operator number`; `first`: the number comes first; `after`: another operator on the result."""

    def write(writer: Writer, rows: str) -> str:
        constant = writer.numbers([number])
        found = writer.node(operator, *((constant, rows) if first else (rows, constant)))
        return found if after is None else writer.node(after, found)

    return write


def _log_over(base: float) -> _Written:
    return lambda writer, rows: writer.node("Div", writer.node("Log", rows), writer.numbers([np.log(base)]))


def _tan(writer: Writer, rows: str) -> str:
    """onnxruntime has no tangent of float64."""
    return writer.node("Div", writer.node("Sin", rows), writer.node("Cos", rows))


def _expm1(writer: Writer, rows: str) -> str:
    return writer.node("Sub", writer.node("Exp", rows), writer.numbers([1.0]))


def _square(writer: Writer, rows: str) -> str:
    return writer.node("Mul", rows, rows)


def _absent(writer: Writer, rows: str) -> str:
    return writer.cast(writer.node("IsNaN", rows), writer.element)


def _logit(writer: Writer, rows: str) -> str:
    return writer.node("Log", writer.node("Div", rows, writer.node("Sub", writer.numbers([1.0]), rows)))


# By name, as people know them; the same function of numpy under another name is found by identity.
FUNCTIONS: dict[Any, _Written] = {
    np.log: _plain("Log"),
    np.log1p: _with("Add", 1.0, after="Log"),
    np.log2: _log_over(2.0),
    np.log10: _log_over(10.0),
    np.exp: _plain("Exp"),
    np.exp2: _with("Pow", 2.0, first=True),
    np.expm1: _expm1,
    np.sqrt: _plain("Sqrt"),
    np.cbrt: lambda writer, rows: writer.node(
        "Mul", writer.node("Sign", rows), writer.node("Pow", writer.node("Abs", rows), writer.numbers([1 / 3]))
    ),
    np.square: _square,
    np.abs: _plain("Abs"),
    np.fabs: _plain("Abs"),
    np.sign: _sign,
    np.negative: _plain("Neg"),
    np.positive: _plain("Identity"),
    np.reciprocal: _with("Div", 1.0, first=True),
    np.sin: _plain("Sin"),
    np.cos: _plain("Cos"),
    np.tan: _tan,
    np.arcsin: _single("Asin"),
    np.arccos: _single("Acos"),
    np.arctan: _single("Atan"),
    np.sinh: _single("Sinh"),
    np.cosh: _single("Cosh"),
    np.tanh: _plain("Tanh"),
    np.arcsinh: _single("Asinh"),
    np.floor: _plain("Floor"),
    np.ceil: _plain("Ceil"),
    np.rint: _plain("Round"),
    np.deg2rad: _with("Mul", float(np.pi / 180)),
    np.radians: _with("Mul", float(np.pi / 180)),
    np.rad2deg: _with("Mul", float(180 / np.pi)),
    np.degrees: _with("Mul", float(180 / np.pi)),
    np.isnan: _absent,
    special.expit: _plain("Sigmoid"),
    special.logit: _logit,
    special.erf: _plain("Erf"),
}


def apply(writer: Writer) -> None:
    """A known function, with its keyword arguments where it takes some. Raises NotExportable for any other."""
    model = writer.model
    words = dict(model.kw_args or {})
    if model.func is None:
        writer.finish(0, writer.rows)
        return
    if model.func in FUNCTIONS and not words:
        writer.finish(0, FUNCTIONS[model.func](writer, writer.rows))
        return
    writer.finish(0, _with_words(writer, model.func, words))


def _with_words(writer: Writer, function: Any, words: dict[str, Any]) -> str:
    if function is np.clip and set(words) <= {"a_min", "a_max", "min", "max"}:
        bounds = [words.get(short, words.get(long)) for short, long in (("min", "a_min"), ("max", "a_max"))]
        if all(bound is None or np.ndim(bound) == 0 for bound in bounds):
            return clip(writer, writer.rows, *bounds)
    if function is np.power and set(words) == {"x2"} and np.ndim(words["x2"]) == 0:
        return writer.node("Pow", writer.rows, writer.numbers([words["x2"]]))
    if function is np.nan_to_num and set(words) <= {"nan", "copy"} and np.ndim(words.get("nan", 0.0)) == 0:
        hole = writer.node("IsNaN", writer.rows)
        return writer.node("Where", hole, writer.numbers([words.get("nan", 0.0)]), writer.rows)
    if function in (np.round, np.around) and words.get("decimals", 0) == 0 and set(words) <= {"decimals"}:
        return writer.node("Round", writer.rows)
    raise NotExportable(_unknown(function, words))


def _unknown(function: Any, words: dict[str, Any]) -> str:
    name = getattr(function, "__name__", repr(function))
    known = ", ".join(
        sorted({str(getattr(each, "__name__", each)) for each in FUNCTIONS} | {"clip", "nan_to_num", "round"})
    )
    given = f" with {', '.join(sorted(words))}" if words else ""
    return f"FunctionTransformer calls {name}{given}, which has no ONNX form (known are {known})"
