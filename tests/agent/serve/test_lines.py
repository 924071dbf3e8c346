"""A line is the answer that `Answers.single` shapes, in fewer steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edge_agent.serve.answers import AnswerForm
from edge_agent.serve.inference import Predictor
from edge_agent.serve.lines import LineForm
from edge_agent.serve.rows import Row
from tests.support.models import make_bundle, make_flag_bundle, make_mixed_bundle, make_text_bundle
from tests.support.serving import predictor_of

ROWS: list[Row] = [(0.0, 0.0, 0.0), (1.5, -2.25, 3.0), (-4.0, 8.0, 0.5)]


def single(predictor: Predictor, row: Row) -> Any:
    return predictor.run([row]).single() | {"model": predictor.label}


@pytest.mark.parametrize("make", [make_bundle, make_text_bundle, make_flag_bundle])
def test_a_line_says_what_single_says(make: Callable[[], bytes]) -> None:
    predictor = predictor_of(make())
    lines = predictor.lines(ROWS)
    assert [msgspec.json.decode(line) for line in lines] == [single(predictor, row) for row in ROWS]
    assert list(json.loads(lines[0])) == list(single(predictor, ROWS[0]))


def test_a_model_that_is_not_bound_gives_lines_too() -> None:
    predictor = predictor_of(make_mixed_bundle())
    row = predictor.rows.from_values(
        {"temperature": 20, "cycles": 3, "mode": "eco", "running": True, "site": "north"}
    ).rows
    assert [json.loads(line) for line in predictor.lines(row)] == [single(predictor, row[0])]


@pytest.mark.parametrize("classes", [['with "quotes"', "plain"], ["back\\slash", "\n"], ["1", 1]])
def test_classes_that_no_field_can_be_named_after_are_still_keys(classes: list[Any]) -> None:
    manifest = predictor_of(make_text_bundle()).manifest
    outputs = [
        msgspec.structs.replace(output, classes=classes, width=2) if output.role == "probabilities" else output
        for output in manifest.outputs
    ]
    form = AnswerForm(msgspec.structs.replace(manifest, outputs=outputs))
    columns = [["a"] if output.role == "label" else [[0.25, 0.75]] for output in outputs]
    found = json.loads(LineForm(form, "m:1.0.0").line(columns, 0))
    assert found["probabilities"] == dict(zip(map(str, classes), [0.25, 0.75], strict=True))


def test_a_number_that_is_none_is_null() -> None:
    form = AnswerForm(predictor_of(make_bundle()).manifest)
    columns = [[1] if output.role == "label" else [[float("nan"), 1.0]] for output in form.outputs]
    assert list(json.loads(LineForm(form, "m:1.0.0").line(columns, 0))["probabilities"].values()) == [None, 1.0]
