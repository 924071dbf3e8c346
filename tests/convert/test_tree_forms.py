"""Forms of trees beyond the plain ones: several targets, starting models, text categories, skl2onnx's trees anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from skl2onnx.common.data_types import FloatTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from convert import convert
from convert.export import own
from convert.export.refusal import NotExportable
from convert.export.sklearn_onnx import export
from convert.export.trees import ensemble, ties
from convert.export.trees.ensemble import Forest
from convert.export.trees.fitted import grown
from convert.export.trees.lifting import lift
from tests.convert.tree_forms import FEATURES, NARROW, WIDE, answered, assert_alike, differences, drawn, holed

FEW: dict[str, Any] = {"n_estimators": 6, "random_state": 0}


@pytest.mark.parametrize("plan", [NARROW, WIDE])
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(DecisionTreeRegressor(max_depth=5), id="tree"),
        pytest.param(DecisionTreeRegressor(min_samples_split=9999), id="one leaf"),
        pytest.param(RandomForestRegressor(**FEW), id="forest"),
        pytest.param(ExtraTreesRegressor(**FEW), id="extra trees"),
    ],
)
def test_a_regressor_of_two_targets_answers_alike(model: Any, plan: str) -> None:
    seen = drawn(0)
    model.fit(holed(seen[FEATURES]), seen[["s0", "s1"]] ** 2 + [0, 1000])
    assert_alike(plan, model, holed(drawn(1)[FEATURES], seed=6))


@pytest.mark.parametrize("names", [["no", "yes"], [0, 1]])
@pytest.mark.parametrize(
    "model", [DecisionTreeClassifier(max_depth=4), RandomForestClassifier(min_samples_leaf=2, **FEW)]
)
def test_a_classifier_of_two_targets_answers_alike(model: Any, names: list[Any]) -> None:
    seen, fresh = drawn(0), drawn(1)[FEATURES].to_numpy(dtype=np.float32)
    second = np.asarray(names)[(seen["s1"] > 0).astype(int)]
    first = np.asarray(["low", "mid", "high"])[seen["target"]] if names == ["no", "yes"] else seen["target"].to_numpy()
    model.fit(seen[FEATURES].to_numpy(), np.column_stack([first, second]))
    made = export(model, [("X", FloatTensorType([None, 6]))], own.converters(missing=False))
    lift(made)
    for line in made.graph.output:  # the shape of one target is declared
        line.type.tensor_type.ClearField("shape")
    texts = names == ["no", "yes"]
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING if texts else TensorProto.INT64
    label, shares = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"X": fresh})
    assert (label == model.predict(fresh)).all()
    assert np.abs(shares - np.hstack(model.predict_proba(fresh))).max() < 1e-6


@pytest.mark.parametrize("sparse_output", [True, False])
def test_the_leaves_that_a_row_reaches_are_its_embedding(sparse_output: bool) -> None:
    model = RandomTreesEmbedding(8, max_depth=4, sparse_output=sparse_output, random_state=0).fit(drawn(0)[FEATURES])
    assert differences(NARROW, model, drawn(1)[FEATURES]) == (0, 0.0)


STARTS = {
    "two classes": (GradientBoostingClassifier(init=LogisticRegression(), **FEW), 2),
    "three classes": (GradientBoostingClassifier(init=LogisticRegression(), **FEW), 3),
    "exponential loss": (GradientBoostingClassifier(init=LogisticRegression(), loss="exponential", **FEW), 2),
    "a pipeline": (GradientBoostingClassifier(init=make_pipeline(StandardScaler(), LogisticRegression()), **FEW), 3),
    "values": (GradientBoostingRegressor(init=LinearRegression(), **FEW), 3),
}


@pytest.mark.parametrize("kind", STARTS)
def test_boosting_that_starts_from_another_model_answers_alike(kind: str) -> None:
    model, classes = STARTS[kind]
    seen = drawn(0)
    model.fit(seen[FEATURES], seen["target"] if classes == 3 else seen["target"] > 0)
    assert_alike(NARROW, model, drawn(1)[FEATURES])


LOSSES = [
    *(GradientBoostingRegressor(loss=loss, **FEW) for loss in ("absolute_error", "huber", "quantile")),
    *(
        HistGradientBoostingRegressor(loss=loss, max_iter=6, quantile=0.8 if loss == "quantile" else None)
        for loss in ("absolute_error", "gamma", "poisson", "quantile")
    ),
]


@pytest.mark.parametrize("model", LOSSES, ids=lambda model: f"{type(model).__name__} {model.loss}")
def test_every_loss_answers_alike(model: Any) -> None:
    seen = drawn(0)
    assert_alike(NARROW, model.fit(seen[FEATURES], seen["s0"] ** 2 + 0.1), drawn(1)[FEATURES])


EDGES = {
    "log loss, weighted, pruned": RandomForestClassifier(
        criterion="log_loss", class_weight="balanced_subsample", ccp_alpha=1e-3, **FEW
    ),
    "monotonic, impurity": RandomForestClassifier(monotonic_cst=[1, 0, 0, 0, 0, -1], min_impurity_decrease=1e-3, **FEW),
    "one leaf": DecisionTreeClassifier(min_samples_split=9999),
    "one deep tree of mixed leaves": DecisionTreeClassifier(min_samples_leaf=2),
    "random splits": DecisionTreeClassifier(splitter="random", max_leaf_nodes=9, random_state=0),
    "absolute error": RandomForestRegressor(criterion="absolute_error", max_depth=4, **FEW),
    "poisson": RandomForestRegressor(criterion="poisson", bootstrap=False, **FEW),
    "two samples each": IsolationForest(**FEW, max_samples=2),
    "one feature each": IsolationForest(**FEW, max_features=1, contamination=0.2),
}


@pytest.mark.parametrize("kind", EDGES)
def test_edge_cases_of_trees_answer_alike(kind: str) -> None:
    seen, two = drawn(0), "monotonic" in kind
    EDGES[kind].fit(seen[FEATURES], seen["target"] > 0 if two else seen["target"])
    assert_alike(NARROW, EDGES[kind], drawn(1)[FEATURES])


def test_isolation_trees_of_one_sample_are_refused() -> None:
    model = IsolationForest(n_estimators=3, max_samples=1).fit(drawn(0)[FEATURES].to_numpy())
    with pytest.raises(NotExportable, match="one sample only"):
        answered(NARROW, model, drawn(0)[FEATURES])


def even() -> tuple[Any, pd.DataFrame]:
    """A forest whose classes are often even: ten trees of pairs."""
    seen = drawn(0)
    model = RandomForestClassifier(10, min_samples_leaf=2, bootstrap=False, random_state=0)
    return model.fit(seen[FEATURES], seen["target"] > 0), drawn(1, 2500)[FEATURES]


def test_even_classes_fall_as_in_scikit_learn() -> None:
    model, rows = even()
    shares = model.predict_proba(rows)
    assert (np.abs(shares[:, 0] - shares[:, 1]) < 1e-9).sum() > 20
    assert_alike(NARROW, model, rows)
    assert_alike(WIDE, model, rows)


def test_a_float32_sum_is_used_where_no_tie_is_likely_and_only_there() -> None:
    model, rows = even()
    trees = [each.tree_ for each in model.estimators_]
    assert ties.likely(trees)
    # the control: float32 sums do take other classes there
    lead = np.zeros(len(rows), dtype=np.float32)
    for tree in trees:
        value = tree.value[:, 0, :].astype(np.float32)
        lead += (value[:, 1] - value[:, 0])[tree.apply(rows.to_numpy(dtype=np.float32))]
    assert ((lead > 0) != model.predict(rows)).any()
    seen = drawn(0)
    many = RandomForestClassifier(60, max_depth=6, random_state=0).fit(seen[FEATURES], seen["target"] > 0)
    assert not ties.likely([each.tree_ for each in many.estimators_])
    assert_alike(NARROW, many, rows)


def mixed(seed: int) -> pd.DataFrame:
    """Texts, booleans, whole and fractional numbers, with missing values in texts and numbers."""
    random = np.random.default_rng(seed)
    frame = drawn(seed)
    return frame.assign(
        color=random.choice(np.array(["red", "green", "größe", None], dtype=object), len(frame)),
        many=[f"k{number}" for number in random.integers(0, 50, len(frame))],
        size=random.choice([3, 5, 9], len(frame)),
        flag=random.random(len(frame)) > 0.5,
        s1=holed(frame[["s1"]], seed=seed)["s1"],
    )


TEXTS = ["color", "many", "size"]


@pytest.mark.parametrize("kind", [HistGradientBoostingClassifier, HistGradientBoostingRegressor])
@pytest.mark.parametrize("how", ["names", "from_dtype"])
def test_text_categories_answer_alike(kind: Any, how: str, measured: Path) -> None:
    names = ["color", "s0", "size", "flag", "s1", "many"]
    seen = mixed(0)
    target = (seen["target"] + seen["color"].isin(["red"]) + seen["many"].str.endswith("3")) % 3
    rows = seen[names].astype(dict.fromkeys(TEXTS, "category")) if how == "from_dtype" else seen[names]
    model = kind(max_iter=6, categorical_features=TEXTS if how == "names" else how).fit(rows, target)
    assert any(tree.nodes["is_categorical"].any() for turn in model._predictors for tree in turn)
    done = convert(model, rows, measured=measured)
    assert done.manifest.plan in ("own, float32 columns", "own, float64 columns")
    assert done.manifest.parity.label_changes == 0
    assert done.manifest.parity.max_abs_difference < 1e-5


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(RandomForestClassifier(min_samples_leaf=2, **FEW), id="forest"),
        pytest.param(HistGradientBoostingClassifier(max_iter=5), id="boosting"),
        pytest.param(CalibratedClassifierCV(RandomForestClassifier(**FEW), cv=2), id="calibrated"),
    ],
)
def test_steps_before_trees_answer_alike(last: Any, measured: Path) -> None:
    names = ["s0", "s1", "color", "size"]
    seen = mixed(0)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((encoder, ["color"]), remainder="passthrough")
    model = make_pipeline(columns, SimpleImputer(), StandardScaler(), last).fit(seen[names], seen["target"])
    done = convert(model, seen[names], measured=measured)
    assert done.manifest.plan.startswith("own")
    assert done.manifest.parity.label_changes == 0


def older(model: Any) -> ModelProto:
    """skl2onnx's own form."""
    return export(model, [("X", FloatTensorType([None, 6]))])


