"""Linear models and networks as matrix products."""

from __future__ import annotations

from sklearn import cross_decomposition as cross
from sklearn import discriminant_analysis, isotonic, naive_bayes
from sklearn import linear_model as linear_models
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import LinearSVC, LinearSVR

from convert.export.dense import bayes, linear, network, plain
from convert.export.writer import Exporters

_REGRESSORS = (
    linear_models.LinearRegression,
    linear_models.Ridge,
    linear_models.RidgeCV,
    linear_models.Lasso,
    linear_models.LassoCV,
    linear_models.ElasticNet,
    linear_models.ElasticNetCV,
    linear_models.Lars,
    linear_models.LarsCV,
    linear_models.LassoLars,
    linear_models.LassoLarsCV,
    linear_models.LassoLarsIC,
    linear_models.OrthogonalMatchingPursuit,
    linear_models.OrthogonalMatchingPursuitCV,
    linear_models.BayesianRidge,
    linear_models.ARDRegression,
    linear_models.HuberRegressor,
    linear_models.TheilSenRegressor,
    linear_models.SGDRegressor,
    linear_models.QuantileRegressor,
    linear_models.MultiTaskLasso,
    linear_models.MultiTaskLassoCV,
    linear_models.MultiTaskElasticNet,
    linear_models.MultiTaskElasticNetCV,
    LinearSVR,
)
_LINKED = (linear_models.PoissonRegressor, linear_models.GammaRegressor, linear_models.TweedieRegressor)
_WITHOUT_PROBABILITIES = (
    linear_models.RidgeClassifier,
    linear_models.RidgeClassifierCV,
    linear_models.Perceptron,
    LinearSVC,
)
# scikit-learn 1.10 has them no more.
_DEPARTING = {"PassiveAggressiveRegressor": linear.regress, "PassiveAggressiveClassifier": linear.score}
_LATENT = (cross.PLSRegression, cross.PLSCanonical, cross.CCA)

EXPORTERS: Exporters = {
    **dict.fromkeys(_REGRESSORS, linear.regress),
    **dict.fromkeys(_LINKED, linear.regress_linked),
    **dict.fromkeys(_WITHOUT_PROBABILITIES, linear.score),
    **{getattr(linear_models, name): write for name, write in _DEPARTING.items() if hasattr(linear_models, name)},
    **dict.fromkeys(_LATENT, plain.latent_regress),
    linear_models.RANSACRegressor: linear.regress_by_consensus,
    linear_models.LogisticRegression: linear.classify,
    linear_models.LogisticRegressionCV: linear.classify,
    linear_models.SGDClassifier: linear.classify_by_gradient,
    linear_models.SGDOneClassSVM: linear.detect,
    discriminant_analysis.LinearDiscriminantAnalysis: linear.classify,
    discriminant_analysis.QuadraticDiscriminantAnalysis: bayes.quadratic,
    naive_bayes.GaussianNB: bayes.gaussian,
    naive_bayes.BernoulliNB: bayes.bernoulli,
    naive_bayes.MultinomialNB: bayes.multinomial,
    naive_bayes.ComplementNB: bayes.complement,
    naive_bayes.CategoricalNB: bayes.categorical,
    MLPClassifier: network.classify,
    MLPRegressor: network.regress,
    isotonic.IsotonicRegression: plain.isotonic,
    cross.PLSSVD: plain.latent,
    NeighborhoodComponentsAnalysis: plain.project,
}
