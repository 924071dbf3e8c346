"""Makes smaller forms of an export, has them judged on the rows that may choose, packs and times them.

Other rows judge the form that is chosen anew, and where it fails there the exact form ships. They so never choose
between two forms that round, and what is reported of the one that ships is no best of several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from convert.check import session as sessions
from convert.check.measure import load_peak
from convert.export.candidates import Export
from convert.pack.report import PlainExport, VariantLine
from convert.progress import Progress, Stage, Step
from convert.shrink.choose import PLAIN_TIMES, Form, choose_form, pareto, too_slow
from convert.shrink.latency import time_calls, time_ratio
from convert.shrink.plain import Plain
from convert.shrink.scales import Scales, judge_exact, judge_rounding
from convert.shrink.search import smallest, tree_forms
from convert.shrink.variants import EXACT, has_trees, make, weight_forms
from convert.wording import cause
from edgekit import packing

PLAIN = "plain"
_FEWER_TREES_BUDGET = 0.005
_TIMED_ROWS = 1024
_CALIBRATION_ROWS = 512
_CALIBRATION_BATCH = 64
# Above this, forms that cannot win are not packed just for the report's plot: zstd takes seconds for each.
_PACK_ALL_BYTES = 1 << 20
_MEASURED_FORMS = 4


@dataclass(frozen=True)
class Shrunk:
    """The chosen form, and what the report tells of all."""

    form: Form
    made: Export
    variants: list[VariantLine]
    plain: PlainExport | None


def make_forms(scales: Scales, progress: Progress) -> tuple[Form, list[Form]]:
    """Make, judge and pack the exact form, and those that round and may win."""
    progress(Step(Stage.SHRINK))
    exact = _packed(Form(EXACT, lossy=False, content=scales.exact.content))
    return judge_exact(scales, exact), _lossy_forms(scales, progress)


def weigh_forms(scales: Scales, forms: Sequence[Form], plain: Plain | None) -> Shrunk:
    """Time the forms, the exact one first, and choose one."""
    timed, plain_us = _timed(scales, forms, plain)
    if plain is not None and plain.right and plain.made is not None and _plain_may_win(scales, timed[0], plain):
        twin = _packed(replace(timed[0], name=PLAIN, content=plain.made.content, refused=None, wire_bytes=None))
        changed = (plain.label_changes or 0) / max(len(scales.panel.rows.frame), 1)
        timed.append(replace(twin, b1_us=_rounded(plain_us), b32_us=None, changed=changed, max_absolute=None))
    chosen = choose_form(timed, scales.options.objective)
    weighed = _with_memory(scales, timed, chosen)
    front = pareto(weighed)
    lines = [_line(form, form.name in front, form.name == chosen.name) for form in weighed]
    made = plain.made if chosen.name == PLAIN and plain is not None and plain.made is not None else scales.exact
    return Shrunk(
        chosen, replace(made, content=chosen.content), lines, None if plain is None else plain.line(_rounded(plain_us))
    )


def calibration(scales: Scales) -> list[dict[str, NDArray[Any]]]:
    """Batches of input rows for operators that are calibrated."""
    frame = scales.panel.rows.frame.head(_CALIBRATION_ROWS)
    starts = range(0, len(frame), _CALIBRATION_BATCH)
    return [sessions.feeds(scales.exact.tensors, frame.iloc[start : start + _CALIBRATION_BATCH]) for start in starts]


def _lossy_forms(scales: Scales, progress: Progress) -> list[Form]:
    options = scales.options
    if options.max_label_change == 0 or scales.strangers is None:
        return []
    content, done = scales.exact.content, 0

    def weigh(name: str) -> Form | None:
        nonlocal done
        done += 1
        progress(Step(Stage.SHRINK, name, done))
        return _weigh(scales, name)

    weights = [form for name in weight_forms(content) if (form := weigh(name)) is not None]
    fewer = options.max_metric_drop is not None and scales.panel.target is not None
    fewer = fewer and options.max_label_change >= _FEWER_TREES_BUDGET
    trees = tree_forms(weigh, fewer=fewer) if has_trees(content) else []
    forms = [*weights, *trees]
    wanted = {form.name for form in forms if form.content}
    if len(content) > _PACK_ALL_BYTES:
        wanted = smallest([form.name for form in forms if form.refused is None])
    return [_packed(form) if form.name in wanted else form for form in forms]


def _weigh(scales: Scales, name: str) -> Form | None:
    """Make one form and judge it on the rows that may choose."""
    try:
        content = make(scales.exact.content, name, calibration(scales) if name.startswith("static") else ())
        if content is None:
            return None
        made = replace(scales.exact, content=content)
        return judge_rounding(scales, Form(name, lossy=True, content=content), made)
    except Exception as error:  # noqa: BLE001 - the quantiser and onnxruntime raise anything; the form is then none
        return Form(name, lossy=True, content=b"", refused=f"it cannot be made ({cause(error)})")


def _packed(form: Form) -> Form:
    line, stored = packing.pack_entry("model", form.content)
    return replace(form, wire_bytes=len(stored), packed=(line, stored))


def _timed(scales: Scales, forms: Sequence[Form], plain: Plain | None) -> tuple[list[Form], float | None]:
    """The forms with their times, those too slow refused; and the plain export's time for one row."""
    running = [form for form in forms if form.refused is None and form.packed is not None]
    frame = scales.panel.rows.frame.head(_TIMED_ROWS)
    feeds = sessions.feeds(scales.exact.tensors, frame)
    beside = [] if plain is None or plain.made is None else [plain.made]
    contents = [form.content for form in running] + [made.content for made in beside]
    given = [feeds] * len(running) + [sessions.feeds(made.tensors, frame) for made in beside]
    single, many = (time_calls(contents, given, batch) for batch in (1, 32))
    plain_us = single[-1] if beside else None
    yardstick = given[-1] if plain is not None and plain.right else None
    timed = {}
    for form, b1, b32 in zip(running, single, many, strict=False):
        refused = None
        if yardstick is not None and plain_us is not None and b1 > PLAIN_TIMES * plain_us:
            refused = too_slow(time_ratio((form.content, contents[-1]), (feeds, yardstick)))
        timed[form.name] = replace(form, b1_us=_rounded(b1), b32_us=_rounded(b32), refused=refused)
    return [timed.get(form.name, form) for form in forms], plain_us


