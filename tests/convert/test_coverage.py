"""A short form of the coverage benchmark: models of all kinds, judged by its code on rows that the converter never saw.

The whole of it is `scripts/bench convert`, which writes docs/coverage.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from benchmarks.converting.cases import Case, Fitted, table
from benchmarks.converting.composites import composite_suite
from benchmarks.converting.estimators import estimator_suite
from benchmarks.converting.judge import by_contract, judge_bundle
from benchmarks.converting.newcomers import newcomer_suite
from benchmarks.converting.trials import record_of_nothing
from convert import convert
from edgekit import bundle as bundles
from edgekit import packing
from edgekit.manifest import FileRole

ESTIMATORS = [
    "Binarizer",
    "CCA",
    "DecisionTreeRegressor",
    "DummyClassifier",
    "ElasticNet",
    "ExtraTreeClassifier",
    "GaussianNB",
    "GaussianMixture",
    "IsotonicRegression",
    "KMeans",
    "KNeighborsRegressor",
    "KernelRidge",
    "LabelEncoder",
    "LinearDiscriminantAnalysis",
    "LinearSVR",
    "MinMaxScaler",
    "NearestCentroid",
    "Normalizer",
    "Nystroem",
    "OneHotEncoder",
    "OrdinalEncoder",
    "PCA",
    "Perceptron",
    "PolynomialFeatures",
    "Ridge",
    "RobustScaler",
    "SVR",
    "SelectKBest",
    "SimpleImputer",
    "SplineTransformer",
]
COMPOSITES = (
    "random forest, missing values",
    "log1p + ridge",
    "scaler + logistic",
    "linear SVC",
    "forest with words as labels",
)
NEWCOMERS = ("table + logistic", "table + tree", "true or false as answers + logistic", "table + ridge")


def cases() -> Iterator[Case]:
    chosen = ((estimator_suite(), ESTIMATORS), (composite_suite(), COMPOSITES), (newcomer_suite(), NEWCOMERS))
    for suite, names in chosen:
        yield from (suite[name] for name in names)


SPLITS = "nodes_splits"  # the thresholds of TreeEnsemble
CASES = {case.name: case for case in cases()}
LOGISTIC = LogisticRegression(max_iter=300)
SEVERAL: dict[str, Any] = {
    "a chain tells one probability for each label": ClassifierChain(LOGISTIC, order=[2, 0, 1]),
    "a model for each target": MultiOutputClassifier(LOGISTIC),
    "a forest of labels": RandomForestClassifier(10, random_state=0),
    "neighbours of labels": KNeighborsClassifier(),
    "a network tells one probability for each label": MLPClassifier((8,), max_iter=50, random_state=0),
}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_of_nothing(tmp_path_factory.mktemp("record"))


def fitted(case: Case) -> Fitted:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a model says about its rows is not the matter here
        return case.fit()


def converted(source: Fitted, record: Path) -> bytes:
    return convert(source.model, source.shown, name="case", measured=record, max_label_change=0.0).content


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_converted_model_answers_unseen_rows_as_the_model_itself_does(case: Case, record: Path) -> None:
    source = fitted(case)
    content = converted(source, record)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = judge_bundle(source, content)
    assert found.agrees, found.words


def several(model: Any, *, turned: bool = False) -> Fitted:
    """A model of three labels that are there or not; `turned`: judged by a model of their opposites."""
    shown, unseen = (table(np.random.default_rng(seed).normal(size=(400, 4))) for seed in (0, 1))
    there = np.column_stack([shown["x0"] > 0, shown["x1"] + shown["x2"] > 0.5, shown["x3"] ** 2 > 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Fitted(clone(model).fit(shown, (there ^ turned).astype(int)), shown, unseen)


@pytest.mark.parametrize("kind", SEVERAL)
def test_the_judge_reads_several_targets_as_the_bundle_tells_them(kind: str, record: Path) -> None:
    source = several(SEVERAL[kind])
    content = converted(source, record)
    assert judge_bundle(source, content).agrees
    assert not judge_bundle(several(SEVERAL[kind], turned=True), content).agrees


@pytest.mark.parametrize(("told", "width"), [([[0, 1]] * 3, 6), ([[0, 2]] * 3, 3), ([[0, 1, 2]] * 3, 3)])
def test_the_judge_adds_a_missing_class_only_where_it_is_known(told: list[list[int]], width: int) -> None:
    found = by_contract(np.array([[0.25, 0.5, 1.0]]), told)
    assert found.shape == (1, width)
    assert width == 3 or found.tolist() == [[0.75, 0.25, 0.5, 0.5, 0.0, 1.0]]


def bent(content: bytes) -> bytes:
    """The same bundle with one number of its model changed by a fifth: all digests are right again."""
    bundle = bundles.parse(content)
    roles: tuple[FileRole, ...] = ("model", "golden", "reference")
    contents = {role: packing.expand(bundle, role) for role in roles}
    model = onnx.load_from_string(contents["model"])
    bend(model)
    return packing.build(bundle.manifest, contents | {"model": model.SerializeToString()})


def bend(model: onnx.ModelProto) -> None:
    tensors = [attribute.t for node in model.graph.node for attribute in node.attribute if attribute.name == SPLITS]
    tensors += [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    numbers = next(tensor for tensor in tensors if np.prod(tensor.dims) > 1)
    changed = numpy_helper.to_array(numbers).copy()
    changed.flat[np.argmax(np.abs(changed))] *= 1.2
    numbers.CopyFrom(numpy_helper.from_array(changed, numbers.name))


@pytest.mark.parametrize("name", ["ExtraTreeClassifier", "Ridge", "MinMaxScaler"])
def test_a_model_with_one_wrong_number_is_caught(name: str, record: Path) -> None:
    source = fitted(CASES[name])
    assert not judge_bundle(source, bent(converted(source, record))).agrees


@pytest.mark.parametrize("name", ["KMeans", "OrdinalEncoder", "LinearDiscriminantAnalysis"])
def test_the_judge_sees_two_swapped_rows(name: str, record: Path) -> None:
    source = fitted(CASES[name])
    turned = source.unseen.iloc[::-1].reset_index(drop=True)
    content = converted(source, record)
    assert judge_bundle(source, content).agrees
    assert not judge_bundle(Swapped(source.model, source.shown, turned, source.form), content).agrees


class Swapped(Fitted):
    """A model that answers for its rows in another order than they are in."""

    def ask(self, method: str) -> np.ndarray:
        return super().ask(method)[::-1]