OLDER = {
    "tree": DecisionTreeClassifier(max_depth=4),
    "forest of mixed leaves": RandomForestClassifier(max_depth=4, **FEW),
    "forest": RandomForestClassifier(**FEW),
    "gradient boosting": GradientBoostingClassifier(**FEW),
    "boosting with missing values": HistGradientBoostingClassifier(max_iter=4),
    "bagged": BaggingClassifier(DecisionTreeClassifier(max_depth=4), **FEW),
    "adaptive": AdaBoostClassifier(**FEW),
    "regressor": RandomForestRegressor(**FEW),
    "regressor of two": DecisionTreeRegressor(max_depth=4),
    "embedding": RandomTreesEmbedding(4, max_depth=3, sparse_output=False),
}


@pytest.mark.parametrize("labels", ["two", "texts"])
@pytest.mark.parametrize("kind", OLDER)
def test_trees_of_skl2onnx_answer_alike_in_their_new_form(kind: str, labels: str) -> None:
    seen = drawn(0)
    target: Any = np.array([0, 1, 1] if "two" in labels else ["low", "mid", "high"])[seen["target"]]
    if "regressor" in kind:
        target = seen[["s0", "s1"]] ** 2 if "two" in kind else seen["s0"] ** 2
    rows, fresh = seen[FEATURES].to_numpy(), drawn(1)[FEATURES].to_numpy(dtype=np.float32)
    if "missing" in kind:
        rows, fresh = (holed(pd.DataFrame(part)).to_numpy() for part in (rows, fresh))
    model = older(OLDER[kind].fit(rows, target))
    before = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": fresh})
    lift(model)
    assert not any(node.op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor") for node in model.graph.node)
    after = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": fresh})
    for expected, got in zip(before, after, strict=True):
        assert got.dtype == expected.dtype
        if expected.dtype.kind == "f":
            assert np.abs(got - expected).max() < 3e-6 * max(1.0, float(np.abs(expected).max()))
        else:
            assert (got == expected).all()


def node_of(model: ModelProto) -> Any:
    return next(node for node in model.graph.node if node.op_type.startswith("TreeEnsemble"))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("aggregate_function", "MAX", "joined by MAX"),
        ("post_transform", "PROBIT", "transformed by PROBIT"),
        ("nodes_modes", ["BRANCH_ODD", "LEAF", "LEAF"], "split by BRANCH_ODD"),
    ],
)
def test_what_version_five_has_no_word_for_is_refused_beside_own_operators(name: str, value: Any, why: str) -> None:
    seen = drawn(0)
    model = older(DecisionTreeRegressor(max_depth=1).fit(seen[FEATURES], seen["s0"] > 0))
    node = node_of(model)
    for line in [line for line in node.attribute if line.name == name]:
        node.attribute.remove(line)
    node.attribute.append(helper.make_attribute(name, value))
    lift(model)
    assert node_of(model).op_type == "TreeEnsembleRegressor"  # alone it stays
    model.graph.node.append(helper.make_node("LabelEncoder", ["X"], ["n"], domain="edgekit.private"))
    with pytest.raises(NotExportable, match=why):
        lift(model)


