"""LightGBM and XGBoost models as ONNX operators. Neither library is imported: whoever has such a model has done that.

LightGBM computes in float64, as the operator does where the rows arrive so; XGBoost in float32, whatever arrives.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.refusal import NotExportable
from convert.export.trees import coded, ensemble, lightgbm_model, xgboost_model
from convert.export.trees.coded import Columns
from convert.export.trees.ensemble import Forest
from convert.export.trees.fitted import Ints, Tree, round_down, round_nearest
from convert.export.trees.inputs import owners
from convert.export.trees.lightgbm_model import LightModel
from convert.export.trees.remembered import remembered
from convert.export.trees.xgboost_model import ExtremeModel
from convert.export.writer import DOUBLE, FLOAT, STRING, Exporters, Writer

# The largest float32 raw score that XGBoost's float32 logistic function rounds to exactly one half.
_HALF = 1.5 * 2.0**-24
_LIGHT_IDENTITY = frozenset(
    {"regression", "regression_l1", "huber", "fair", "quantile", "mape"},
)
_LIGHT_EXP = frozenset({"poisson", "gamma", "tweedie"})
_EXTREME_IDENTITY = frozenset(
    {
        "reg:squarederror",
        "reg:squaredlogerror",
        "reg:pseudohubererror",
        "reg:absoluteerror",
        "reg:quantileerror",
    }
)
_EXTREME_EXP = frozenset({"count:poisson", "reg:gamma", "reg:tweedie"})
_EXTREME_LOGISTIC = frozenset({"reg:logistic", "binary:logistic"})


def exporters() -> Exporters:
    """The exporters for models of those of the two libraries that are loaded."""
    found: dict[type[Any], Callable[[Writer], None]] = {}
    for module, rows in _KINDS.items():
        library = sys.modules.get(module)
        found |= {getattr(library, name): exporter for name, exporter in rows.items() if hasattr(library, name)}
    return found


def classify_light(writer: Writer) -> None:
    """An LGBMClassifier: label, and probabilities [rows, classes]."""
    found = lightgbm_model.booster_of(writer.model)
    kind, *words = found.objective or [""]
    scale = next((float(word.partition(":")[2]) for word in words if word.startswith("sigmoid:")), 1.0)
    two = len(writer.model.classes_) == 2 and found.targets == 1
    if two and kind in ("binary", "cross_entropy"):
        trees = [replace(tree, target=tree.target + 1, weight=tree.weight * scale) for tree in found.trees]
        raw, element = _light_sums(writer, replace(found, trees=trees, targets=2))
        _choose(writer, raw, _softmax(writer, raw, plain=scale == 1.0), element)
    elif kind == "multiclass":
        raw, element = _light_sums(writer, found)
        _choose(writer, raw, _softmax(writer, raw, plain=True), element)
    elif kind == "multiclassova":
        trees = [replace(tree, weight=tree.weight * scale) for tree in found.trees]
        raw, element = _light_sums(writer, replace(found, trees=trees))
        _choose(writer, raw, writer.node("Sigmoid", raw), element)
    else:
        raise NotExportable(f"its objective {kind or '(none)'} has no form for a classifier")


def _softmax(writer: Writer, raw: str, *, plain: bool) -> str:
    """Probabilities; or the sums themselves where these are the decision function (`plain`) and another step asks."""
    return raw if plain and writer.decision else writer.node("Softmax", raw, axis=1)


def regress_light(writer: Writer) -> None:
    """An LGBMRegressor: values [rows, 1]."""
    found = lightgbm_model.booster_of(writer.model)
    kind, *words = found.objective or [""]
    if kind not in _LIGHT_IDENTITY | _LIGHT_EXP | {"cross_entropy"}:
        raise NotExportable(f"its objective {kind or '(none)'} has no form for a regressor")
    raw, element = _light_sums(writer, found)
    if "sqrt" in words:
        raw = writer.node("Mul", raw, writer.node("Abs", raw))
    elif kind in _LIGHT_EXP:
        raw = writer.node("Exp", raw)
    elif kind == "cross_entropy":
        raw = writer.node("Sigmoid", raw)
    writer.finish(0, writer.cast(raw, writer.output_type(0), element))


def _light_sums(writer: Writer, found: LightModel) -> tuple[str, int]:
    element = DOUBLE if writer.input_type != FLOAT else FLOAT
    # Every set leaves a code that it does not name on the side of a missing one.
    columns = Columns(found.codes, _cut, _told(writer), zeros=found.zeros, unnamed=True)
    rows, trees = coded.numbered(writer, columns, found.trees, element)
    rounded = (lambda thresholds: thresholds) if element == DOUBLE else round_nearest
    missing = writer.missing or bool(found.zeros) or bool(columns.told)
    forest = Forest(trees, [rounded(tree.threshold) for tree in trees], found.targets, missing)
    raw = ensemble.add(writer, rows, forest)
    if found.turns > 1:
        raw = writer.node("Div", raw, writer.numbers([found.turns], element))
    return raw, element


def classify_extreme(writer: Writer) -> None:
    """An XGBClassifier: label, and probabilities [rows, classes]."""
    found = xgboost_model.booster_of(writer.model)
    count = len(writer.model.classes_)
    if found.objective == "binary:logistic" and count == 2 and found.targets == 1:
        trees = [replace(tree, target=tree.target + 1) for tree in found.trees]
        base = np.concatenate([[_HALF], found.base])
        raw = _extreme_sums(writer, replace(found, trees=trees, targets=2, base=base))
    elif found.objective in ("multi:softprob", "multi:softmax") and count == found.targets:
        raw = _extreme_sums(writer, found)
    else:
        raise NotExportable(f"its objective {found.objective} has no form for a classifier of {count} classes")
    _choose(writer, raw, writer.node("Softmax", raw, axis=1), FLOAT)


def regress_extreme(writer: Writer) -> None:
    """An XGBRegressor: values [rows, targets]."""
    found = xgboost_model.booster_of(writer.model)
    if found.objective not in _EXTREME_IDENTITY | _EXTREME_EXP | _EXTREME_LOGISTIC:
        raise NotExportable(f"its objective {found.objective} has no form for a regressor")
    raw = _extreme_sums(writer, found)
    if found.objective in _EXTREME_EXP:
        raw = writer.node("Exp", raw)
    elif found.objective in _EXTREME_LOGISTIC:
        raw = writer.node("Sigmoid", raw)
    writer.finish(0, writer.cast(raw, writer.output_type(0), FLOAT))


def _extreme_sums(writer: Writer, found: ExtremeModel) -> str:
    columns = Columns(found.codes, _floor, _told(writer), missing=found.missing)
    rows, trees = coded.numbered(writer, columns, _based(found), FLOAT)
    missing = writer.missing or not np.isnan(found.missing)
    forest = Forest(trees, [round_down(tree.threshold) for tree in trees], found.targets, missing)
    return ensemble.add(writer, rows, forest)


def _told(writer: Writer) -> dict[int, NDArray[Any]]:
    """The categories of pandas columns, by feature; a column of texts can be nothing else."""
    found = remembered(writer.model)
    if found is None:
        return {}
    texts = [column for column, (lane, _) in enumerate(owners(writer)) if lane.element == STRING]
    return found.columns(texts)


def _based(found: ExtremeModel) -> list[Tree]:
    """Each sum's base in its first tree, as float32 sums of XGBoost start from it; a sum without trees is its base."""
    trees = list(found.trees)
    for target, base in enumerate(found.base):
        place = next((i for i, tree in enumerate(trees) if tree.target[0] == target), None)
        if place is None:
            trees.append(_leaf(target, float(base)))
        else:
            trees[place] = replace(trees[place], weight=trees[place].weight + base)
    return trees


