"""`POST /predict` and `POST /predict/{model}`: `{"feature": value}` → `{"prediction": y}`, by name; lists too."""

from __future__ import annotations

from collections.abc import Awaitable

from edge_agent.serve.answering import Answering
from edge_agent.serve.answers import Answers
from edge_agent.serve.inference import Predictor
from edge_agent.serve.message import Request, Response
from edge_agent.serve.rows import Batch


def predict(answering: Answering, request: Request, name: str | None = None) -> Response | Awaitable[Response]:
    """Answer with the model of that name, or with the only one."""
    predictor = answering.find(name)
    return answering.at_once(predictor, request.body) or answering.answer(predictor, request, _read, shape)


def _read(predictor: Predictor, body: bytes) -> Batch:
    return predictor.rows.from_json(body)


def shape(predictor: Predictor, batch: Batch, answers: Answers) -> dict[str, object]:
    """The answer to one row, or to a list of them."""
    if not batch.many:
        return answers.single() | {"model": predictor.label}
    scores = answers.scores()
    shaped: dict[str, object] = {"predictions": answers.predictions()}
    for shares in (answers.probabilities(), answers.target_probabilities()):
        if shares is not None:
            shaped["probabilities"] = shares
    if scores is not None:
        shaped["scores"] = scores
    shaped["model"] = predictor.label
    return shaped
