"""The source model as a judge: what it takes, what it answers, and which questions it refuses.

Rows reach it exactly as a user would pass them (by column name where it was fitted with names), never cast for ONNX.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_outlier_detector, is_regressor

from convert.check.parity import Answers, Number
from convert.check.targets import Targets, plain_classes, side_by_side
from convert.export.parts import parts_of
from convert.read import targets as targets_of
from convert.read.categories import (
    CODES_ONLY,
    Booster,
    boosters_in,
    cannot_serve,
    check,
    forgets_categories,
    known_in,
    refuse_codes,
    restored,
)
from convert.read.known import Known
from convert.read.model import LoadedModel
from convert.read.rows import Rows, meant, plain_columns, some
from convert.wording import cause
from edgekit.errors import ModelFault, UsageFault
from edgekit.manifest import MAX_FEATURES, OutputRole, Task


@dataclass(frozen=True)
class Source:
    """`role`: what its numbers are; None when it gives labels only. `by_name`: it was fitted with column names.
    `text`: its first step takes a flat list of texts instead of a table. `targets`: the classes of each target, where
    it answers several; `classes` is empty then. `boosters`: the models in it that want pandas' category columns.
    """

    estimator: Any
    origin: str
    task: Task
    classes: tuple[Any, ...]
    role: OutputRole | None
    by_name: bool
    text: bool
    notes: tuple[str, ...] = ()
    targets: Targets = ()
    boosters: tuple[Booster, ...] = ()

    @property
    def kind(self) -> str:
        """The class name of the model itself, behind a pipeline's steps."""
        return type(last_step(self.estimator)).__name__

    def answers(self, frame: pd.DataFrame) -> Answers:
        """Labels and numbers for these rows. Raises whatever the estimator raises."""
        rows = self.rows(frame)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as "unknown categories will be encoded as zeros": wanted here
            label = None if self.task in ("regression", "transformation") else np.asarray(self.estimator.predict(rows))
            return Answers(label, self._numbers(rows))

    def _numbers(self, rows: Any) -> Number | None:
        if self.role is None:
            return None
        ask = {"probabilities": "predict_proba", "value": "predict", "score": "decision_function"}[self.role]
        found = getattr(self.estimator, "transform" if self.task == "transformation" else ask)(rows)
        if self.targets and self.role == "probabilities":
            return side_by_side(found, self.targets)
        numbers = np.asarray(found.toarray() if hasattr(found, "toarray") else found, dtype=np.float64)
        return numbers.reshape(len(numbers), -1)

    def rows(self, frame: pd.DataFrame) -> Any:
        """`frame` in the form that the estimator was fitted with."""
        if self.text:
            return frame.iloc[:, 0].to_numpy()
        if not self.by_name:
            return frame.to_numpy()
        return restored(frame, self.known(frame)) if self.boosters else frame

    def known(self, frame: pd.DataFrame) -> dict[str, Known]:
        """The categories of the columns that reach the model as pandas categories."""
        return known_in(self.boosters, frame)

    def refuses(self, frame: pd.DataFrame) -> bool:
        """True when the estimator raises on these rows."""
        try:
            self.answers(frame)
        except Exception:  # noqa: BLE001 - an estimator may raise anything; that it does is the answer
            return True
        return False


def last_step(estimator: Any) -> Any:
    """The estimator that answers: the end of a pipeline, or the estimator itself."""
    return last_step(estimator.steps[-1][1]) if hasattr(estimator, "steps") else estimator


def first_step(estimator: Any) -> Any:
    """The estimator that meets the rows first."""
    return first_step(estimator.steps[0][1]) if hasattr(estimator, "steps") else estimator


def understand(loaded: LoadedModel) -> Source:
    """Find out what the model does. Raises ModelFault when it is nothing that a device can serve."""
    estimator = loaded.estimator
    targets = targets_of.read(estimator) if is_classifier(estimator) else ()
    classes = _classes(estimator, loaded.origin) if is_classifier(estimator) and not targets else ()
    task = "multioutput" if targets else _task(estimator, classes, loaded.origin)
    names = getattr(estimator, "feature_names_in_", None)
    return Source(
        estimator=estimator,
        origin=loaded.origin,
        task=task,
        classes=classes,
        role=targets_of.role(estimator, targets) if targets else _role(estimator, task),
        by_name=names is not None,
        text=hasattr(first_step(estimator), "build_analyzer"),
        notes=loaded.notes,
        targets=targets,
        boosters=() if names is None else boosters_in(estimator, [str(name) for name in names]),
    )


