"""MLflow's scoring server, as far as a device is one: `/invocations`, `/ping`, `/version`; and `/signature`.

Requests and answers are those of MLflow 2 and 3, so that a client of theirs needs only another address. Refusals carry
MLflow's `error_code` and `message` beside what every refusal of an agent says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edge_agent.serve.answering import Answering
from edge_agent.serve.answers import Answers
from edge_agent.serve.inference import Predictor
from edge_agent.serve.message import JSON, Request, Response, answer
from edge_agent.serve.rows import Batch, RowReader, RowsRefused
from edge_agent.serve.scoring.forms import from_scoring_json
from edge_agent.serve.scoring.signature import signature
from edge_agent.serve.scoring.tables import TooManyRows
from edgekit import __version__
from edgekit.errors import EdgekitError

CSV = "text/csv"
_TEXT = "text/plain; charset=utf-8"
# Measured: a cell of CSV takes 2 µs to read, one of a table in JSON 1 µs, ten times that of a plain list of rows.
_ON_LOOP_BODY_BYTES = 4 << 10
# Words of mlflow.exceptions.
_ERROR_CODES = {404: "RESOURCE_DOES_NOT_EXIST", 500: "INTERNAL_ERROR", 503: "TEMPORARILY_UNAVAILABLE"}
_BAD_REQUEST = "BAD_REQUEST"


class Scoring:
    """The protocol's endpoints over the models that are being served."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def invocations(self, request: Request, name: str | None = None) -> Response | Awaitable[Response]:
        """`POST /invocations`, `POST /models/{name}/invocations`"""
        read = _reading(request.headers.get(b"content-type", b""))
        if isinstance(read, str):
            return _refusal(415, read, reason="unsupported_content_type")
        return self._answering.answer(
            self._answering.find(name),
            request,
            lambda predictor, body: read(predictor.rows, body),
            _shape,
            on_loop_bytes=_ON_LOOP_BODY_BYTES,
        )

    def ping(self, name: str | None = None) -> Response:
        """`GET /ping`: 200 when the model (without a name: any model) is being served. Raises NotFound, NoModel."""
        if name is not None or not self._answering.models.all():
            self._answering.find(name)
        return Response(200, b"\n", _TEXT)

    def version(self) -> Response:
        """`GET /version`: that of edgekit, as MLflow tells its own: the bare word."""
        return Response(200, __version__.encode(), _TEXT)

    def signature(self, name: str | None = None) -> Response:
        """`GET /signature`. Raises NotFound, NoModel."""
        return answer(signature(self._answering.find(name).manifest))


def is_scoring(path: str) -> bool:
    """True for the paths whose bodies and refusals follow MLflow."""
    return path == "/invocations" or (path.startswith("/models/") and path.endswith("/invocations"))


def scoring_refusal(status: int, error: EdgekitError) -> Response:
    """How an error is told on these paths; `status` is what it is elsewhere."""
    if isinstance(error, RowsRefused):
        told = 413 if isinstance(error, TooManyRows) else 400
        return _refusal(told, error.message, reason=error.reason, detail=error.problems)
    return _refusal(status, error.message, reason=error.reason)


def _refusal(status: int, message: str, **more: object) -> Response:
    code = _ERROR_CODES.get(status, _BAD_REQUEST)
    return answer({"error": message, "error_code": code, "message": message, **more}, status)


def _reading(content_type: bytes) -> Callable[[RowReader, bytes], Batch] | str:
    """How a body of that content type is read, or why it is not."""
    kind, *pairs = (part.strip() for part in content_type.decode("latin-1").split(";"))
    for pair in filter(None, pairs):
        name, _, value = pair.partition("=")
        if name.strip().lower() != "charset":
            return f"the content type's parameter {name.strip()[:40]!r} is not known: leave it out"
        if value.strip().strip('"').lower() not in ("utf-8", "utf8"):
            return f"the body must be UTF-8, not {value.strip()[:40]!r}"
    match kind.lower():
        case "application/json":
            return from_scoring_json
        case "text/csv":
            from edge_agent.serve.scoring.delimited import from_csv

            return from_csv
    return f"the body must be JSON or CSV: send the header Content-Type: {JSON} or {CSV}"


def _shape(_: Predictor, __: Batch, answers: Answers) -> dict[str, object]:
    return {"predictions": answers.predictions()}
