"""A fitted XGBoost booster as plain trees, read from its JSON form (`Booster.save_raw`). Pure.

Splits (include/xgboost/predictor, common/categorical.h): `x < threshold` in float32 goes left; a missing value goes
where the node says. A category is cut to a whole number and goes right when it is in the node's set, left otherwise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.export.refusal import NotExportable
from convert.export.trees.categories import Codes, gathered
from convert.export.trees.fitted import Ints, Reals, Tree

Dump = dict[str, Any]


@dataclass(frozen=True)
class ExtremeModel:
    """`base`: where each sum starts, as a sum (not as a probability). `missing`: the value that means missing."""

    trees: list[Tree]
    targets: int
    objective: str
    base: Reals
    codes: Codes
    missing: float


def booster_of(model: Any) -> ExtremeModel:
    """What a fitted XGB estimator answers with. Raises NotExportable."""
    booster = model.get_booster()
    found = read(bytes(booster.save_raw("json")), stop=_stop(booster), missing=float(model.missing))
    if callable(model.objective):
        raise NotExportable("its objective is a function of your own")
    return found


def _stop(booster: Any) -> int | None:
    """After how many turns it was best, where training was stopped early: the wrappers predict with these."""
    best = booster.attr("best_iteration")
    return None if best is None else int(best) + 1


def read(content: bytes, stop: int | None, missing: float) -> ExtremeModel:
    """Read a booster's first `stop` turns. Raises NotExportable."""
    learner = json.loads(content)["learner"]
    parameters, boosting = learner["learner_model_param"], learner["gradient_booster"]
    if boosting["name"] not in ("gbtree", "dart"):
        raise NotExportable(f"its booster is {boosting['name']}, which has no trees")
    drops = boosting.get("weight_drop")
    grown = (boosting["gbtree"] if drops is not None else boosting)["model"]
    count = grown["iteration_indptr"][stop] if stop is not None else len(grown["trees"])
    dumps = grown["trees"][:count]
    if not dumps:
        raise NotExportable("it has no trees")
    if any(int(dump["tree_param"]["size_leaf_vector"]) > 1 for dump in dumps):
        raise NotExportable("its leaves hold several numbers (multi_output_tree)")
    codes = gathered((dump["split_indices"][node], found) for dump in dumps for node, found in _sets(dump).items())
    targets = max(1, int(parameters["num_class"])) * max(1, int(parameters["num_target"]))
    weights = drops if drops is not None else [1.0] * count
    return ExtremeModel(
        trees=[
            _tree(dump, target, weight, codes)
            for dump, target, weight in zip(dumps, grown["tree_info"][:count], weights[:count], strict=True)
        ],
        targets=targets,
        objective=learner["objective"]["name"],
        base=_base(parameters["base_score"], learner["objective"]["name"], targets),
        codes=codes,
        missing=missing,
    )


def _base(text: str, objective: str, targets: int) -> Reals:
    """The base score as a sum: it is stored as an answer (ObjFunction::ProbToMargin)."""
    score = np.array(json.loads(text), dtype=np.float32).ravel()
    score = np.broadcast_to(score, targets)
    with np.errstate(divide="ignore", invalid="ignore"):
        if objective in ("binary:logistic", "reg:logistic", "binary:logitraw"):
            score = -np.log(np.float32(1) / score - np.float32(1))
        elif objective in ("count:poisson", "reg:gamma", "reg:tweedie"):
            score = np.log(score)
    if not np.isfinite(score).all():
        raise NotExportable(f"its base score {text} is at the end of the range of {objective}")
    return score.astype(np.float64)


def _sets(dump: Dump) -> dict[int, Ints]:
    """The set of each node that splits categories."""
    parts = zip(dump["categories_nodes"], dump["categories_segments"], dump["categories_sizes"], strict=True)
    every = np.array(dump["categories"], dtype=np.int64)
    return {node: every[start : start + size] for node, start, size in parts}


def _tree(dump: Dump, target: int, weight: float, codes: Codes) -> Tree:
    left, right = (np.array(dump[f"{side}_children"], dtype=np.int64) for side in ("left", "right"))
    conditions = np.array(dump["split_conditions"], dtype=np.float32)
    missing_left = np.array(dump["default_left"], dtype=bool)
    members = {}
    for node, found in _sets(dump).items():
        others = not missing_left[node]
        members[node], whole = codes.sides(dump["split_indices"][node], found, others=False, missing=others)
        if whole:  # the set goes right
            left[node], right[node] = right[node], left[node]
        missing_left[node] = False
    return Tree(
        feature=np.array(dump["split_indices"], dtype=np.int64),
        # `x < t` is `x <= the float32 before t`
        threshold=np.nextafter(conditions, np.float32(-np.inf)).astype(np.float64),
        left=left,
        right=right,
        missing_left=missing_left,
        target=np.full(len(left), target, dtype=np.int64),
        weight=np.where(left < 0, (conditions * np.float32(weight)).astype(np.float64), 0.0),
        members=members,
    )
