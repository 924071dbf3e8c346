"""The transformed rows of estimators that could also predict, where a step stands in the middle of a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cluster import Birch, BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import RFE, RFECV

from convert.export.refusal import NotExportable
from convert.export.steps.clusters import squared_distances
from convert.export.steps.reduce import project
from convert.export.writer import Writer


def transform(writer: Writer) -> None:
    """By the kind of the estimator inside. Raises NotExportable for one whose `transform` is not known."""
    model = writer.model.estimator
    for kind, write in _TRANSFORMS.items():
        if isinstance(model, kind):
            writer.finish(0, write(writer, model))
            return
    if not hasattr(model, "transform"):
        raise NotExportable(f"{type(model).__name__} stands before the last step and transforms nothing")
    raise NotExportable(f"the transform of {type(model).__name__} has no ONNX form here")


def _support(writer: Writer, model: Any) -> str:
    return writer.columns(writer.rows, np.flatnonzero(model.support_).tolist())


def _to_centres(writer: Writer, model: Any) -> str:
    centres = model.subcluster_centers_ if isinstance(model, Birch) else model.cluster_centers_
    return writer.node("Sqrt", squared_distances(writer, writer.rows, centres))


def _discriminants(writer: Writer, model: Any) -> str:
    weights = np.asarray(model.scalings_)[:, : model._max_components]
    return project(writer, model.xbar_ if model.solver == "svd" else None, weights)


def _latent(writer: Writer, model: Any) -> str:
    weights = np.asarray(model.x_rotations_) / np.asarray(model._x_std)[:, None]
    return project(writer, model._x_mean, weights)


_TRANSFORMS: dict[type[Any], Callable[[Writer, Any], str]] = {
    RFE: _support,
    RFECV: _support,
    KMeans: _to_centres,
    MiniBatchKMeans: _to_centres,
    BisectingKMeans: _to_centres,
    Birch: _to_centres,
    LinearDiscriminantAnalysis: _discriminants,
    PLSRegression: _latent,
    PLSCanonical: _latent,
    CCA: _latent,
}
