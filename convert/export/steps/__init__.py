"""Steps that prepare, reduce or cluster rows."""

from __future__ import annotations

from sklearn import (
    cluster,
    decomposition,
    feature_selection,
    impute,
    manifold,
    mixture,
    preprocessing,
    random_projection,
)
from sklearn.feature_extraction import text as texts

# Its public name works only where somebody has enabled the experiment, as whoever unpickles one has not.
from sklearn.impute._iterative import IterativeImputer
from sklearn.neural_network import BernoulliRBM

from convert.export.frame import Transforming
from convert.export.steps import (
    bins,
    categories,
    clusters,
    curves,
    embed,
    functions,
    imputation,
    neighbours,
    reduce,
    refused,
    scaling,
    selection,
    text,
    transforming,
)
from convert.export.writer import Exporters

_SELECTORS = (
    feature_selection.GenericUnivariateSelect,
    feature_selection.SelectFdr,
    feature_selection.SelectFpr,
    feature_selection.SelectFromModel,
    feature_selection.SelectFwe,
    feature_selection.SelectKBest,
    feature_selection.SelectPercentile,
    feature_selection.SequentialFeatureSelector,
    feature_selection.VarianceThreshold,
)

EXPORTERS: Exporters = {
    **dict.fromkeys(refused.REASONS, refused.refuse),
    **dict.fromkeys(_SELECTORS, selection.select),
    Transforming: transforming.transform,
    impute.SimpleImputer: imputation.impute,
    impute.KNNImputer: neighbours.impute_from_neighbours,
    impute.MissingIndicator: imputation.indicate,
    IterativeImputer: imputation.impute_in_rounds,
    texts.CountVectorizer: text.count,
    texts.TfidfVectorizer: text.weigh_words,
    texts.TfidfTransformer: text.weigh,
    preprocessing.OneHotEncoder: categories.one_hot,
    preprocessing.OrdinalEncoder: categories.encode,
    preprocessing.TargetEncoder: categories.encode,
    preprocessing.KBinsDiscretizer: bins.discretize,
    preprocessing.LabelBinarizer: scaling.binarize_labels,
    preprocessing.StandardScaler: scaling.standardize,
    preprocessing.MinMaxScaler: scaling.scale_to_range,
    preprocessing.MaxAbsScaler: scaling.scale_to_unit,
    preprocessing.RobustScaler: scaling.scale_robustly,
    preprocessing.Normalizer: scaling.normalize,
    preprocessing.Binarizer: scaling.binarize,
    preprocessing.KernelCenterer: scaling.center_kernel,
    preprocessing.PowerTransformer: curves.power,
    preprocessing.QuantileTransformer: curves.quantile,
    preprocessing.PolynomialFeatures: curves.polynomial,
    preprocessing.SplineTransformer: curves.spline,
    preprocessing.FunctionTransformer: functions.apply,
    decomposition.PCA: reduce.principal,
    decomposition.IncrementalPCA: reduce.principal,
    decomposition.TruncatedSVD: reduce.components,
    decomposition.FastICA: reduce.independent,
    decomposition.FactorAnalysis: reduce.factors,
    decomposition.SparsePCA: reduce.sparse_components,
    decomposition.MiniBatchSparsePCA: reduce.sparse_components,
    random_projection.GaussianRandomProjection: reduce.components,
    random_projection.SparseRandomProjection: reduce.components,
    decomposition.DictionaryLearning: embed.sparse_code,
    decomposition.MiniBatchDictionaryLearning: embed.sparse_code,
    decomposition.SparseCoder: embed.sparse_code,
    manifold.Isomap: embed.geodesic,
    manifold.LocallyLinearEmbedding: embed.locally_linear,
    BernoulliRBM: reduce.hidden_units,
    cluster.FeatureAgglomeration: reduce.pool,
    cluster.KMeans: clusters.distances,
    cluster.MiniBatchKMeans: clusters.distances,
    cluster.BisectingKMeans: clusters.bisect,
    cluster.MeanShift: clusters.nearest,
    cluster.AffinityPropagation: clusters.nearest,
    cluster.Birch: clusters.nearest_subcluster,
    mixture.GaussianMixture: clusters.mixture,
    mixture.BayesianGaussianMixture: clusters.mixture,
}