def _leaf(target: int, weight: float) -> Tree:
    nowhere: Ints = np.full(1, -1, dtype=np.int64)
    return Tree(
        feature=np.zeros(1, dtype=np.int64),
        threshold=np.zeros(1),
        left=nowhere,
        right=nowhere,
        missing_left=np.zeros(1, dtype=bool),
        target=np.full(1, target, dtype=np.int64),
        weight=np.array([weight]),
    )


def _choose(writer: Writer, raw: str, probabilities: str, element: int) -> None:
    writer.finish_label(writer.node("ArgMax", raw, axis=1, keepdims=0))
    writer.finish(1, writer.cast(probabilities, writer.output_type(1), element))


def _cut(writer: Writer, given: str) -> str:
    """Whole numbers, cut towards zero."""
    return writer.node("Mul", writer.node("Sign", given), writer.node("Floor", writer.node("Abs", given)))


def _floor(writer: Writer, given: str) -> str:
    """Whole numbers, cut downwards: what lies between -1 and 0 is no category to XGBoost."""
    return writer.node("Floor", given)


_KINDS: dict[str, dict[str, Callable[[Writer], None]]] = {
    "lightgbm": {"LGBMClassifier": classify_light, "LGBMRegressor": regress_light},
    "xgboost": {
        "XGBClassifier": classify_extreme,
        "XGBRegressor": regress_extreme,
        "XGBRFClassifier": classify_extreme,
        "XGBRFRegressor": regress_extreme,
    },
}
