"""Steps that prepare, reduce or cluster rows, alone and inside pipelines over tables of numbers, texts and booleans."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import cluster, decomposition, feature_selection, manifold, mixture, preprocessing
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.impute._iterative import IterativeImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from convert import convert
from convert.export.refusal import NotExportable
from tests.convert.agreement import agreement, assert_exact, holed, own_forms

Frames = Callable[[pd.DataFrame], pd.DataFrame]
FEATURES = [f"s{i}" for i in range(6)]


def drawn() -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Seen and unseen rows of six numbers, and the seen rows' class."""
    x, y = make_classification(700, 6, n_informative=5, n_redundant=0, n_classes=3, random_state=0)
    frame = pd.DataFrame(x, columns=FEATURES)
    return frame[:350], frame[350:], pd.Series(y[:350])


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def positive(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.abs() + 0.1


def gridded(frame: pd.DataFrame) -> pd.DataFrame:
    return (frame * 3).round() / 4


def whole(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.round().astype(int)


def whole_and_holed(frame: pd.DataFrame) -> pd.DataFrame:
    return holed(frame.round())


def one_empty(frame: pd.DataFrame) -> pd.DataFrame:
    return holed(frame).assign(s2=np.nan)


def fit(model: Any, rows: pd.DataFrame, target: Any = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(rows, target)


IGNORED = {"handle_unknown": "ignore"}
VALUE = {"handle_unknown": "use_encoded_value"}
STEPS: dict[str, tuple[Any, Frames]] = {
    "standard": (StandardScaler(), holed),
    "range, clipped": (preprocessing.MinMaxScaler(clip=True), holed),
    "largest": (preprocessing.MaxAbsScaler(), plain),
    "robust": (preprocessing.RobustScaler(), holed),
    "norm l1": (preprocessing.Normalizer("l1"), plain),
    "norm l2": (preprocessing.Normalizer("l2"), plain),
    "norm max": (preprocessing.Normalizer("max"), plain),
    "binarizer": (preprocessing.Binarizer(threshold=0.3), gridded),
    "yeo-johnson": (PowerTransformer(), holed),
    "box-cox": (PowerTransformer("box-cox", standardize=False), positive),
    "quantiles": (QuantileTransformer(n_quantiles=100), plain),
    "quantiles of repeated values": (QuantileTransformer(n_quantiles=50), whole),
    "normal quantiles": (QuantileTransformer(n_quantiles=50, output_distribution="normal"), holed),
    "polynomial": (PolynomialFeatures(3), plain),
    "interactions": (PolynomialFeatures((2, 3), interaction_only=True, include_bias=False), plain),
    "polynomial of degree 0": (PolynomialFeatures(0), plain),
    "spline of missing values": (SplineTransformer(handle_missing="zeros"), holed),
    "spline at quantiles": (SplineTransformer(knots="quantile", include_bias=False), gridded),
    "clip": (FunctionTransformer(np.clip, kw_args={"a_min": -1, "a_max": None}), holed),
    "identity": (FunctionTransformer(), plain),
    "bins": (KBinsDiscretizer(4), gridded),
    "numbered bins": (KBinsDiscretizer(5, encode="ordinal", strategy="uniform"), gridded),
    "dense bins": (KBinsDiscretizer(5, encode="onehot-dense", strategy="kmeans"), plain),
    "mean for missing": (SimpleImputer(), holed),
    "median and marks": (SimpleImputer(strategy="median", add_indicator=True), holed),
    "constant for missing": (SimpleImputer(strategy="constant", fill_value=-9), holed),
    "empty column kept": (SimpleImputer(keep_empty_features=True), one_empty),
    "empty column dropped": (SimpleImputer(add_indicator=True), one_empty),
    "-1 for missing": (SimpleImputer(missing_values=-1, strategy="most_frequent"), whole),
    "marks": (MissingIndicator(), holed),
    "marks of all": (MissingIndicator(features="all"), holed),
    "imputing in rounds": (IterativeImputer(max_iter=2, add_indicator=True, min_value=-1), holed),
    "imputing by trees": (IterativeImputer(DecisionTreeRegressor(max_depth=3), max_iter=2), holed),
    "neighbours for missing": (KNNImputer(), holed),
    "near neighbours for missing": (KNNImputer(weights="distance", add_indicator=True), holed),
    "one-hot numbers": (OneHotEncoder(**IGNORED), gridded),
    "one-hot with missing": (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20), whole_and_holed),
    "one-hot with a dropped one": (OneHotEncoder(**IGNORED, drop="first", max_categories=6), gridded),
    "one-hot of two": (OneHotEncoder(**IGNORED, drop="if_binary"), lambda frame: frame > 0),
    "ordinal": (OrdinalEncoder(**VALUE, unknown_value=-1, encoded_missing_value=-2), whole_and_holed),
    "ordinal, unknown is NaN": (OrdinalEncoder(**VALUE, unknown_value=np.nan, min_frequency=20), gridded),
    "target, three classes": (TargetEncoder(), whole_and_holed),
    "principal components": (decomposition.PCA(3, whiten=True), plain),
    "incremental components": (decomposition.IncrementalPCA(3), plain),
    "singular vectors": (decomposition.TruncatedSVD(3), plain),
    "independent components": (decomposition.FastICA(3, random_state=0), plain),
    "factors": (decomposition.FactorAnalysis(3), plain),
    "sparse components": (decomposition.SparsePCA(2, max_iter=20), plain),
    "sparse components by batches": (decomposition.MiniBatchSparsePCA(2, max_iter=20), plain),
    "matching pursuit": (decomposition.DictionaryLearning(4, max_iter=3, transform_n_nonzero_coefs=3), plain),
    "thresholded code": (
        decomposition.MiniBatchDictionaryLearning(4, max_iter=3, transform_algorithm="threshold", split_sign=True),
        plain,
    ),
    "random projection": (GaussianRandomProjection(3), plain),
    "sparse random projection": (SparseRandomProjection(3), plain),
    "hidden units": (BernoulliRBM(4), lambda frame: frame.clip(0, 1)),
    "isomap": (manifold.Isomap(), lambda frame: frame.head(150)),
    "locally linear": (manifold.LocallyLinearEmbedding(), lambda frame: frame.head(150)),
    "pooled by mean": (cluster.FeatureAgglomeration(3), plain),
    "pooled by median": (cluster.FeatureAgglomeration(2, pooling_func=np.median), plain),
    "pooled by maximum": (cluster.FeatureAgglomeration(3, pooling_func=np.max), plain),
    "k-means": (cluster.KMeans(5), plain),
    "k-means by batches": (cluster.MiniBatchKMeans(5), plain),
    "bisections": (cluster.BisectingKMeans(6), plain),
    "mean shift": (cluster.MeanShift(bandwidth=2.5, bin_seeding=True), plain),
    "affinity": (cluster.AffinityPropagation(), lambda frame: frame.head(100)),
    "birch": (cluster.Birch(n_clusters=4), plain),
    "mixture, full": (mixture.GaussianMixture(3), plain),
    "mixture, tied": (mixture.GaussianMixture(3, covariance_type="tied"), plain),
    "mixture, spherical": (mixture.GaussianMixture(3, covariance_type="spherical"), plain),
    "variational mixture": (mixture.BayesianGaussianMixture(n_components=3, covariance_type="diag"), plain),
    "variance threshold": (feature_selection.VarianceThreshold(0.5), plain),
    "best features": (feature_selection.SelectKBest(k=3), plain),
    "features of a model": (feature_selection.SelectFromModel(LogisticRegression(max_iter=500)), plain),
}


@pytest.mark.parametrize("kind", STEPS)
def test_a_step_answers_alike_on_rows_it_never_saw(kind: str) -> None:
    model, frame = STEPS[kind]
    seen, unseen, target = drawn()
    rows = frame(seen)
    untargeted = isinstance(model, cluster.AffinityPropagation)
    assert_exact(fit(model, rows, None if untargeted else target[: len(rows)]), rows, frame(unseen))


SPLINES = [(outside, degree) for outside in ("constant", "linear", "continue", "periodic") for degree in (1, 2, 3)]


@pytest.mark.parametrize(("outside", "degree"), SPLINES)
def test_a_spline_is_continued_as_scikit_learn_does(outside: str, degree: int) -> None:
    seen, unseen, _ = drawn()
    assert_exact(SplineTransformer(5, degree=degree, extrapolation=outside).fit(seen), seen, unseen * 1.5)


def test_a_spline_that_refuses_rows_outside_answers_nothing_for_them() -> None:
    seen, _, _ = drawn()
    model = SplineTransformer(extrapolation="error").fit(seen)
    assert_exact(model, seen, seen)


FUNCTIONS = [np.log, np.log1p, np.log2, np.log10, np.exp, np.expm1, np.sqrt, np.cbrt, np.square, np.abs, np.sin, np.cos]
FUNCTIONS += [np.tan, np.tanh, np.arctan, np.sign, np.reciprocal, np.negative, np.floor, np.ceil, np.rint, np.isnan]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_a_function_of_numpy_is_repeated(function: Any) -> None:
    seen, unseen, _ = (positive(part) if isinstance(part, pd.DataFrame) else part for part in drawn())
    assert_exact(FunctionTransformer(function).fit(seen), seen, unseen)


REFUSED: dict[str, tuple[Any, str]] = {
    "an unknown function": (FunctionTransformer(np.gradient, kw_args={"axis": 1}), "gradient with axis.*known are abs"),
    "factors of a batch": (decomposition.NMF(2, max_iter=5), "stopping rule"),
    "topics": (decomposition.LatentDirichletAllocation(2, max_iter=1), "digamma"),
    "a lasso for every row": (decomposition.SparseCoder(np.eye(6), transform_algorithm="lasso_cd"), "lasso"),
    "random draws": (IterativeImputer(sample_posterior=True, max_iter=1), "random numbers"),
    "steps with a slope": (SplineTransformer(degree=0, extrapolation="linear"), "no slope"),
    "distances of one's own": (KNNImputer(weights=np.ones_like), "function of its own"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_operator_can_say_is_refused_in_words(kind: str) -> None:
    model, why = REFUSED[kind]
    seen = positive(drawn()[0])
    with pytest.raises(NotExportable, match=why):
        own_forms(fit(model, seen), seen)


def people(seed: int, count: int = 500) -> pd.DataFrame:
    """A table as it comes: numbers, whole numbers, texts, booleans and free text, with values missing; and `target`."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 12, count).round(1),
            "income": np.exp(rng.normal(10, 1, count)),
            "visits": rng.integers(0, 30, count),
            "gear": rng.integers(1, 6, count),
            "city": rng.choice(["Oslo", "Rome", "Zürich", "東京", "Lima"], count, p=[0.4, 0.3, 0.15, 0.1, 0.05]),
            "grade": rng.choice(["low", "mid", "high"], count),
            "member": rng.random(count) > 0.5,
            "vip": rng.random(count) > 0.8,
            "note": [" ".join(rng.choice(["red", "Blue", "fast", "café"], rng.integers(0, 5))) for _ in range(count)],
        }
    )
    points = (frame["age"] > 40).astype(int) + (frame["city"] == "Oslo") + frame["member"] + (frame["visits"] > 15)
    for name, share in (("age", 0.1), ("income", 0.05), ("city", 0.08), ("grade", 0.05)):
        frame[name] = frame[name].mask(rng.random(count) < share)
    return frame.assign(target=(points > 2).astype(int))


NUMBERS, COUNTS, TEXTS, FLAGS = ["age", "income"], ["visits", "gear"], ["city", "grade"], ["member", "vip"]


def scaled() -> Pipeline:
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler())


def one_hot(**words: Any) -> Pipeline:
    return make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(**IGNORED, **words))


def logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=200)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(8, random_state=0)


CLASSIC = [("numbers", scaled(), NUMBERS), ("texts", one_hot(), TEXTS), ("flags", "passthrough", FLAGS)]
TWO_STAGES = (
    ColumnTransformer(
        [("n", SimpleImputer(), NUMBERS), ("c", SimpleImputer(strategy="constant", fill_value="none"), TEXTS)]
    ),
    ColumnTransformer([("n", StandardScaler(), [0, 1]), ("c", OneHotEncoder(**IGNORED), [2, 3])]),
)
NESTED = ColumnTransformer([("n", scaled(), NUMBERS), ("c", one_hot(), ["city"])])
MANY_WAYS = FeatureUnion([("s", StandardScaler()), ("p", decomposition.PCA(2)), ("k", KBinsDiscretizer(3))])
ORDINAL = OrdinalEncoder(**VALUE, unknown_value=-1, encoded_missing_value=-2)
PANDAS = ColumnTransformer(
    [("n", scaled(), NUMBERS), ("c", OneHotEncoder(**IGNORED, sparse_output=False), TEXTS)],
    verbose_feature_names_out=False,
).set_output(transform="pandas")
BENT = ColumnTransformer(
    [
        ("log", make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p)), ["income"]),
        ("spline", make_pipeline(SimpleImputer(), SplineTransformer()), ["age"]),
        ("quantiles", QuantileTransformer(n_quantiles=50), ["visits"]),
    ]
)

TABLES: dict[str, tuple[list[Any], list[str]]] = {
    "numbers, texts and flags": ([ColumnTransformer(CLASSIC), logistic()], NUMBERS + TEXTS + FLAGS),
    "the same before a forest": ([ColumnTransformer(CLASSIC), forest()], NUMBERS + TEXTS + FLAGS),
    "the rest passed through": (
        [
            ColumnTransformer([("c", one_hot(), TEXTS)], remainder="passthrough"),
            HistGradientBoostingClassifier(max_iter=5),
        ],
        TEXTS + NUMBERS + COUNTS + FLAGS,
    ),
    "missing texts as a category": (
        [ColumnTransformer([("c", OneHotEncoder(**IGNORED), TEXTS), ("n", SimpleImputer(), NUMBERS)]), logistic()],
        TEXTS + NUMBERS,
    ),
    "ordinal, imputed and scaled before a forest": (
        [
            ColumnTransformer([("c", ORDINAL, TEXTS), ("n", SimpleImputer(add_indicator=True), NUMBERS)]),
            StandardScaler(),
            forest(),
        ],
        TEXTS + NUMBERS + COUNTS,
    ),
    "target encoder": (
        [ColumnTransformer([("c", TargetEncoder(), TEXTS), ("n", scaled(), NUMBERS)]), logistic()],
        TEXTS + NUMBERS,
    ),
    "categories of three kinds": (
        [ColumnTransformer([("c", one_hot(), ["city", "gear", "member"])]), forest()],
        ["city", "gear", "member"],
    ),
    "an encoder without columns picked": (
        [OrdinalEncoder(**VALUE, unknown_value=-1), DecisionTreeClassifier(max_depth=6)],
        ["city", "gear", "member"],
    ),
    "texts alone": ([OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.1), logistic()], TEXTS),
    "columns by type": (
        [
            ColumnTransformer(
                [
                    ("n", scaled(), make_column_selector(dtype_include="number")),
                    ("c", one_hot(drop="first"), make_column_selector(dtype_include=["object", "str"])),
                ]
            ),
            logistic(),
        ],
        NUMBERS + TEXTS,
    ),
    "columns by position": (
        [
            ColumnTransformer([("n", scaled(), [0, 1]), ("c", one_hot(), slice(2, 4)), ("b", "passthrough", [-1])]),
            forest(),
        ],
        [*NUMBERS, *TEXTS, "member"],
    ),
    "columns inside columns": (
        [ColumnTransformer([("x", NESTED, [*NUMBERS, "city"]), ("g", ORDINAL, ["grade"])]), logistic()],
        NUMBERS + TEXTS,
    ),
    "two stages": ([*TWO_STAGES, logistic()], NUMBERS + TEXTS),
    "a union": (
        [ColumnTransformer([("n", make_pipeline(SimpleImputer(), MANY_WAYS), NUMBERS + COUNTS)]), logistic()],
        NUMBERS + COUNTS,
    ),
    "weights": (
        [
            ColumnTransformer([("n", scaled(), NUMBERS), ("c", one_hot(), TEXTS)], transformer_weights={"n": 2}),
            logistic(),
        ],
        NUMBERS + TEXTS,
    ),
    "pandas between steps": ([PANDAS, logistic()], NUMBERS + TEXTS),
    "free text too": (
        [ColumnTransformer([*CLASSIC, ("note", TfidfVectorizer(), "note")]), forest()],
        [*NUMBERS, *TEXTS, *FLAGS, "note"],
    ),
    "distances to clusters": (
        [ColumnTransformer([("n", scaled(), NUMBERS + COUNTS)]), cluster.KMeans(4, random_state=0), logistic()],
        NUMBERS + COUNTS,
    ),
    "eliminated features": (
        [
            ColumnTransformer([("n", scaled(), NUMBERS + COUNTS)]),
            feature_selection.RFE(logistic(), n_features_to_select=2),
            logistic(),
        ],
        NUMBERS + COUNTS,
    ),
    "discriminants": (
        [ColumnTransformer([("n", scaled(), NUMBERS + COUNTS)]), LinearDiscriminantAnalysis(), logistic()],
        NUMBERS + COUNTS,
    ),
    "marks of missing texts": (
        [ColumnTransformer([("m", MissingIndicator(), TEXTS + NUMBERS), ("n", SimpleImputer(), NUMBERS)]), logistic()],
        TEXTS + NUMBERS,
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_pipeline_over_a_table_classifies_alike(kind: str) -> None:
    steps, names = TABLES[kind]
    seen, unseen = people(1), people(2)
    model = fit(make_pipeline(*steps), seen[names], seen["target"])
    assert_exact(model, seen[names], unseen[names])


REGRESSIONS: dict[str, tuple[list[Any], list[str]]] = {
    "bent columns": ([BENT, Ridge()], ["income", "age", "visits"]),
    "imputed in rounds": (
        [
            ColumnTransformer([("n", IterativeImputer(max_iter=2), ["age", "visits"]), ("c", TargetEncoder(), TEXTS)]),
            RandomForestRegressor(8, random_state=0),
        ],
        ["age", "visits", *TEXTS],
    ),
}


@pytest.mark.parametrize("kind", REGRESSIONS)
def test_a_pipeline_over_a_table_answers_the_same_numbers(kind: str) -> None:
    steps, names = REGRESSIONS[kind]
    seen, unseen = people(1), people(2)
    value = seen["age"].fillna(40) * 2 + seen["visits"] + (seen["city"] == "Rome") * 5
    assert_exact(fit(make_pipeline(*steps), seen[names], value), seen[names], unseen[names])


def test_the_comparison_catches_a_step_that_is_off() -> None:
    seen, unseen, _ = drawn()
    model, other = StandardScaler().fit(seen), StandardScaler().fit(seen + 0.01)
    assert not agreement(model, own_forms(other, seen)[0], seen, unseen).exact


def test_missing_and_empty_texts_that_mean_different_things_are_refused() -> None:
    seen = pd.DataFrame({"city": pd.Series(["Oslo", "", np.nan, "Rome"] * 10, dtype=object)})
    with pytest.raises(NotExportable, match="missing texts from empty ones"):
        own_forms(OneHotEncoder().fit(seen), seen)


def test_a_table_goes_all_the_way_to_a_bundle(measured: Any) -> None:
    seen = people(1)
    names = NUMBERS + TEXTS + FLAGS
    model = fit(make_pipeline(ColumnTransformer(CLASSIC), forest()), seen[names], seen["target"])
    done = convert(model, seen[[*names, "target"]], target="target", measured=measured)
    assert done.manifest.plan == "own, float64 columns"
    assert (done.report.reported.label_changes, done.report.reported.rows_off) == (0, 0)
