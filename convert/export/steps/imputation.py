"""What stands in for missing values. A missing text is the empty string on a device."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.export.frame import kept_features
from convert.export.refusal import NotExportable
from convert.export.steps.elementwise import clip, joined, single_columns
from convert.export.writer import BOOL, STRING, Lane, Writer

# Each imputation is one estimator in the graph.
_MAX_IMPUTATIONS = 1000


def missing(writer: Writer, lane: Lane, value: Any) -> str:
    """Which values of a lane are missing, where `value` stands for that: bool [rows, width]."""
    blank = value is None or (isinstance(value, float) and np.isnan(value)) or type(value).__name__ == "NAType"
    if lane.element == STRING:
        if not blank and not isinstance(value, str):
            raise NotExportable(f"{value!r} stands for a missing value among texts")
        words = {"keys_strings": ["" if blank else value], "values_int64s": [1], "default_int64": 0}
        return writer.cast(writer.node("LabelEncoder", lane.name, domain="ai.onnx.ml", **words), BOOL)
    if isinstance(value, str):
        raise NotExportable(f"the text {value!r} stands for a missing value among numbers")
    if blank:
        return writer.node("IsNaN", lane.name)
    return writer.node("Equal", lane.name, writer.numbers([value]))


def impute(writer: Writer) -> None:
    """`SimpleImputer`: a statistic for what is missing, and marks for what was."""
    if any(lane.element == STRING for lane in writer.lanes):
        _impute_lanes(writer)
        return
    model = writer.model
    rows = Lane(writer.rows, writer.element, None)
    gaps, kept = missing(writer, rows, model.missing_values), kept_features(model)
    marks = indicators(writer, gaps)
    name = rows.name
    if len(kept) < model.n_features_in_:
        gaps, name = writer.columns(gaps, kept), writer.columns(name, kept)
    statistics = np.array([_number(_statistic(model, place)) for place in kept])
    filled = writer.node("Where", gaps, writer.numbers(statistics), name)
    writer.finish(0, joined(writer, [filled, *marks]))


def _impute_lanes(writer: Writer) -> None:
    model = writer.model
    lanes = single_columns(writer)
    gaps = [missing(writer, lane, model.missing_values) for lane in lanes]
    place = -1
    for place, feature in enumerate(kept_features(model)):
        lane, statistic = lanes[feature], _statistic(model, feature)
        text = lane.element == STRING
        value = writer.constant(np.array([statistic], dtype=object)) if text else writer.numbers([_number(statistic)])
        if text and not isinstance(statistic, str):
            raise NotExportable(f"SimpleImputer fills a text column with {statistic!r}")
        writer.finish(place, writer.node("Where", gaps[feature], value, lane.name))
    for marks in indicators(writer, joined(writer, gaps)):
        writer.finish(place + 1, marks)


def _statistic(model: Any, feature: int) -> Any:
    return np.asarray(model.statistics_).astype(model._fill_dtype)[feature]


def _number(statistic: Any) -> float:
    if isinstance(statistic, str):
        raise NotExportable(f"an imputer fills a column of numbers with the text {statistic!r}")
    return float(statistic)


def indicators(writer: Writer, gaps: str) -> list[str]:
    """The marks of what was missing, where the imputer adds them."""
    model = writer.model
    if not model.add_indicator or len(model.indicator_.features_) == 0:
        return []
    features = [int(feature) for feature in model.indicator_.features_]
    return [writer.cast(writer.columns(gaps, features), writer.element)]


def indicate(writer: Writer) -> None:
    """`MissingIndicator`: 1 where a value is missing, for the features that it watches."""
    model = writer.model
    gaps = joined(writer, [missing(writer, lane, model.missing_values) for lane in single_columns(writer)])
    features = [int(feature) for feature in model.features_]
    writer.finish(0, writer.cast(writer.columns(gaps, features), writer.output_type(0)))


def impute_in_rounds(writer: Writer) -> None:
    """`IterativeImputer`: its estimators in the order in which they were fitted, each over the values so far."""
    model = writer.model
    if model.sample_posterior:
        raise NotExportable("IterativeImputer with sample_posterior=True draws random numbers")
    if len(model.imputation_sequence_) > _MAX_IMPUTATIONS:
        raise NotExportable(f"IterativeImputer has {len(model.imputation_sequence_)} estimators in a row")
    kept = kept_features(model.initial_imputer_)
    rows = Lane(writer.rows, writer.element, None)
    everywhere = missing(writer, rows, model.missing_values)
    gaps = writer.columns(everywhere, kept)
    given = writer.columns(rows.name, kept)
    statistics = np.array([_number(_statistic(model.initial_imputer_, place)) for place in kept])
    filled = writer.node("Where", gaps, writer.numbers(statistics), given)
    columns = [writer.columns(filled, [place]) for place in range(len(kept))]
    holes = [writer.columns(gaps, [place]) for place in range(len(kept))]
    for step in model.imputation_sequence_:
        place = int(step.feat_idx)
        neighbours = joined(writer, [columns[int(other)] for other in step.neighbor_feat_idx])
        (answer,) = writer.ask(step.estimator, neighbours, len(step.neighbor_feat_idx))[:1]
        answer = writer.node("Reshape", answer, writer.constant(np.array([-1, 1], dtype=np.int64)))
        answer = clip(writer, answer, *_bounds(model, place))
        columns[place] = writer.node("Where", holes[place], answer, columns[place])
    writer.finish(0, joined(writer, columns + indicators(writer, everywhere)))


def _bounds(model: Any, place: int) -> tuple[float | None, float | None]:
    low, high = float(model._min_value[place]), float(model._max_value[place])
    return (low if np.isfinite(low) else None, high if np.isfinite(high) else None)
