"""Folds the affine steps before a model into the model's own numbers, in float64, so that they cost nothing.

The pipeline's last step is copied (a shallow copy: the fitted arrays are shared, the user's model stays as it is) and
carries the map; its exporter multiplies it into its first matrix. Whether the result is as right as the steps one by
one is for parity to say: the map's centre can swallow digits of rows that lie far from zero.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.random_projection import GaussianRandomProjection

from convert.export.affine import Affine, projection, scaling

_CARRIED = "edgekit_affine_"


def folded(estimator: Any, takes: Callable[[Any], bool]) -> Any | None:
    """The same model with the affine steps before its last one folded into that; None where there is none.

    `takes`: whether the exporter of a fitted estimator multiplies a carried map into its numbers.
    """
    if not isinstance(estimator, Pipeline):
        return None
    steps = [(name, step) for name, step in estimator.steps if step is not None and step != "passthrough"]
    if not steps or not takes(steps[-1][1]):
        return None
    *before, (name, last) = steps
    affine: Affine | None = None
    while before and (found := _affine(before[-1][1])) is not None:
        affine = found if affine is None else found.then(affine)
        before.pop()
    if affine is None:
        return None
    carrying = carry(last, affine)
    return Pipeline([*before, (name, carrying)]) if before else carrying


def carry(estimator: Any, affine: Affine) -> Any:
    """A shallow copy of a fitted estimator that takes rows as they are before the map."""
    carrying = copy.copy(estimator)
    setattr(carrying, _CARRIED, affine)
    return carrying


def carried(estimator: Any) -> Affine | None:
    """The map that a copy carries."""
    found: Affine | None = getattr(estimator, _CARRIED, None)
    return found


def _affine(step: Any) -> Affine | None:
    """The step's `transform` as an affine map, or None when it is none."""
    known = _AFFINE.get(type(step))
    if known is None or getattr(step, "clip", False):
        return None
    return known(step)


def _standard(step: Any) -> Affine:
    weights = None if step.scale_ is None else 1.0 / np.asarray(step.scale_, dtype=np.float64)
    return scaling(step.mean_ if step.with_mean else None, weights, step.n_features_in_)


def _robust(step: Any) -> Affine:
    weights = None if step.scale_ is None else 1.0 / np.asarray(step.scale_, dtype=np.float64)
    return scaling(step.center_, weights, step.n_features_in_)


def _min_max(step: Any) -> Affine:
    scale = np.asarray(step.scale_, dtype=np.float64)
    return scaling(-np.asarray(step.min_, dtype=np.float64) / scale, scale, step.n_features_in_)


def _max_abs(step: Any) -> Affine:
    return scaling(None, 1.0 / np.asarray(step.scale_, dtype=np.float64), step.n_features_in_)


def _components(step: Any) -> Affine:
    """Principal components (scikit-learn's `_BasePCA.transform`)."""
    weights = np.asarray(step.components_, dtype=np.float64).T
    if step.whiten:
        spread = np.sqrt(np.asarray(step.explained_variance_, dtype=np.float64))
        weights = weights / np.maximum(spread, np.finfo(np.float64).eps)
    return projection(step.mean_, weights)


def _independent(step: Any) -> Affine:
    return projection(step.mean_ if step.whiten else None, np.asarray(step.components_).T)


def _factors(step: Any) -> Affine:
    """`FactorAnalysis.transform`: Bishop, Pattern Recognition and Machine Learning, equation 12.66."""
    scaled = step.components_ / step.noise_variance_
    covariance = np.linalg.inv(np.eye(len(step.components_)) + scaled @ step.components_.T)
    return projection(step.mean_, scaled.T @ covariance)


def _discriminants(step: Any) -> Affine | None:
    if step.solver == "lsqr":
        return None
    return projection(step.xbar_ if step.solver == "svd" else None, step.scalings_[:, : step._max_components])


def _rows_of_components(step: Any) -> Affine:
    return projection(None, np.asarray(step.components_).T)


_AFFINE: dict[type[Any], Callable[[Any], Affine | None]] = {
    StandardScaler: _standard,
    RobustScaler: _robust,
    MinMaxScaler: _min_max,
    MaxAbsScaler: _max_abs,
    PCA: _components,
    IncrementalPCA: _components,
    TruncatedSVD: _rows_of_components,
    FastICA: _independent,
    FactorAnalysis: _factors,
    LinearDiscriminantAnalysis: _discriminants,
    NeighborhoodComponentsAnalysis: _rows_of_components,
    GaussianRandomProjection: _rows_of_components,
}
