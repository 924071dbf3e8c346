"""Smaller forms of real models: what they change, what they keep, and that a bundle holds what was judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from convert import convert
from convert.check import session as sessions
from convert.check.parity import Answers
from convert.export.candidates import Export, build
from convert.export.plans import PLANS
from convert.progress import Stage, Step
from convert.read.columns import describe
from convert.read.model import LoadedModel
from convert.read.source import understand
from convert.shrink.ensembles import ensembles, read, topmost
from convert.shrink.variants import make
from edgekit import bundle, packing
from edgekit.errors import UsageFault

FEATURES = [f"s{i}" for i in range(10)]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small models on a busy machine: threads would only wait for one another."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """4000 rows of ten numeric features, with `target` (0, 1, 2)."""
    x, y = make_classification(4000, 10, n_informative=6, n_classes=3, class_sep=2.5, random_state=4)
    return pd.DataFrame(x, columns=FEATURES).assign(target=y)


def exported(model: Any, frame: pd.DataFrame, plan: str = "own, float32 matrix") -> Export:
    chosen = next(line for line in PLANS if line.name == plan)
    return build(understand(LoadedModel(model, "test")), chosen, describe(frame), frame)


def run(made: Export, content: bytes, frame: pd.DataFrame) -> Answers:
    return sessions.run(sessions.open_session(content), made.tensors, made.outputs, frame)


def numbers(answers: Answers) -> NDArray[np.float64]:
    assert answers.numbers is not None
    return answers.numbers


def formed(made: Export, name: str) -> bytes:
    content = make(made.content, name)
    assert content is not None
    return content


BOOSTED = {
    "boosting": HistGradientBoostingClassifier(max_iter=30),
    "boosting regressor": HistGradientBoostingRegressor(max_iter=30),
    "forest regressor": RandomForestRegressor(20, min_samples_leaf=2, random_state=0),
}


@pytest.mark.parametrize("bits", [5, 8])
@pytest.mark.parametrize("kind", BOOSTED)
def test_leaves_lie_on_a_grid_and_answers_stay_near(kind: str, bits: int, rows: pd.DataFrame) -> None:
    target = rows["s0"] * rows["s1"] if "regressor" in kind else rows["target"]
    model = BOOSTED[kind].fit(rows[FEATURES], target)
    made = exported(model, rows[FEATURES])
    content = formed(made, f"{bits}-bit leaves")
    (node,) = ensembles(onnx.load_from_string(content))
    assert len(np.unique(read(node, "leaf_weights"))) <= (1 << bits) + 1
    assert len(content) < len(made.content)
    before, after = (numbers(run(made, each, rows[FEATURES])) for each in (made.content, content))
    step = np.diff(np.unique(read(node, "leaf_weights").astype(np.float64))).min()
    assert np.frexp(step)[0] == 0.5, "the step is a power of two, so that sums are exact"
    spread = 1.0 if kind == "boosting" else float(np.ptp(target))
    assert 0 < np.abs(before - after).max() < 30 * spread * 2.0**-bits


@pytest.mark.parametrize("classes", [2, 3])
def test_shares_of_mixed_leaves_are_rounded_and_their_sums_are_exact(classes: int, rows: pd.DataFrame) -> None:
    target = np.minimum(rows["target"], classes - 1)
    model = RandomForestClassifier(20, min_samples_leaf=4, random_state=0).fit(rows[FEATURES], target)
    made = exported(model, rows[FEATURES])
    content = formed(made, "8-bit leaves")
    found = run(made, content, rows[FEATURES])
    assert np.abs(numbers(found) - model.predict_proba(rows[FEATURES])).max() < 0.004
    assert np.abs(numbers(found).sum(axis=1) - 1).max() < 1e-6
    whole = numbers(found) * 20 * 255
    assert np.abs(whole - np.rint(whole)).max() < 2e-3
    assert len(content) < len(made.content)


def test_thresholds_of_a_float64_form_that_rounds_are_numbers_of_float32(rows: pd.DataFrame) -> None:
    model = HistGradientBoostingClassifier(max_iter=20).fit(rows[FEATURES], rows["target"])
    made = exported(model, rows[FEATURES], "own, float64 matrix")
    (exact,), (node,) = (
        list(ensembles(onnx.load_from_string(each))) for each in (made.content, formed(made, "8-bit leaves"))
    )
    before, after = read(exact, "nodes_splits"), read(node, "nodes_splits")
    assert after.dtype == np.float64
    assert (after == after.astype(np.float32)).all()
    assert (before != before.astype(np.float32)).any()
    assert (after >= before).all(), "a value that equals its threshold stays on its side"


def test_votes_are_not_rounded(rows: pd.DataFrame) -> None:
    made = exported(RandomForestClassifier(5, random_state=0).fit(rows[FEATURES], rows["target"]), rows[FEATURES])
    assert make(made.content, "8-bit leaves") is None


def test_snapped_thresholds_are_few_and_the_models_own_and_the_topmost_stay(rows: pd.DataFrame) -> None:
    made = exported(RandomForestClassifier(20, random_state=0).fit(rows[FEATURES], rows["target"]), rows[FEATURES])
    before, after = (
        next(ensembles(onnx.load_from_string(content))) for content in (made.content, formed(made, "63 thresholds"))
    )
    kept = topmost(before, 1 / 12)
    assert 0 < kept.sum() <= len(kept) / 12
    assert np.array_equal(read(before, "nodes_splits")[kept], read(after, "nodes_splits")[kept])
    for column in range(len(FEATURES)):
        here = (read(before, "nodes_featureids") == column) & ~kept
        old, new = (read(node, "nodes_splits")[here] for node in (before, after))
        assert len(np.unique(new)) <= 63 < len(np.unique(old))
        assert np.isin(new, old).all()


def test_thresholds_that_are_few_already_make_no_form(rows: pd.DataFrame) -> None:
    whole = rows[FEATURES].round()
    made = exported(RandomForestClassifier(5, random_state=0).fit(whole, rows["target"]), whole)
    assert make(made.content, "63 thresholds") is None


@pytest.mark.parametrize("kind", ["boosting", "forest"])
def test_fewer_trees_answer_like_the_model_cut_short(kind: str, rows: pd.DataFrame) -> None:
    x, y = rows[FEATURES], rows["target"]
    if kind == "boosting":
        full, cut = (HistGradientBoostingClassifier(max_iter=count, random_state=0).fit(x, y) for count in (8, 4))
    else:
        full, cut = (RandomForestClassifier(count, random_state=0).fit(x, y) for count in (8, 4))
    made = exported(full, x)
    found = run(made, formed(made, "50 % of the trees"), x)
    assert np.abs(numbers(found) - cut.predict_proba(x)).max() < 1e-5


def test_fewer_trees_of_two_classes_give_the_shares_of_the_first_ones(rows: pd.DataFrame) -> None:
    target = np.minimum(rows["target"], 1)
    full, cut = (RandomForestClassifier(count, random_state=0).fit(rows[FEATURES], target) for count in (8, 4))
    made = exported(full, rows[FEATURES])
    found = run(made, formed(made, "50 % of the trees"), rows[FEATURES])
    assert np.abs(numbers(found) - cut.predict_proba(rows[FEATURES])).max() < 1e-5


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("percent", [25, 50, 75])
def test_fewer_trees_of_a_forest_spread_over_operators_are_its_first_ones(
    percent: int, classes: int, rows: pd.DataFrame
) -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, classes, len(rows))  # nothing to learn: trees grow large
    full, cut = (
        RandomForestClassifier(count, random_state=0).fit(rows[FEATURES], target) for count in (28, 28 * percent // 100)
    )
    made = exported(full, rows[FEATURES])
    assert len(list(ensembles(onnx.load_from_string(made.content)))) > 1
    content = formed(made, f"{percent} % of the trees")
    assert sum(len(read(node, "tree_roots")) for node in ensembles(onnx.load_from_string(content))) == len(
        cut.estimators_
    )
    found = run(made, content, rows[FEATURES])
    assert np.abs(numbers(found) - cut.predict_proba(rows[FEATURES])).max() < 1e-5


def test_thresholds_of_every_operator_of_a_forest_are_snapped(rows: pd.DataFrame) -> None:
    target = np.random.default_rng(0).integers(0, 3, len(rows))
    made = exported(RandomForestClassifier(20, random_state=0).fit(rows[FEATURES], target), rows[FEATURES])
    pairs = zip(
        *(ensembles(onnx.load_from_string(each)) for each in (made.content, formed(made, "63 thresholds"))), strict=True
    )
    for before, after in pairs:
        assert len(np.unique(read(after, "nodes_splits"))) < len(np.unique(read(before, "nodes_splits")))


def test_shares_of_several_targets_are_not_rounded(rows: pd.DataFrame) -> None:
    targets = np.column_stack([rows["target"], rows["target"] > 0]).astype(int)
    model = RandomForestClassifier(5, min_samples_leaf=4, random_state=0).fit(rows[FEATURES], targets)
    assert make(exported(model, rows[FEATURES]).content, "8-bit leaves") is None


@pytest.fixture(scope="module")
def perceptron(rows: pd.DataFrame) -> MLPClassifier:
    return MLPClassifier((96, 64), tol=1, n_iter_no_change=8, random_state=0).fit(rows[FEATURES], rows["target"])


def test_half_precision_weights_halve_the_file_and_keep_the_labels(
    perceptron: MLPClassifier, rows: pd.DataFrame
) -> None:
    made = exported(perceptron, rows[FEATURES], "float32 matrix")
    content = formed(made, "fp16 weights")
    assert len(content) < 0.57 * len(made.content)
    before, after = (run(made, each, rows[FEATURES]) for each in (made.content, content))
    assert before.label is not None
    assert after.label is not None
    assert (before.label != after.label).mean() <= 0.001


def test_16_bit_weights_take_what_half_precision_takes_and_move_answers_less(
    perceptron: MLPClassifier, rows: pd.DataFrame
) -> None:
    made = exported(perceptron, rows[FEATURES], "float32 matrix")
    whole, half = formed(made, "16-bit weights"), formed(made, "fp16 weights")
    assert len(whole) < 0.6 * len(made.content)
    exact, by_whole, by_half = (numbers(run(made, each, rows[FEATURES])) for each in (made.content, whole, half))
    assert np.abs(by_whole - exact).mean() < np.abs(by_half - exact).mean() / 4


def test_grid_weights_are_whole_multiples_of_a_scale_per_column(perceptron: MLPClassifier, rows: pd.DataFrame) -> None:
    made = exported(perceptron, rows[FEATURES], "float32 matrix")
    model = onnx.load_from_string(formed(made, "int8 grid weights"))
    large = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer if np.prod(tensor.dims) > 256]
    assert len(large) == 2
    for weights in large:
        assert weights.dtype == np.float32
        scale = np.abs(weights).max(axis=0) / np.float32(127)
        steps = np.rint(weights / scale)
        assert np.abs(weights - steps * scale).max() < 1e-6
        assert np.abs(steps).max() == 127


@pytest.mark.parametrize("name", ["dynamic int8", "static int8"])
def test_integer_operators_run_and_take_fewer_bytes(name: str, rows: pd.DataFrame) -> None:
    model = MLPClassifier((160, 96), tol=1, n_iter_no_change=4, random_state=0).fit(rows[FEATURES], rows["target"])
    made = exported(model, rows[FEATURES], "float32 matrix")
    content = make(made.content, name, [sessions.feeds(made.tensors, rows[FEATURES].head(64))])
    assert content is not None
    assert len(content) < 0.5 * len(made.content)
    before, after = (run(made, each, rows[FEATURES]) for each in (made.content, content))
    assert np.abs(numbers(before) - numbers(after)).mean() < 0.05


def test_a_conversion_weighs_forms_within_the_budget_and_tells_them_all(rows: pd.DataFrame) -> None:
    model = HistGradientBoostingClassifier(max_iter=40).fit(rows[FEATURES], rows["target"])
    done = convert(model, rows, target="target", objective="size", max_label_change=0.01)
    lines = {line.name: line for line in done.report.variants}
    assert not lines["exact"].lossy
    (chosen,) = (line for line in lines.values() if line.chosen)
    assert chosen.lossy
    assert chosen.wire_bytes is not None
    assert chosen.wire_bytes == done.manifest.file("model").bytes
    assert chosen.wire_bytes == min(line.wire_bytes or np.inf for line in lines.values() if line.refused is None)
    assert chosen.pareto
    assert done.manifest.plan == f"own, float32 matrix; {chosen.name}"
    assert done.report.plain is not None
    assert done.report.plain.label_changes == 0
    assert done.report.reported.label_changes <= 0.01 * done.report.reported.rows


def test_without_a_budget_only_exact_forms_are_weighed(rows: pd.DataFrame) -> None:
    model = HistGradientBoostingClassifier(max_iter=10).fit(rows[FEATURES], rows["target"])
    done = convert(model, rows, target="target", objective="size", max_label_change=0.0)
    assert not any(line.lossy for line in done.report.variants)
    assert done.manifest.plan == "own, float32 matrix"


def test_a_chosen_form_is_rebuilt_to_the_byte_from_its_record(rows: pd.DataFrame, tmp_path: Path) -> None:
    words: dict[str, Any] = {"target": "target", "objective": "size", "max_label_change": 0.01}
    model = HistGradientBoostingClassifier(max_iter=40).fit(rows[FEATURES], rows["target"])
    first = convert(model, rows, **words)
    assert ";" in first.manifest.plan
    (tmp_path / "measured.json").write_bytes(first.documents["measured.json"])
    again = convert(model, rows, **words, measured=tmp_path / "measured.json")
    assert again.content == first.content
    assert again.documents["report.json"] == first.documents["report.json"]


def test_a_record_of_another_models_form_is_refused(rows: pd.DataFrame, measured: Path, tmp_path: Path) -> None:
    record = measured.read_text().rstrip("}\n") + ', "form": "8-bit leaves"}'
    (tmp_path / "measured.json").write_text(record)
    model = RandomForestClassifier(5, random_state=0).fit(rows[FEATURES], rows["target"])
    with pytest.raises(UsageFault, match="made from another model"):
        convert(model, rows, target="target", measured=tmp_path / "measured.json")


def test_golden_rows_of_a_form_that_rounds_hold_its_own_answers(rows: pd.DataFrame, tmp_path: Path) -> None:
    from convert.check.verify import verify

    model = HistGradientBoostingRegressor(max_iter=40).fit(rows[FEATURES], rows["s0"] ** 2)
    done = convert(model, rows[FEATURES], objective="size")
    assert ";" in done.manifest.plan
    done.save(tmp_path / "a.edgekit")
    found = verify(tmp_path / "a.edgekit")
    spread = float(np.std(model.predict(rows[FEATURES])))
    assert found.max_absolute < 1e-6 * spread
    assert packing.expand(bundle.parse(done.content), "model")


def test_the_worst_rows_are_told_as_data(rows: pd.DataFrame, measured: Path) -> None:
    model = KNeighborsClassifier(5).fit(rows[FEATURES].head(500), rows["target"].head(500))
    done = convert(model, rows.head(600), target="target", measured=measured)
    assert len(done.report.worst) <= 5
    for line in [*done.report.worst, *done.report.worst_edge]:
        assert set(line.row) == set(FEATURES)
        assert len(line.expected) == len(line.got) == 3
    kinds = {line.kind: line for line in done.report.edge_kinds}
    assert kinds["far"].counting == 0 < kinds["rim"].counting


def test_every_stage_is_told_in_its_order(rows: pd.DataFrame, measured: Path) -> None:
    from convert import pipeline
    from convert.options import Options

    heard: list[Step] = []
    model = RandomForestClassifier(5, random_state=0).fit(rows[FEATURES], rows["target"])
    pipeline.convert(model, rows.head(400), Options(target="target", measured=measured), heard.append)
    order = list(Stage)
    places = [order.index(step.stage) for step in heard]
    assert places == sorted(places)
    assert {Stage.READ, Stage.ASK, Stage.EXPORT, Stage.JUDGE, Stage.MEASURE, Stage.PACK} <= {
        step.stage for step in heard
    }
