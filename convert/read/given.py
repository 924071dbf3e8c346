"""Rows as they are handed over in Python: X and y, checked for shape and kind before anything is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from edgekit.errors import ModelFault, UsageFault


@dataclass(frozen=True)
class Given:
    """`x`: what `convert.convert` was given as X; `y`: the true answers beside it, None without any."""

    x: Any
    y: Any = None


def as_frame(x: Any) -> tuple[pd.DataFrame, str]:
    """X as a DataFrame, and what to call it in a sentence. Raises UsageFault for what is no table."""
    if isinstance(x, pd.DataFrame):
        if x.columns.nlevels > 1:
            raise UsageFault(
                f"X has columns of {x.columns.nlevels} levels, and a feature has one name: flatten them, such as by "
                "X.columns = X.columns.map('_'.join)",
                reason="rows_kind",
            )
        return x.reset_index(drop=True), "the DataFrame"
    if isinstance(x, pd.Series):
        return x.reset_index(drop=True).to_frame(x.name if x.name is not None else "x0"), "the Series"
    if hasattr(x, "toarray"):
        raise UsageFault(
            f"X is a sparse {type(x).__name__}, and devices send dense rows: give X.toarray(), "
            "or the table from which the pipeline makes it",
            reason="rows_sparse",
        )
    if not isinstance(x, np.ndarray):
        raise UsageFault(
            f"X is a {type(x).__module__}.{type(x).__name__}: give a pandas DataFrame, a NumPy array of shape "
            "(rows, features), or the path of a file",
            reason="rows_kind",
        )
    return _from_array(x), "the array"


def _from_array(x: np.ndarray[Any, Any]) -> pd.DataFrame:
    if x.ndim == 1 and x.dtype.kind in "OUT":  # a vectorizer's texts
        x = x.reshape(-1, 1)
    if x.ndim != 2:
        raise UsageFault(
            f"X has the shape {x.shape}: give (rows, features); a single feature becomes one by X.reshape(-1, 1)",
            reason="rows_shape",
        )
    if np.ma.isMaskedArray(x):
        raise UsageFault("X is a masked array: give X.filled(np.nan)", reason="rows_kind")
    frame = pd.DataFrame(x)
    return frame.infer_objects() if x.dtype == object else frame


def as_target(y: Any, rows: int, target: str | None) -> pd.Series | pd.DataFrame | None:
    """y as a Series of `rows` values, or as a DataFrame of several targets. Raises UsageFault when it does not fit,
    ModelFault when it has holes.
    """
    if y is None:
        return None
    if target is not None:
        raise UsageFault(f"y and target={target!r} both name the true answers: give one of them", reason="target_twice")
    values = np.asarray(y) if not isinstance(y, pd.Series) else y
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or 0 in values.shape[1:]:
        raise UsageFault(
            f"y has the shape {values.shape}: give one true answer per row, of shape (rows,), or of a model of several "
            "targets (rows, targets)",
            reason="target_shape",
        )
    if len(values) != rows:
        raise UsageFault(f"y has {len(values):,} values for {rows:,} rows: give one for each", reason="target_shape")
    if values.ndim == 1:
        return complete(pd.Series(values).reset_index(drop=True), "y")
    table = pd.DataFrame(values)
    for name in table.columns:
        complete(table[name], f"target {name} of y")
    return table


def complete(answers: pd.Series, called: str) -> pd.Series:
    """The same answers, none of them missing. Raises ModelFault."""
    if answers.isna().any():
        raise ModelFault(
            f"{called} has {int(answers.isna().sum()):,} missing values: drop those rows", reason="target_incomplete"
        )
    return answers


def is_path(x: Any) -> bool:
    """True for what names a file."""
    return isinstance(x, str | Path)
