"""The peer: skl2onnx as its documentation shows it, with its best settings for today's libraries.

A DataFrame is tried as it is and with its numbers as
float32, and the better outcome counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skl2onnx.common.data_types import guess_data_type
from sklearn.base import is_classifier, is_outlier_detector, is_regressor

from benchmarks.converting.cases import Fitted
from benchmarks.converting.exporting import export, matrix_type
from benchmarks.converting.judge import Judged, compare, open_session, run_in_parts, together


def judge_plain(fitted: Fitted) -> tuple[str, str]:
    """`("right" | "wrong" | "fails", why)`."""
    outcomes = [_outcome(fitted, feeds) for feeds in _ways(fitted)]
    order = ("right", "wrong", "fails")
    return min(outcomes, key=lambda outcome: order.index(outcome[0]))


def _ways(fitted: Fitted) -> list[dict[str, NDArray[Any]]]:
    """The unseen rows as tensors, in each way in which a user might hand them over."""
    rows = fitted.unseen
    if fitted.form != "frame":
        array = rows.to_numpy()
        return [{"X": array.astype(np.float32) if array.dtype.kind == "f" else array}]
    kinds = {dtype.kind for dtype in (np.asarray(rows[name]).dtype for name in rows)}
    ways = [_by_column(rows, np.float64), _by_column(rows, np.float32)]
    return [{"X": rows.to_numpy(dtype=np.float32)}, *ways] if kinds <= set("fiu") else ways


def _by_column(rows: pd.DataFrame, floating: type[Any]) -> dict[str, NDArray[Any]]:
    columns = {}
    for name in rows:
        column = rows[name]
        if column.dtype.kind == "f":
            array = column.to_numpy(dtype=floating)
        elif column.dtype.kind in "iub":
            array = column.to_numpy()
        else:
            array = column.astype(object).where(column.notna(), "").to_numpy(dtype=object)
        columns[str(name)] = array.reshape(-1, 1)
    return columns


def _outcome(fitted: Fitted, feeds: dict[str, NDArray[Any]]) -> tuple[str, str]:
    try:
        session = open_session(export(fitted.model, [(name, _type_of(array)) for name, array in feeds.items()]))
        names = [output.name for output in session.get_outputs()]
        found = _judge(fitted, run_in_parts(session, names, feeds))
    except Exception as error:  # noqa: BLE001 - the peer may raise anything; that it does is the finding
        return "fails", f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    return ("right", "") if found.agrees else ("wrong", found.words)


def _type_of(array: NDArray[Any]) -> Any:
    kind = guess_data_type(array)[0][1]
    kind.shape = [None, array.shape[1]]
    return kind


def _judge(fitted: Fitted, given: list[NDArray[Any]]) -> Judged:
    model = fitted.model
    if is_regressor(model) or not hasattr(model, "predict"):
        return compare(fitted.ask("predict" if is_regressor(model) else "transform"), given[0])
    label = compare(fitted.ask("predict"), given[0])
    if not (is_classifier(model) or is_outlier_detector(model)) or len(given) < 2:
        return label
    if hasattr(model, "predict_proba"):
        wanted = fitted.ask("predict_proba")
        return together([label, compare(wanted, _side_by_side(given[1], len(wanted)), probabilities=True)])
    if not hasattr(model, "decision_function"):
        return label
    wanted = fitted.ask("decision_function")
    scores = given[1].reshape(len(wanted), -1)
    # two classes: some give the negative score beside it
    return together([label, compare(wanted, scores[:, -1] if wanted.ndim == 1 else scores)])


def _side_by_side(given: NDArray[Any], rows: int) -> NDArray[Any]:
    """Several targets are stacked [targets, rows, classes] by the peer."""
    return np.concatenate(list(given), axis=1) if given.ndim == 3 and given.shape[1] == rows else given


__all__ = ["export", "judge_plain", "matrix_type"]
