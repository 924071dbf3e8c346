"""Which number of an answer is explained, for every kind of model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from edge_agent.serve.explain.errors import ExplanationRefused
from edge_agent.serve.explain.question import Question, Subject, subject
from edgekit import bundle as bundles
from edgekit.manifest import Manifest, Output, Task
from tests.support.models import make_bundle

LABEL = Output(name="label", role="label", dtype="int64")


def shares(classes: Sequence[Any] | None, width: int) -> Output:
    named = None if classes is None else list(classes)
    return Output(name="p", role="probabilities", dtype="float32", width=width, classes=named)


def numbers(role: Any, width: int = 1) -> Output:
    return Output(name="n", role=role, dtype="float32", width=width)


def told(classes: Sequence[Any]) -> Output:
    return msgspec.structs.replace(LABEL, classes=list(classes))


SEVERAL = [
    Output(name="label", role="label", dtype="int64", width=2, target_classes=[[0, 1], [5, 6, 7]]),
    Output(name="p", role="probabilities", dtype="float32", width=5, target_classes=[[0, 1], [5, 6, 7]]),
]


def manifest(task: Task, outputs: list[Output]) -> Manifest:
    return msgspec.structs.replace(bundles.parse(make_bundle()).manifest, task=task, outputs=outputs)


@pytest.mark.parametrize(
    ("task", "outputs", "predicted", "asked", "expected"),
    [
        ("binary", [LABEL, shares([False, True], 2)], True, Question(), Subject("p", 1, "probability", True)),
        (
            "binary",
            [LABEL, shares([False, True], 2)],
            True,
            Question(label="false"),
            Subject("p", 0, "probability", False),
        ),
        ("clustering", [LABEL, shares(None, 4)], 2, Question(), Subject("p", 2, "probability", 2)),
        ("regression", [numbers("value")], 7.5, Question(), Subject("n", 0, "value")),
        ("regression", [numbers("value", 3)], [1, 2, 3], Question(target=1), Subject("n", 1, "value", None, 1)),
        ("anomaly", [LABEL, numbers("score")], -1, Question(), Subject("n", 0, "score")),
        ("binary", [told("ab"), numbers("score")], "a", Question(), Subject("n", 0, "score", "b")),
        ("multiclass", [told("abc"), numbers("score", 3)], "c", Question(), Subject("n", 2, "score", "c")),
        ("multioutput", SEVERAL, [1, 6], Question(target=1), Subject("p", 3, "probability", 6, 1)),
        ("multioutput", SEVERAL, [1, 6], Question(target=1, label="7"), Subject("p", 4, "probability", 7, 1)),
    ],
    ids=[
        "predicted class",
        "another class",
        "cluster",
        "value",
        "one of several values",
        "outlier score",
        "score of two classes",
        "score of three classes",
        "one of several targets",
        "another class of a target",
    ],
)
def test_what_is_explained(
    task: Task, outputs: list[Output], predicted: object, asked: Question, expected: Subject
) -> None:
    assert subject(manifest(task, outputs), predicted, asked) == expected


@pytest.mark.parametrize(
    ("task", "outputs", "asked", "words"),
    [
        ("clustering", [LABEL], Question(), "labels only"),
        ("regression", [numbers("value", 3)], Question(), "target=0 to target=2"),
        ("regression", [numbers("value")], Question(label="1"), "no classes"),
        ("multioutput", SEVERAL, Question(), "target=0 to target=1"),
        ("binary", [told("ab"), numbers("score")], Question(label="a"), "speaks for b"),
        ("multiclass", [told("abc"), numbers("score", 3)], Question(label="d"), "there is a, b, c"),
        ("multiclass", [told("abcd"), numbers("score", 6)], Question(), "pairs of classes"),
    ],
)
def test_what_cannot_be_explained_is_told(task: Task, outputs: list[Output], asked: Question, words: str) -> None:
    with pytest.raises(ExplanationRefused, match=words):
        subject(manifest(task, outputs), [0, 5] if outputs is SEVERAL else "a", asked)
