"""Kernel machines, neighbours and Gaussian processes, judged on rows the exporter never saw."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn import kernel_approximation as approximation
from sklearn.base import clone
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import PCA, KernelPCA
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Kernel,
    Matern,
    PairwiseKernel,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.kernel_ridge import KernelRidge
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    LocalOutlierFactor,
    NearestCentroid,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
    RadiusNeighborsTransformer,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from convert.export.refusal import NotExportable
from tests.support.exports import DOUBLE, FEATURES, FOLDED, SINGLE, agreement, drawn, exported

SEEN, FRESH = drawn(300), drawn(700, fresh=True)
# Rows at a distance of zero from training rows, and others.
MIXED = pd.concat([SEEN.head(100), FRESH], ignore_index=True)
LABELS = {"two": np.array([0, 1, 1]), "texts": np.array(["low", "mid", "high"]), "odd": np.array([7, -2, 40])}
VALUES = (SEEN["s0"] ** 2 + 3 * SEEN["s1"] + 5).to_numpy()


def fitted(model: Any, rows: pd.DataFrame, target: Any = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `probability` is going, and regions without neighbours are meant
        return clone(model).fit(rows, target)


def assert_alike(model: Any, plan: str = SINGLE, rows: pd.DataFrame = MIXED) -> None:
    assert agreement(model, exported(model, SEEN[FEATURES], plan), rows[FEATURES]).exact


# ---- support vectors ---------------------------------------------------------------------------------------------

MACHINES: dict[str, Any] = {
    "bell": SVC(),
    "polynomial": SVC(kernel="poly", degree=2, coef0=1.0),
    "sigmoid": SVC(kernel="sigmoid", gamma=0.01),
    "linear": SVC(kernel="linear"),
    "nu": NuSVC(),
    "pairs": SVC(decision_function_shape="ovo"),
    "ties broken": SVC(break_ties=True),
    "probabilities": SVC(probability=True, random_state=0),
}


@pytest.mark.parametrize(("labels", "plan"), [("two", SINGLE), ("texts", SINGLE), ("odd", DOUBLE)])
@pytest.mark.parametrize("kind", MACHINES)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_support_vector_classifier_answers_alike(kind: str, labels: str, plan: str) -> None:
    assert_alike(fitted(MACHINES[kind], SEEN[FEATURES], LABELS[labels][SEEN["target"]]), plan)


@pytest.mark.parametrize("probability", [False, True])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_many_classes_with_a_matrix_for_each_answer_alike(probability: bool) -> None:
    seen, fresh = drawn(1100), drawn(500, fresh=True)
    model = fitted(SVC(C=0.2, random_state=0), seen[FEATURES], seen["target"] * 3 + (seen["s0"] > 0) + (seen["s1"] > 0))
    if probability:
        words = {"probability": True, "random_state": 0}
        model = fitted(SVC(C=0.2, **words), seen[FEATURES], seen["target"] * 3 + (seen["s0"] > 0))
    made = exported(model, seen[FEATURES])
    kinds = {node.op_type for node in onnx.load_from_string(made.content).graph.node}
    assert "Split" in kinds
    assert agreement(model, made, fresh[FEATURES]).exact


@pytest.mark.parametrize("kernel", ["rbf", "poly", "linear"])
@pytest.mark.parametrize("kind", [SVR, NuSVR, OneClassSVM])
def test_support_vectors_of_values_and_of_outliers_answer_alike(kind: Any, kernel: str) -> None:
    model = kind(kernel=kernel, degree=2)
    assert_alike(fitted(model, SEEN[FEATURES], None if kind is OneClassSVM else VALUES))


# ---- neighbours --------------------------------------------------------------------------------------------------

DISTANCES: dict[str, dict[str, Any]] = {
    "Euclidean": {},
    "Manhattan": {"p": 1},
    "cubic": {"p": 3},
    "greatest": {"metric": "chebyshev"},
    "cosine": {"metric": "cosine"},
    "squared": {"metric": "sqeuclidean", "algorithm": "brute"},
}


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("kind", [KNeighborsClassifier, KNeighborsRegressor])
@pytest.mark.parametrize("metric", DISTANCES)
def test_nearest_neighbours_answer_alike_at_distances_of_zero_too(metric: str, kind: Any, weights: str) -> None:
    target = VALUES if kind is KNeighborsRegressor else LABELS["texts"][SEEN["target"]]
    assert_alike(fitted(kind(weights=weights, **DISTANCES[metric]), SEEN[FEATURES], target))


@pytest.mark.parametrize("power", [1, 3, np.inf])
def test_many_features_are_added_in_parts(power: int) -> None:
    wide = {f"w{place}": SEEN["s0"].to_numpy() * place + SEEN[f"s{place % 6}"] for place in range(320)}
    seen = pd.DataFrame(wide)
    model = fitted(KNeighborsClassifier(3, p=power), seen, SEEN["target"])
    made = exported(model, seen)
    kinds = [node.op_type for node in onnx.load_from_string(made.content).graph.node]
    assert 1 < kinds.count("Sub") < 5, "the training rows' middle, and each part"
    assert agreement(model, made, seen * 1.01).exact


def test_equal_training_rows_with_other_labels_share_a_distance_of_zero() -> None:
    twice = pd.concat([SEEN[FEATURES], SEEN[FEATURES]], ignore_index=True)
    labels = np.repeat([0, 1], len(SEEN))
    model = fitted(KNeighborsClassifier(4, weights="distance"), twice, labels)
    assert set(model.predict_proba(SEEN[FEATURES])[:, 0]) == {0.5}
    assert agreement(model, exported(model, twice), SEEN[FEATURES]).exact


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("outlier", [None, "most_frequent", -7])
def test_neighbours_within_a_radius_answer_alike(outlier: Any, weights: str) -> None:
    radius = 40.0 if outlier is None else 1.5
    model = RadiusNeighborsClassifier(radius, weights=weights, outlier_label=outlier)
    made = fitted(model, SEEN[FEATURES], LABELS["odd"][SEEN["target"]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the label for outliers is none of training
        assert_alike(made, DOUBLE)


def test_a_row_without_neighbours_is_refused_where_scikit_learn_refuses_it() -> None:
    model = fitted(RadiusNeighborsClassifier(1.5), SEEN[FEATURES], SEEN["target"])
    made, far = exported(model, SEEN[FEATURES]), SEEN[FEATURES].head(2) + 50
    with pytest.raises(ValueError, match="No neighbors found"):
        model.predict(far)
    stand_in = fitted(KNeighborsClassifier(), SEEN[FEATURES], SEEN["target"])
    with pytest.raises(Exception, match="out of data bounds"):
        agreement(stand_in, made, far)


OTHERS: dict[str, tuple[Any, Any]] = {
    "radius regressor": (RadiusNeighborsRegressor(2.0), VALUES),
    "radius regressor by distance": (RadiusNeighborsRegressor(2.0, weights="distance"), VALUES),
    "two values": (KNeighborsRegressor(weights="distance"), np.column_stack([VALUES, -VALUES])),
    "graph of distances": (KNeighborsTransformer(), None),
    "graph of ones": (KNeighborsTransformer(mode="connectivity"), None),
    "graph within": (RadiusNeighborsTransformer(radius=2.0, mode="connectivity"), None),
    "local outliers": (LocalOutlierFactor(novelty=True), None),
    "ellipse": (EllipticEnvelope(random_state=0), None),
    "centroids": (NearestCentroid(), SEEN["target"]),
    "Manhattan centroids": (NearestCentroid(metric="manhattan"), SEEN["target"]),
    "centroids with priors": (NearestCentroid(priors=[0.2, 0.5, 0.3]), SEEN["target"]),
    "shrunken centroids": (NearestCentroid(shrink_threshold=0.1), SEEN["target"] > 0),
    "propagated labels": (LabelPropagation(gamma=0.5), SEEN["target"].mask(SEEN.index > 80, -1)),
    "spread labels": (LabelSpreading(kernel="knn"), SEEN["target"].mask(SEEN.index > 80, -1)),
    "kernel components": (KernelPCA(3, kernel="rbf"), None),
    "linear kernel components": (KernelPCA(3), None),
    "chosen rows": (approximation.Nystroem(n_components=20, random_state=0), None),
    "waves": (approximation.RBFSampler(random_state=0), None),
    "sketch": (approximation.PolynomialCountSketch(n_components=20, random_state=0), None),
    "odd sketch": (approximation.PolynomialCountSketch(degree=3, coef0=1, n_components=33, random_state=0), None),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_models_of_distances_and_kernels_answer_alike(kind: str) -> None:
    model, target = OTHERS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means over no neighbours are NaN
        assert_alike(fitted(model, SEEN[FEATURES], target), DOUBLE if "radius" in kind else SINGLE, FRESH)


@pytest.mark.parametrize(
    "model",
    [
        approximation.SkewedChi2Sampler(random_state=0),
        approximation.AdditiveChi2Sampler(),
        approximation.AdditiveChi2Sampler(sample_steps=3),
    ],
    ids=["skewed", "additive", "additive of three"],
)
def test_maps_of_amounts_answer_alike(model: Any) -> None:
    rows = SEEN[FEATURES].abs().round(1)
    assert (rows == 0).any(axis=None), "zeros are the special case"
    made_of = fitted(model, rows)
    assert agreement(made_of, exported(made_of, rows), FRESH[FEATURES].abs().round(1)).exact


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "sigmoid", "laplacian", "cosine"])
def test_kernel_ridge_answers_alike(kernel: str) -> None:
    assert_alike(fitted(KernelRidge(kernel=kernel, gamma=0.01), SEEN[FEATURES], VALUES))


# ---- Gaussian processes ------------------------------------------------------------------------------------------

COVARIANCES: dict[str, Kernel] = {
    "bell": RBF(2.0),
    "bells": RBF([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    "rough": Matern(2.0, nu=0.5),
    "smooth once": Matern(2.0, nu=1.5),
    "smooth twice": Matern([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], nu=2.5),
    "smooth": Matern(2.0, nu=np.inf),
    "mixture of bells": RationalQuadratic(2.0, 0.7),
    "periodic": ExpSineSquared(0.5, 9.0) + WhiteKernel(100.0),
    "product": ConstantKernel(2.0) * RBF(3.0) + WhiteKernel(0.5),
    "power": RBF(3.0) ** 2 + DotProduct(1.0),
    "pairwise": PairwiseKernel(metric="laplacian", gamma=0.1),
}


@pytest.mark.parametrize("kind", COVARIANCES)
def test_a_process_of_values_answers_alike(kind: str) -> None:
    model = GaussianProcessRegressor(COVARIANCES[kind], alpha=0.1, optimizer=None, normalize_y=True)
    assert_alike(fitted(model, SEEN[FEATURES], VALUES))


@pytest.mark.parametrize("labels", ["two", "texts"])
@pytest.mark.parametrize("kind", ["bells", "smooth once", "product", "power"])
def test_a_process_of_classes_answers_alike(kind: str, labels: str) -> None:
    rows = SEEN.head(120)
    model = GaussianProcessClassifier(COVARIANCES[kind], optimizer=None)
    assert_alike(fitted(model, rows[FEATURES], LABELS[labels][rows["target"]]), DOUBLE)


# ---- folding, numbers far from zero, refusals --------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [SVC(), KNeighborsClassifier(weights="distance"), NearestCentroid(), GaussianProcessRegressor(RBF(2.0), alpha=0.1)],
    ids=lambda model: type(model).__name__,
)
def test_rows_far_from_zero_answer_alike_with_the_scaler_folded_in(model: Any) -> None:
    far, fresh = SEEN[FEATURES] * 7 + 1e5, FRESH[FEATURES] * 7 + 1e5
    made_of = fitted(make_pipeline(StandardScaler(), PCA(5), model), far, SEEN["target"])
    made = exported(made_of, far, DOUBLE + FOLDED)
    assert "Scaler" not in {node.op_type for node in onnx.load_from_string(made.content).graph.node}
    assert agreement(made_of, made, fresh).exact


def test_the_wrong_neighbours_are_noticed() -> None:
    model = fitted(KNeighborsClassifier(), SEEN[FEATURES], SEEN["target"])
    other = fitted(KNeighborsClassifier(), SEEN[FEATURES] + 0.5, SEEN["target"])
    assert not agreement(model, exported(other, SEEN[FEATURES]), FRESH[FEATURES]).exact


REFUSED: dict[str, tuple[Any, str]] = {
    "machine with a function": (SVC(kernel=lambda a, b: a @ b.T), "no function of the rows"),
    "neighbours with weights of their own": (
        KNeighborsClassifier(weights=lambda d: 1 / (d + 1)),
        "function of its own",
    ),
    "metric with parameters": (KNeighborsClassifier(metric_params={"w": np.arange(6.0)}), "parameters"),
    "metric of shares": (KNeighborsClassifier(metric="canberra"), "no ONNX form"),
    "map by a function": (approximation.Nystroem(kernel=np.dot, n_components=5), "no function of the rows"),
    "smoothness between": (GaussianProcessRegressor(Matern(2.0, nu=0.7), alpha=0.1, optimizer=None), "Bessel"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_form_is_refused_in_words(kind: str) -> None:
    model, reason = REFUSED[kind]
    made_of = fitted(model, SEEN[FEATURES], SEEN["target"])
    with pytest.raises(NotExportable, match=reason):
        exported(made_of, SEEN[FEATURES])