def test_two_classes_that_both_have_weights_are_refused_beside_own_operators() -> None:
    """onnxruntime's label is wrong there (12.5 % of rows), so the trees are never written so."""
    seen = drawn(0)
    model = older(DecisionTreeClassifier(max_depth=1).fit(seen[FEATURES], seen["target"] > 0))
    ids = next(line for line in node_of(model).attribute if line.name == "class_ids")
    ids.ints[0] = 1
    model.graph.node.append(helper.make_node("LabelEncoder", ["X"], ["n"], domain="edgekit.private"))
    with pytest.raises(NotExportable, match="two classes"):
        lift(model)


@pytest.mark.parametrize("mode", ["BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"])
def test_every_comparison_of_version_three_is_kept(mode: str) -> None:
    seen = drawn(0)
    model = older(DecisionTreeRegressor(max_depth=1).fit(seen[FEATURES], seen["s0"] > 0))
    for line in node_of(model).attribute:
        if line.name == "nodes_modes":
            line.strings[:] = [mode.encode() if text == b"BRANCH_LEQ" else text for text in line.strings]
        if line.name == "nodes_values":
            split = line.floats[0]
    rows = np.tile(drawn(1)[FEATURES].to_numpy(dtype=np.float32)[:1], (4, 1))
    for column in range(6):
        rows[:, column] = [split, np.nextafter(split, np.float32(9)), np.nextafter(split, np.float32(-9)), np.nan]
    before = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": rows})[0]
    lift(model)
    after = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": rows})[0]
    assert after.tolist() == before.tolist()


@pytest.mark.parametrize(
    ("offset", "narrow"), [pytest.param(0.0, True, id="differences"), pytest.param(1e6, False, id="far from zero")]
)
def test_leaves_beside_float64_thresholds_are_float32_numbers_where_that_is_precise(
    offset: float, narrow: bool
) -> None:
    values = drawn(0)["s0"].to_numpy(dtype=np.float64)
    tree = DecisionTreeRegressor(max_depth=4).fit(drawn(0)[FEATURES], values).tree_
    made = grown(tree, np.zeros(tree.node_count, dtype=np.int64), tree.value[:, 0, 0] + offset)
    weights = numpy_helper.to_array(ensemble.attributes(Forest([made], [made.threshold], 1, False))["leaf_weights"])
    assert weights.dtype == np.float64
    assert (weights.astype(np.float32) == weights).all() == narrow