def _task(estimator: Any, classes: tuple[Any, ...], origin: str) -> Task:
    if is_classifier(estimator):
        return "binary" if len(classes) == 2 else "multiclass"
    if is_regressor(estimator):
        return "regression"
    if is_outlier_detector(estimator) and hasattr(estimator, "predict"):
        return "anomaly"
    if hasattr(estimator, "predict"):
        return "clustering"
    if hasattr(estimator, "transform"):
        return "transformation"
    raise ModelFault(
        f"{origin} is a {type(last_step(estimator)).__name__}, which neither predicts for new rows nor transforms "
        "them: convert a model that does",
        reason="not_a_predictor",
    )


def _classes(estimator: Any, origin: str) -> tuple[Any, ...]:
    classes = estimator.classes_
    if np.ndim(classes) != 1:
        raise ModelFault(
            f"{origin} does not tell the classes of its targets: train and convert one model for each target",
            reason="several_targets",
        )
    if len(classes) < 2:
        raise ModelFault(
            f"{origin} knows one class only ({classes[0]!s}) and always answers that: train it on rows of at least two",
            reason="one_class",
        )
    return plain_classes(classes)


def _role(estimator: Any, task: Task) -> OutputRole | None:
    if task in ("regression", "transformation"):
        return "value"
    if task == "anomaly":
        return "score"
    if hasattr(estimator, "predict_proba"):
        return "probabilities"
    return "score" if hasattr(estimator, "decision_function") else None


def fit_rows(source: Source, rows: Rows) -> tuple[Rows, tuple[str, ...]]:
    """The rows with just the model's features in its order, as plain columns; and remarks. Raises ModelFault."""
    chosen, notes = _choose_by_name(source, rows) if source.by_name else (_choose_by_position(source, rows), ())
    if chosen.shape[1] > MAX_FEATURES:
        raise ModelFault(
            f"the model takes {chosen.shape[1]:,} features, and a bundle holds at most {MAX_FEATURES:,}: "
            "select features and train it with those",
            reason="too_many_features",
        )
    frame = plain_columns(chosen, rows.origin)
    if source.by_name:
        refuse_codes(source.kind, source.estimator, chosen)
    check(source.kind, source.boosters, chosen, frame)
    fitted = Rows(frame, rows.target, rows.named, rows.origin, rows.digest)
    _try_first_row(source, fitted)
    _refuse_other_targets(source, fitted)
    return fitted, notes


def _refuse_other_targets(source: Source, rows: Rows) -> None:
    """A table of true answers must have a column for each target."""
    if not isinstance(rows.target, pd.DataFrame):
        return
    numbers = source.answers(rows.frame.head(1)).numbers
    values = numbers.shape[1] if source.task == "regression" and numbers is not None else 1
    wanted = len(source.targets) or values
    if rows.target.shape[1] != wanted:
        raise UsageFault(
            f"y has the shape {rows.target.shape}, and the model answers {wanted} target{'s' if wanted > 1 else ''}: "
            "give one true answer for each row and target",
            reason="target_shape",
        )


def _choose_by_name(source: Source, rows: Rows) -> tuple[pd.DataFrame, tuple[str, ...]]:
    wanted = [str(name) for name in source.estimator.feature_names_in_]
    frame = rows.frame
    if not rows.named and frame.shape[1] == len(wanted):
        frame = frame.set_axis(wanted, axis=1)
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise ModelFault(
            f"{rows.origin} lacks {len(missing)} of the model's {len(wanted)} features, such as {missing[0]!r}"
            f"{meant(missing[0], (name for name in frame.columns if name not in wanted))}: "
            f"it has {some(frame.columns)}",
            reason="columns_missing",
        )
    extra = [str(name) for name in frame.columns if name not in wanted]
    return frame[wanted], (f"columns not used by the model: {some(extra)}",) if extra else ()


def _choose_by_position(source: Source, rows: Rows) -> pd.DataFrame:
    expected = 1 if source.text else getattr(source.estimator, "n_features_in_", rows.frame.shape[1])
    if rows.frame.shape[1] != expected:
        raise ModelFault(
            f"{rows.origin} has {rows.frame.shape[1]} feature columns ({some(rows.frame.columns)}) and the model "
            f"takes {expected}: drop the others, or name the target column with --target",
            reason="columns_wrong",
        )
    return rows.frame


def _try_first_row(source: Source, rows: Rows) -> None:
    try:
        source.answers(rows.frame.head(1))
    except Exception as error:
        if any(map(forgets_categories, parts_of(source.estimator))):
            raise cannot_serve(source.kind, CODES_ONLY) from error
        raise ModelFault(
            f"the model refuses the first row of {rows.origin} ({cause(error)}): "
            "give rows like those it was trained on",
            reason="rows_refused",
        ) from error
