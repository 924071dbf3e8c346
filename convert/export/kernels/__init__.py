"""Kernel machines, neighbours and Gaussian processes as products with their fitted points."""

from __future__ import annotations

from sklearn import gaussian_process, neighbors, semi_supervised, svm
from sklearn import kernel_approximation as approximation
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import KernelPCA
from sklearn.kernel_ridge import KernelRidge

from convert.export.kernels import centres, maps, processes, vectors, voting
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
    gaussian_process.GaussianProcessRegressor: processes.regress,
    gaussian_process.GaussianProcessClassifier: processes.classify,
    KernelRidge: maps.ridge,
    KernelPCA: maps.components,
    approximation.Nystroem: maps.nystroem,
    approximation.RBFSampler: maps.random_waves,
    approximation.SkewedChi2Sampler: maps.skewed_waves,
    approximation.AdditiveChi2Sampler: maps.additive_chi_squared,
    approximation.PolynomialCountSketch: maps.count_sketch,
    semi_supervised.LabelPropagation: maps.spread_labels,
    semi_supervised.LabelSpreading: maps.spread_labels,
}
