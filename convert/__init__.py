"""A fitted scikit-learn model in, a verified bundle out: `from convert import convert`.

Importing this package is light; the libraries of the extra `[convert]` are loaded by the first call.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from convert.options import Options, OptionWords

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy import ndarray
    from pandas import DataFrame, Series

    from convert.conversion import Conversion
    from convert.progress import Progress

# onnxruntime's wheels (1.32 at least) tell their maker what is loaded, over the network, unless this is set before the
# import. A model is its owner's business.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = ["Options", "convert"]


def convert(
    model: Any,
    X: DataFrame | ndarray[Any, Any] | Path | str,  # noqa: N803 - as every scikit-learn user calls it
    y: Series | ndarray[Any, Any] | Sequence[Any] | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[OptionWords],
) -> Conversion:
    """Convert a fitted scikit-learn model and judge the result against it.

    Parameters
    ----------
    model: a fitted estimator or pipeline, or the path of a skops file, an MLflow model folder or (with
        `trust_pickle=True`) a joblib or pickle file. Of a search, the best estimator is taken.
    X: rows like those that devices will send, shape (rows, features), at least 20 and better some thousands: half of
        them choose the form, the other half judge it. A DataFrame with columns of float, integer, boolean, text or
        category dtype, where missing values are NaN, None or NA; a NumPy array; or the path of a CSV, Parquet, NPY or
        NPZ file. Columns of a model that was fitted with names are found by name: other columns may lie between them.
    y: the true answers, shape (rows,), or (rows, targets) of a model of several targets, for the quality figures,
        calibration and confusion; None where they are not known, or where the option `target` names a column of X that
        holds them.
    progress: called with a `convert.progress.Step` at every step of the work, in this thread.
    options: the fields of `convert.options.Options`.

    Returns
    -------
    A `Conversion`: manifest, bundle bytes and report, in memory. Nothing is written before `Conversion.save(path)` and
    `Conversion.save_report(folder)`.

    Raises
    ------
    UsageFault: the question makes no sense (X of a wrong kind or shape, y that does not fit, an unknown target, a
        budget that is no share). ModelFault: the model or its rows cannot be used, or no ONNX form of it exists.
    JudgedBad: the ONNX form answers differently from the model, beyond the budget. EdgekitError: base of these, also
        raised itself when measuring fails. Each has `.reason`, a stable word, and `.exit_code`.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> done = convert(RandomForestClassifier(10, random_state=0).fit(X, y), X, y, name="iris")
    >>> done.manifest.parity.label_changes
    0
    >>> done.file_name
    'iris-1.0.0.edgekit'
    """
    from convert import pipeline
    from convert.progress import quiet
    from convert.read.given import Given

    return pipeline.convert(model, Given(X, y), Options(**options), progress or quiet)
