"""Chooses among the forms of a model. Touches nothing.

What may be chosen at all: a form within the budgets whose CPU time for one row is at most 1.2 × that of skl2onnx's
plain export, where that one is right. Among these, by objective:

- `size`: the fewest bytes on the wire.
- `latency`: the least CPU time for one row; times within 5 % of it count as equal, and the fewest bytes decide.
- `balanced`: the fewest bytes on the wire among the forms that take at most 1.1 × the time of the exact form; one that
  rounds is taken only if it saves at least a fifth of the bytes of the smallest exact one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convert.options import Objective
from edgekit.manifest import File

PLAIN_TIMES = 1.2
_BALANCED_TIMES = 1.1
_EQUAL_TIMES = 1.05
_WORTH_ROUNDING = 0.8


@dataclass(frozen=True)
class Form:
    """A form of the model as it was weighed. `lossy`: it rounds. `changed`: share of rows whose answer changes.
    `packed`: its entry of a bundle, of `wire_bytes` bytes. `refused`: why it may not be chosen.
    """

    name: str
    lossy: bool
    content: bytes
    changed: float | None = None
    max_absolute: float | None = None
    quality: float | None = None
    wire_bytes: int | None = None
    b1_us: float | None = None
    b32_us: float | None = None
    load_peak_bytes: int | None = None
    refused: str | None = None
    packed: tuple[File, bytes] | None = None

    @property
    def eligible(self) -> bool:
        """It may be chosen: nothing speaks against it, and it was packed and timed."""
        return self.refused is None and self.wire_bytes is not None and self.b1_us is not None


def too_slow(times_plain: float) -> str | None:
    """Why a form that takes so many times the plain export's CPU time for one row is too slow; None when it is not."""
    if times_plain <= PLAIN_TIMES:
        return None
    return f"one row takes {times_plain:.2f} × the CPU time of the plain export, allowed are {PLAIN_TIMES} ×"


def choose_form(forms: Sequence[Form], objective: Objective) -> Form:
    """The form to ship; the first (the exact one) when none is eligible."""
    eligible = [form for form in forms if form.eligible]
    if not eligible:
        return forms[0]
    if objective == "size":
        return min(eligible, key=_bytes)
    if objective == "latency":
        fastest = min(_time(form) for form in eligible)
        return min((form for form in eligible if _time(form) <= _EQUAL_TIMES * fastest), key=_bytes)
    return _balanced(forms[0], eligible)


def _balanced(exact: Form, eligible: Sequence[Form]) -> Form:
    reference = _time(exact) if exact.eligible else min(_time(form) for form in eligible)
    quick = [form for form in eligible if _time(form) <= _BALANCED_TIMES * reference]
    smallest = min(quick, key=_bytes)
    unrounded = [form for form in quick if not form.lossy]
    if not smallest.lossy or not unrounded:
        return smallest
    kept = min(unrounded, key=_bytes)
    return smallest if _bytes(smallest)[0] <= _WORTH_ROUNDING * _bytes(kept)[0] else kept


def pareto(forms: Sequence[Form]) -> set[str]:
    """Names of the eligible forms that no other beats in bytes, time and changed answers at once."""
    eligible = [form for form in forms if form.eligible]
    return {form.name for form in eligible if not any(_beats(other, form) for other in eligible)}


def _beats(other: Form, form: Form) -> bool:
    theirs, ours = _weights(other), _weights(form)
    return theirs != ours and all(a <= b for a, b in zip(theirs, ours, strict=True))


def _weights(form: Form) -> tuple[float, ...]:
    return _bytes(form)[0], _time(form), form.changed or 0.0


def _bytes(form: Form) -> tuple[float, float]:
    return float(form.wire_bytes or 0), _time(form)


def _time(form: Form) -> float:
    return form.b1_us or 0.0
