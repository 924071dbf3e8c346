"""Classifiers of several targets, from the fitted model over the bundle to the device's answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from convert import convert
from convert.check.parity import Answers, Tolerance, compare, near_tie
from convert.check.targets import side_by_side
from convert.check.verify import verify
from convert.export.candidates import answer, build
from convert.export.plans import plans_for
from convert.export.refusal import NotExportable
from convert.pack.reference import count_reference
from convert.read.columns import describe
from convert.read.model import LoadedModel
from convert.read.source import Source, understand
from edge_agent import LocalModel
from edgekit import bundle as bundles
from edgekit import golden, packing
from edgekit.errors import JudgedBad
from edgekit.manifest import FileRole

Table = Callable[[pd.DataFrame], NDArray[Any]]


def rows(seed: int, count: int = 240) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(count, 4)), columns=list("abcd"))


def labels(frame: pd.DataFrame) -> NDArray[Any]:
    """Three labels that are there or not."""
    return np.column_stack([frame["a"] > 0.3, frame["b"] > frame["c"], frame["a"] + frame["d"] > -0.5]).astype(int)


def flags(frame: pd.DataFrame) -> NDArray[Any]:
    return labels(frame).astype(bool)


def classes(frame: pd.DataFrame) -> NDArray[Any]:
    """Targets of three classes and of two."""
    return np.column_stack([np.digitize(frame["a"], [-0.5, 0.6]) + 4, np.where(frame["b"] > 0, 9, 2)])


def texts(frame: pd.DataFrame) -> NDArray[Any]:
    wear = np.array(["new", "used", "worn"])[np.digitize(frame["a"], [-0.5, 0.6])]
    return np.column_stack([wear, np.where(frame["b"] > 0, "hot", "cold")]).astype(object)


def logistic() -> LogisticRegression:
    return LogisticRegression()


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(5, max_depth=4, random_state=0)


MODELS: dict[str, tuple[Any, Table, int | None]] = {
    "one model each, of labels": (MultiOutputClassifier(logistic()), labels, 6),
    "one model each, of flags": (MultiOutputClassifier(logistic()), flags, 6),
    "one model each, of classes": (MultiOutputClassifier(forest()), classes, 5),
    "one model each, of texts": (MultiOutputClassifier(make_pipeline(StandardScaler(), logistic())), texts, 5),
    "one model each, without probabilities": (MultiOutputClassifier(LinearSVC()), labels, None),
    "chain": (ClassifierChain(logistic(), order=[2, 0, 1]), labels, 6),
    "chain of probabilities": (ClassifierChain(forest(), chain_method="predict_proba"), labels, 6),
    "chain of decisions": (ClassifierChain(LinearSVC(), chain_method="decision_function"), labels, 3),
    "chain of classes": (ClassifierChain(logistic()), classes, None),
    "one against the rest": (OneVsRestClassifier(logistic()), labels, 6),
    "one against the rest, without probabilities": (OneVsRestClassifier(LinearSVC()), labels, 3),
    "network": (make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=60, random_state=0)), labels, 6),
    "ridge": (RidgeClassifier(), labels, 3),
    "neighbours": (KNeighborsClassifier(), texts, 5),
    "near neighbours": (KNeighborsClassifier(weights="distance"), classes, 5),
    "tree": (DecisionTreeClassifier(max_depth=4), texts, 5),
    "forest": (forest(), classes, 5),
    "forest of labels": (forest(), labels, 6),
    "the prior": (DummyClassifier(), texts, 5),
}


def fitted(name: str) -> Any:
    model, table, _ = MODELS[name]
    seen = rows(0)
    return model.fit(seen, table(seen))


def exported(source: Source, frame: pd.DataFrame) -> tuple[Any, Answers]:
    columns = describe(frame)
    plan = next(each for each in plans_for(source, columns) if each.own and each.numbers == "float64")
    made = build(source, plan, columns, frame)
    (got,) = answer(made, frame)
    return made, got


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_several_targets_answers_as_before(name: str) -> None:
    source, new = understand(LoadedModel(fitted(name), "model")), rows(1)
    made, got = exported(source, new)
    expected = source.answers(new)
    assert compare(expected, got, Tolerance(1e-4, 1e-3)).exact
    assert (source.task, source.classes) == ("multioutput", ())
    assert expected.label is not None
    assert made.outputs[0].width == len(source.targets) == expected.label.shape[1]
    assert made.outputs[0].target_classes == [list(each) for each in source.targets]
    assert (made.outputs[1].width if len(made.outputs) > 1 else None) == MODELS[name][2]


def test_the_classes_of_a_chain_are_told_in_the_order_of_the_targets() -> None:
    seen = rows(0)
    found = understand(LoadedModel(ClassifierChain(logistic(), order=[1, 0]).fit(seen, classes(seen)), "test"))
    assert found.targets == tuple(tuple(np.unique(column).tolist()) for column in classes(seen).T)
    assert len(found.targets[0]) != len(found.targets[1])


def test_flags_stay_flags() -> None:
    made, got = exported(understand(LoadedModel(fitted("one model each, of flags"), "model")), rows(1))
    assert (made.outputs[0].dtype, np.asarray(got.label).dtype) == ("bool", np.dtype(bool))
    assert made.outputs[0].target_classes == [[False, True]] * 3


def test_stacked_targets_are_refused_in_words() -> None:
    seen = rows(0)
    stack = StackingClassifier([("forest", forest())], KNeighborsClassifier(), cv=2).fit(seen, labels(seen))
    source = understand(LoadedModel(stack, "model"))
    assert source.role is None
    with pytest.raises(NotExportable, match="stacks classifiers of several targets"):
        exported(source, seen)


def test_texts_beside_numbers_are_refused_in_words() -> None:
    seen = rows(0)
    model = fitted("one model each, of texts")
    model.estimators_[1] = LogisticRegression().fit(seen, labels(seen)[:, 0])
    model.classes_ = [each.classes_ for each in model.estimators_]
    with pytest.raises(NotExportable, match="only one type"):
        exported(understand(LoadedModel(model, "model")), seen)


# ---- deciding -----------------------------------------------------------------------------------------------------


def test_a_row_changes_when_the_label_of_any_target_does() -> None:
    expected, got = np.array([[0, 1], [1, 1], [0, 0]]), np.array([[0, 1], [1, 0], [0, 0]])
    found = compare(Answers(expected, None), Answers(got, None), Tolerance(0, 0))
    assert (found.label_changes, found.bad.tolist()) == (1, [False, True, False])


def test_a_row_is_near_a_tie_when_any_target_is() -> None:
    shares = np.array([[0.9, 0.1, 0.3, 0.4, 0.3], [0.9, 0.1, 0.2, 0.4, 0.4], [0.5, 0.5, 0.1, 0.8, 0.1]])
    answers = Answers(np.zeros((3, 2)), shares)
    near = near_tie("probabilities", answers, Tolerance(1e-3, 0), ((0, 1), (0, 1, 2)))
    assert near.tolist() == [False, True, True]
    scores = Answers(np.zeros((2, 2)), np.array([[2.0, -0.5], [2.0, 1e-4]]))
    assert near_tie("score", scores, Tolerance(1e-3, 0), ((0, 1), (0, 1))).tolist() == [False, True]


def test_both_forms_of_scikit_learn_s_probabilities_become_one() -> None:
    present, targets = np.array([[0.25, 1.0]]), ((0, 1), (0, 1))
    listed = [np.array([[0.75, 0.25]]), np.array([[0.0, 1.0]])]
    for found in (present, listed):
        np.testing.assert_array_equal(side_by_side(found, targets), [[0.75, 0.25, 0.0, 1.0]])


def test_predictions_are_counted_by_target_and_class() -> None:
    found = count_reference(rows(0, 3), describe(rows(0, 3)), np.array([["a", "x"], ["a", "y"], ["b", "x"]]))
    assert found.predicted == {"0:a": 2, "0:b": 1, "1:x": 2, "1:y": 1}


# ---- the whole way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["one model each, of texts", "chain", "ridge"])
def test_a_bundle_of_several_targets_is_verified_and_served(name: str, tmp_path: Path, measured: Path) -> None:
    model, new = fitted(name), rows(1)
    done = convert(model, new, measured=measured)
    assert done.manifest.task == "multioutput"
    assert done.report.reported.label_changes == 0
    path = done.save(tmp_path / "model.edgekit")
    assert verify(path).golden_rows > 0
    served = LocalModel.open(path)
    assert served.predict(new) == [
        [int(label) if isinstance(label, float) else label for label in row] for row in model.predict(new).tolist()
    ]
    if name == "chain":
        shares = served.target_probabilities(new)
        present = [[target["1"] for target in row] for row in shares]
        np.testing.assert_allclose(present, model.predict_proba(new), atol=1e-5)


def test_a_bundle_whose_second_target_lies_is_found_out(tmp_path: Path, measured: Path) -> None:
    """The control: golden rows that hold another label of the second target."""
    done = convert(fitted("one model each, of labels"), rows(1), measured=measured)
    bundle = bundles.parse(done.content)
    document = golden.decode_golden(packing.expand(bundle, "golden"))
    lies: list[Any] = [[row[0], 1 - row[1], *row[2:]] for row in document.expected["label"]]  # type: ignore[index,operator]
    contents: dict[FileRole, bytes] = {
        "model": packing.expand(bundle, "model"),
        "reference": packing.expand(bundle, "reference"),
    }
    changed = msgspec.structs.replace(document, expected={**document.expected, "label": lies})
    content = packing.build(bundle.manifest, {**contents, "golden": golden.encode(changed)})
    path = tmp_path / "lying.edgekit"
    path.write_bytes(content)
    with pytest.raises(JudgedBad, match="golden answers"):
        verify(path)
