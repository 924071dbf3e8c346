"""The quantile function of the normal distribution, by algorithm AS 241 (Wichura 1988): PPND16, about 16 digits."""

from __future__ import annotations

import numpy as np

from convert.export.steps.elementwise import at_least
from convert.export.writer import Writer

# Numerator and denominator from the highest power down, as published.
_MIDDLE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
_OUTER = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip
_FAR = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip


def quantile_of_normal(writer: Writer, share: str) -> str:
    """`scipy.stats.norm.ppf` of shares strictly between 0 and 1."""
    half = writer.numbers([0.5])
    offset = writer.node("Sub", share, half)
    near = writer.node("Sub", writer.numbers([0.180625]), writer.node("Mul", offset, offset))
    middle = writer.node("Mul", offset, _ratio(writer, near, _MIDDLE))
    low = writer.node("Less", offset, writer.numbers([0.0]))
    tail = writer.node("Where", low, share, writer.node("Sub", writer.numbers([1.0]), share))
    depth = writer.node("Sqrt", writer.node("Neg", writer.node("Log", tail)))
    outer = _ratio(writer, writer.node("Sub", depth, writer.numbers([1.6])), _OUTER)
    far = _ratio(writer, writer.node("Sub", at_least(writer, depth, 5.0), writer.numbers([5.0])), _FAR)
    outer = writer.node("Where", writer.node("Greater", depth, writer.numbers([5.0])), far, outer)
    outer = writer.node("Where", low, writer.node("Neg", outer), outer)
    inside = writer.node("LessOrEqual", writer.node("Abs", offset), writer.numbers([0.425]))
    return writer.node("Where", inside, middle, outer)


def _ratio(writer: Writer, x: str, powers: tuple[tuple[float, ...], tuple[float, ...]]) -> str:
    over, under = (_polynomial(writer, x, line) for line in powers)
    return writer.node("Div", over, under)


def _polynomial(writer: Writer, x: str, powers: tuple[float, ...]) -> str:
    value = writer.numbers(np.array(powers[:1]))
    for coefficient in powers[1:]:
        value = writer.node("Add", writer.node("Mul", value, x), writer.numbers([coefficient]))
    return value
