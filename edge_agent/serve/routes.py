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
from edge_agent.serve.explain.errors import ExplainingBusy, ExplanationRefused
from edge_agent.serve.explain.question import parse_query
from edge_agent.serve.message import JSON, Request, Response, answer, fault
from edge_agent.serve.models import Models
from edge_agent.serve.openapi import document
from edge_agent.serve.predict import predict
from edge_agent.serve.rows import RowsRefused
from edge_agent.serve.v2 import V2
from edgekit.errors import Conflict, EdgekitError, MessageError, NotAllowed, NotFound, UsageFault

if TYPE_CHECKING:
    from edge_agent.serve.explain.answering import Explaining

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_RETRY_AFTER_S = "5"
_STATUS: tuple[tuple[type[EdgekitError], int], ...] = (
    (NoModel, 503),
    (ExplainingBusy, 503),
    (RowsRefused, 422),
    (ExplanationRefused, 422),
    (MessageError, 400),
    (NotFound, 404),
    (Conflict, 409),
    (NotAllowed, 403),
    (UsageFault, 400),
)


@dataclass(frozen=True)
class Surroundings:
    """What the runtime lends to the routes. `status` returns what `GET /status` shows, `metrics` Prometheus text;
    `extra` adds handlers by (method, path), such as ("POST", "/admin/rollback").
    """

    meter: Meter
    status: Callable[[], dict[str, Any]]
    metrics: Callable[[], bytes]
    extra: Mapping[tuple[str, str], Handler] = field(default_factory=dict)


class Routes:
    """Callable with a request; gives its answer, or the promise of one."""

    def __init__(self, models: Models, surroundings: Surroundings) -> None:
        self._models = models
        self._surroundings = surroundings
        self._answering = Answering(models, surroundings.meter)
        self._explaining: Explaining | None = None
        self._v2 = V2(self._answering)
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
            "/v2": {"GET": self._v2.server},
            "/v2/health/live": {"GET": self._v2.live},
            "/v2/health/ready": {"GET": self._v2.ready},
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
        if request.method == "POST" and not _is_json(request.media_type):
            # Browsers send this type to other origins only after asking, so no web page can steer the device.
            return fault(415, "the body must be JSON: send the header Content-Type: application/json")
        return handler(request)

    def _model_paths(self, path: str) -> dict[str, Handler] | None:
        """The paths that hold a model's name."""
        match path.split("/")[1:]:
            case ["predict", name]:
                return {"POST": partial(self._predict, name=name)}
            case ["v2", "models", name, "versions", version, *rest]:
                return self._v2_paths(name, version, rest)
            case ["v2", "models", name, *rest]:
                return self._v2_paths(name, None, rest)
        return None

    def _v2_paths(self, name: str, version: str | None, rest: list[str]) -> dict[str, Handler] | None:
        match rest:
            case []:
                return {"GET": lambda _: self._v2.model(name, version)}
            case ["ready"]:
                return {"GET": lambda _: self._v2.model_ready(name, version)}
            case ["infer"]:
                return {"POST": lambda request: self._v2.infer(request, name, version)}
        return None

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
        manifests = [predictor.manifest for predictor in self._models.all()]
        return answer(document(manifests, several=self._models.get() is None))


def _is_plain_prediction(request: Request) -> bool:
    plain = request.path == "/predict" and not request.query and request.method == "POST"
    return plain and _is_json(request.media_type)


async def _guarded(promise: Awaitable[Response], request: Request) -> Response:
    try:
        return await promise
    except EdgekitError as error:
        return _told(error, request)


def _is_json(media_type: str) -> bool:
    return media_type == JSON or (media_type.startswith("application/") and media_type.endswith("+json"))


def _told(error: EdgekitError, request: Request) -> Response:
    """The refusal for an error."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if request.path.startswith("/v2/"):
        refusal = fault(400 if status == 422 else status, error.message)
    elif isinstance(error, RowsRefused):
        refusal = fault(status, error.message, reason=error.reason, detail=error.problems)
    else:
        refusal = fault(status, error.message, reason=error.reason)
    if status == 503:
        refusal.headers = (("Retry-After", _RETRY_AFTER_S),)
    return refusal
