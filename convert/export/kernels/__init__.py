"""Kernel machines, neighbours and Gaussian processes as products with their fitted points."""

from __future__ import annotations

from sklearn import neighbors, svm
from sklearn.covariance import EllipticEnvelope

from convert.export.kernels import centres, vectors, voting
from convert.export.writer import Exporters

EXPORTERS: Exporters = {
    svm.SVC: vectors.classify,
    svm.NuSVC: vectors.classify,
    svm.SVR: vectors.regress,
    svm.NuSVR: vectors.regress,
    svm.OneClassSVM: vectors.detect,
    neighbors.KNeighborsClassifier: voting.classify,
    neighbors.KNeighborsRegressor: voting.regress,
    neighbors.RadiusNeighborsClassifier: voting.classify_within,
    neighbors.RadiusNeighborsRegressor: voting.regress_within,
    neighbors.KNeighborsTransformer: voting.graph_of_nearest,
    neighbors.RadiusNeighborsTransformer: voting.graph_within,
    neighbors.LocalOutlierFactor: voting.local_outliers,
    neighbors.NearestCentroid: centres.classify,
    EllipticEnvelope: centres.ellipse,
}