def _plain_may_win(scales: Scales, exact: Form, plain: Plain) -> bool:
    """The plain export is larger as a rule: it ships where the exact form is too slow, or only speed counts."""
    same = plain.made is not None and plain.made.content == scales.exact.content
    return not same and (exact.refused is not None or scales.options.objective == "latency")


def _with_memory(scales: Scales, forms: Sequence[Form], chosen: Form) -> list[Form]:
    """The load memory of a few forms on the front, in fresh processes. The chosen one is measured when it ships."""
    front = pareto(forms) - {chosen.name, PLAIN}
    wanted = [form.name for form in forms if form.name in front][:_MEASURED_FORMS]
    inputs = sessions.feeds(scales.exact.tensors, scales.panel.rows.frame.head(1))
    return [
        replace(form, load_peak_bytes=load_peak(form.content, inputs)) if form.name in wanted else form
        for form in forms
    ]


def _line(form: Form, on_front: bool, chosen: bool) -> VariantLine:
    return VariantLine(
        name=form.name,
        lossy=form.lossy,
        onnx_bytes=len(form.content),
        wire_bytes=form.wire_bytes,
        load_peak_bytes=form.load_peak_bytes,
        b1_us=form.b1_us,
        b32_us=form.b32_us,
        label_change=form.changed,
        max_abs_difference=form.max_absolute,
        quality=form.quality,
        pareto=on_front,
        chosen=chosen,
        refused=form.refused,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
