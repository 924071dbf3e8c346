"""Which path means what, and how a fault is told: the handler that `HttpServer` serves.

What a client did wrong is 4xx and names it; 500 is for a model or an agent that is broken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_agent.serve.answering import Answering, Meter, NoModel
from edge_agent.serve.connection import Handler
from edge_agent.serve.encodings import OFFERED, BodyTooLarge, EncodingRefused
from edge_agent.serve.explain.errors import ExplainingBusy, ExplanationRefused
from edge_agent.serve.explain.question import parse_query
from edge_agent.serve.message import JSON, Request, Response, answer, fault
from edge_agent.serve.models import Models
from edge_agent.serve.openapi import document
from edge_agent.serve.predict import predict
from edge_agent.serve.rows import RowsRefused
from edge_agent.serve.scoring.endpoints import Scoring, is_scoring, scoring_refusal
from edge_agent.serve.scoring.openapi import with_scoring
from edge_agent.serve.v2.answer import BINARY
from edge_agent.serve.v2.endpoints import V2, accepts
from edgekit.errors import Conflict, EdgekitError, MessageError, NotAllowed, NotFound, UsageFault

if TYPE_CHECKING:
    from edge_agent.serve.explain.answering import Explaining

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_RETRY_AFTER_S = "5"
_STATUS: tuple[tuple[type[EdgekitError], int], ...] = (
    (NoModel, 503),
    (ExplainingBusy, 503),
    (RowsRefused, 422),
    (BodyTooLarge, 413),
    (EncodingRefused, 415),
    (ExplanationRefused, 422),
    (MessageError, 400),
    (NotFound, 404),
    (Conflict, 409),
    (NotAllowed, 403),
    (UsageFault, 400),
)


def _no_history(_: str | None) -> dict[str, Any]:
    return {"slots": {}, "history": []}


@dataclass(frozen=True)
class Surroundings:
    """What the runtime lends to the routes. `status` returns what `GET /status` shows, `metrics` Prometheus text,
    `history` what the slots of a model (None: of all) went through, which may raise NotFound; `extra` adds handlers by
    (method, path), such as ("POST", "/admin/rollback").
    """

    meter: Meter
    status: Callable[[], dict[str, Any]]
    metrics: Callable[[], bytes]
    extra: Mapping[tuple[str, str], Handler] = field(default_factory=dict)
    history: Callable[[str | None], dict[str, Any]] = _no_history


class Routes:
    """Callable with a request; gives its answer, or the promise of one."""

    def __init__(self, models: Models, surroundings: Surroundings) -> None:
        self._models = models
        self._surroundings = surroundings
        self._answering = Answering(models, surroundings.meter)
        self._explaining: Explaining | None = None
        self._v2 = V2(self._answering)
        self._scoring = Scoring(self._answering)
        self._paths = self._fixed_paths()

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        try:
            result = self._dispatch(request)
        except EdgekitError as error:
            return _told(error, request)
        return result if isinstance(result, Response) else _guarded(result, request)

    def together(self, requests: Sequence[Request]) -> list[Response | None]:
        """The answers to single rows for the model without a name, from as few runs as possible."""
        responses: list[Response | None] = [None] * len(requests)
        places = [place for place, request in enumerate(requests) if _is_plain_prediction(request)]
        predictor = self._models.get()
        if predictor is not None and len(places) > 1:
            given = self._answering.together(predictor, [requests[place].body for place in places])
            for place, response in zip(places, given, strict=True):
                responses[place] = response
        return responses

    def close(self) -> None:
        """No more requests will come."""
        self._answering.close()
        if self._explaining is not None:
            self._explaining.close()

    def _fixed_paths(self) -> dict[str, dict[str, Handler]]:
        paths: dict[str, dict[str, Handler]] = {
            "/predict": {"POST": self._predict},
            "/health": {"GET": self._health},
            "/status": {"GET": lambda _: answer(self._surroundings.status())},
            "/metrics": {"GET": lambda _: Response(200, self._surroundings.metrics(), _METRICS_TYPE)},
            "/openapi.json": {"GET": self._openapi},
            "/version": {"GET": lambda _: self._scoring.version()},
            **{f"/{leaf}": methods for leaf, methods in self._leaves(None).items() if leaf != "health"},
        }
        for (method, path), handler in self._surroundings.extra.items():
            paths.setdefault(path, {})[method] = handler
        return paths

    def _dispatch(self, request: Request) -> Response | Awaitable[Response]:
        methods = self._paths.get(request.path) or self._model_paths(request.path)
        if methods is None:
            return fault(404, f"nothing is at {request.path[:100]}: see /openapi.json")
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
            refusal = fault(405, f"{request.method} is not allowed at {request.path[:100]}: use {allowed}")
            refusal.headers = (("Allow", allowed),)
            return refusal
        if request.method == "POST" and not _is_read(request):
            # Browsers send this type to other origins only after asking, so no web page can steer the device.
            more = f" (or {BINARY} with binary tensors)" if request.path.startswith("/v2/") else ""
            return fault(415, f"the body must be JSON: send the header Content-Type: application/json{more}")
        return handler(request)

    def _model_paths(self, path: str) -> dict[str, Handler] | None:
        """The paths that hold a model's name, and the Open Inference Protocol's."""
        match path.split("/")[1:]:
            case ["predict", name]:
                return {"POST": partial(self._predict, name=name)}
            case ["models", name, leaf]:
                return self._leaves(name).get(leaf)
            case ["v2", *parts]:
                return self._v2.paths(parts)
        return None

    def _leaves(self, name: str | None) -> dict[str, dict[str, Handler]]:
        """What can be asked of a model by name under `/models/{name}/`, and of the only one, or of all, at the top."""
        return {
            "invocations": {"POST": partial(self._scoring.invocations, name=name)},
            "ping": {"GET": lambda _: self._scoring.ping(name)},
            "health": {"GET": lambda _: self._scoring.ping(name)},
            "signature": {"GET": lambda _: self._scoring.signature(name)},
            "history": {"GET": lambda _: answer(self._surroundings.history(name))},
        }

    def _predict(self, request: Request, name: str | None = None) -> Response | Awaitable[Response]:
        asked = parse_query(request.query) if request.query else None
        if asked is None:
            return predict(self._answering, request, name)
        if self._explaining is None:
            from edge_agent.serve.explain.answering import Explaining  # most devices are never asked

            self._explaining = Explaining(self._answering, self._surroundings.meter)
        return self._explaining.explain(request, asked, name)

    def _health(self, _: Request) -> Response:
        serving = {predictor.manifest.name: predictor.manifest.version for predictor in self._models.all()}
        return answer({"status": "serving" if serving else "no_model", "models": serving})

    def _openapi(self, _: Request) -> Response:
        default = self._models.get()
        # The first one is what the paths without a name describe.
        models = sorted(self._models.all(), key=lambda predictor: predictor is not default)
        manifests, several = [predictor.manifest for predictor in models], default is None
        return answer(with_scoring(document(manifests, several=several), manifests, several=several))


def _is_plain_prediction(request: Request) -> bool:
    plain = request.path == "/predict" and not request.query and request.method == "POST"
    return plain and _is_json(request.media_type)


async def _guarded(promise: Awaitable[Response], request: Request) -> Response:
    try:
        return await promise
    except EdgekitError as error:
        return _told(error, request)


def _is_read(request: Request) -> bool:
    """True when the body's content type is one that is read at the path."""
    if is_scoring(request.path):
        return True  # it says itself what it reads
    return _is_json(request.media_type) or (request.path.startswith("/v2/") and accepts(request))


def _is_json(media_type: str) -> bool:
    return media_type == JSON or (media_type.startswith("application/") and media_type.endswith("+json"))


def _told(error: EdgekitError, request: Request) -> Response:
    """The refusal for an error."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if request.path.startswith("/v2/"):
        refusal = fault(400 if status == 422 else status, error.message)
    elif is_scoring(request.path):
        refusal = scoring_refusal(status, error)
    elif isinstance(error, RowsRefused):
        refusal = fault(status, error.message, reason=error.reason, detail=error.problems)
    else:
        refusal = fault(status, error.message, reason=error.reason)
    if status == 503:
        refusal.headers = (("Retry-After", _RETRY_AFTER_S),)
    elif isinstance(error, EncodingRefused):
        refusal.headers = (("Accept-Encoding", OFFERED),)
    return refusal
