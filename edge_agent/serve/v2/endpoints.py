"""The Open Inference Protocol, version 2, over REST, with the binary tensor data extension.

https://github.com/kserve/open-inference-protocol (specification/protocol/inference_rest.md). The protocol's errors are
`{"error": text}` with a 4xx status. What Triton's clients ask for beyond it is answered where that is useful on a
device (the repository's index), and refused with 501 and the reason where it is not.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

from edge_agent.serve.answering import Answering
from edge_agent.serve.answers import Answers
from edge_agent.serve.connection import Handler
from edge_agent.serve.inference import Predictor
from edge_agent.serve.message import JSON, Request, Response, answer, fault
from edge_agent.serve.rows import Batch
from edge_agent.serve.v2 import answer as answers
from edge_agent.serve.v2 import request as requests
from edge_agent.serve.v2.datatypes import OF_DTYPE
from edge_agent.serve.v2.tensors import Inputs
from edgekit import __version__
from edgekit.errors import NotFound

_JSON_LENGTH = requests.HEADER.lower().encode()
_ELSEWHERE = {
    "config": "the model's configuration is not offered: its inputs and outputs are told at /v2/models/{name}",
    "stats": "statistics are not offered here: read /metrics or /status",
    "trace": "tracing is not offered",
    "logging": "the log is not steered from here: see the agent's configuration",
    "load": "models are not loaded from here: they come as signed releases, by the fleet server's choice",
    "unload": "models are not unloaded from here: the device runs what its fleet server chose",
    "repository": "of the repository only its index is offered: POST /v2/repository/index",
    "systemsharedmemory": "shared memory is not offered: send and take the data in the body",
    "cudasharedmemory": "shared memory is not offered: send and take the data in the body",
}

Paths = dict[str, Handler]


def accepts(request: Request) -> bool:
    """True when a body of this content type may be one of the protocol's. Clients of Triton declare none; what a web
    page sends without one carries its origin, and a page shall not steer the device.
    """
    declared = request.media_type
    return declared in (JSON, answers.BINARY) or (not declared and b"origin" not in request.headers)


class V2:
    """The protocol's endpoints over the models that are being served."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._tensors: WeakKeyDictionary[Predictor, _Tensors] = WeakKeyDictionary()
        self._fixed: dict[str, Paths] = {
            "": {"GET": self._server},
            "health/live": {"GET": self._live},
            "health/ready": {"GET": self._ready},
            "repository/index": {"POST": self._index},
        }

    def paths(self, parts: list[str]) -> Paths | None:
        """Handler by method for the path `/v2/` and `parts`; None where the protocol has nothing."""
        return self._fixed.get("/".join(parts)) or self._named_paths(parts)

    def _named_paths(self, parts: list[str]) -> Paths | None:
        match parts:
            case ["models", "stats"] if not self._answering.models.known("stats"):
                return _refusals("stats")
            case ["models", name, "versions", version, *rest]:
                return self._model_paths(name, version, rest)
            case ["models", name, *rest]:
                return self._model_paths(name, None, rest)
            case ["repository", "models", _, "load" | "unload" as word]:
                return _refusals(word)
            case ["repository" | "trace" | "logging" | "systemsharedmemory" | "cudasharedmemory" as word, *_]:
                return _refusals(word)
        return None

    def _model_paths(self, name: str, version: str | None, rest: list[str]) -> Paths | None:
        match rest:
            case []:
                return {"GET": lambda _: self._model(name, version)}
            case ["ready"]:
                return {"GET": lambda _: self._model_ready(name, version)}
            case ["infer"]:
                return {"POST": lambda request: self._infer(request, name, version)}
            case ["config" | "stats" as word] | ["trace" as word, "setting"]:
                return _refusals(word, name)
        return None

    def _server(self, _: Request) -> Response:
        """`GET /v2`"""
        return answer({"name": "edgekit", "version": __version__, "extensions": ["binary_tensor_data"]})

    def _live(self, _: Request) -> Response:
        """`GET /v2/health/live`"""
        return answer({"live": True})

    def _ready(self, _: Request) -> Response:
        """`GET /v2/health/ready`: every model that the device is meant to serve is being served."""
        models = self._answering.models
        serving = {predictor.manifest.name for predictor in models.all()}
        ready = bool(serving) and serving >= set(models.configured)
        # The specification's text says `ready` and its example `live`: both are given.
        return answer({"ready": ready, "live": ready}, 200 if ready else 503)

    def _index(self, _: Request) -> Response:
        """`POST /v2/repository/index`: what is served, and what should be and is not yet."""
        models = self._answering.models
        serving = {predictor.manifest.name: predictor.manifest.version for predictor in models.all()}
        ready = [{"name": name, "version": serving[name], "state": "READY", "reason": ""} for name in serving]
        waiting = [name for name in models.configured if name not in serving]
        return answer(
            [*ready, *({"name": name, "state": "UNAVAILABLE", "reason": "not installed yet"} for name in waiting)]
        )

    def _model(self, name: str, version: str | None) -> Response:
        """`GET /v2/models/{name}[/versions/{version}]`"""
        predictor = self._find(name, version)
        manifest = predictor.manifest
        return answer(
            {
                "name": manifest.name,
                "versions": [manifest.version],
                "platform": "onnxruntime_onnx",
                "inputs": [
                    {
                        "name": tensor.name,
                        "datatype": OF_DTYPE[tensor.dtype].name,
                        "shape": [-1, len(tensor.features)],
                        "parameters": {"features": tensor.features},
                    }
                    for tensor in manifest.tensors
                ],
                "outputs": self._tensors_of(predictor).outputs.metadata(),
            }
        )

    def _model_ready(self, name: str, version: str | None) -> Response:
        """`GET /v2/models/{name}[/versions/{version}]/ready`"""
        return answer({"name": self._find(name, version).manifest.name, "ready": True})

    def _infer(self, request: Request, name: str, version: str | None) -> Response | Awaitable[Response]:
        """`POST /v2/models/{name}[/versions/{version}]/infer`"""
        predictor = self._find(name, version)
        exchange = _Exchange(self._tensors_of(predictor), request.headers.get(_JSON_LENGTH))
        return self._answering.answer(predictor, request, exchange.read, exchange.shape)

    def _tensors_of(self, predictor: Predictor) -> _Tensors:
        tensors = self._tensors.get(predictor)
        if tensors is None:
            manifest = predictor.manifest
            tensors = self._tensors[predictor] = _Tensors(Inputs(manifest, predictor.rows), answers.Outputs(manifest))
        return tensors

    def _find(self, name: str, version: str | None) -> Predictor:
        predictor = self._answering.find(name)
        if version not in (None, predictor.manifest.version):
            raise NotFound(
                f"version {str(version)[:64]!r} of {name} is not being served: {predictor.manifest.version} is"
            )
        return predictor


@dataclass(frozen=True)
class _Tensors:
    """What is made once for each model."""

    inputs: Inputs
    outputs: answers.Outputs


class _Exchange:
    """One `infer`: what was asked shapes what is answered."""

    def __init__(self, tensors: _Tensors, json_bytes: bytes | None) -> None:
        self._tensors, self._json_bytes = tensors, json_bytes

    def read(self, _: Predictor, body: bytes) -> Batch:
        self._asked = requests.read(body, self._json_bytes)
        self._tensors.outputs.check(self._asked)
        return self._tensors.inputs.rows(self._asked.tensors)

    def shape(self, _: Predictor, __: Batch, given: Answers) -> Response:
        return self._tensors.outputs.shape(self._asked, given)


def _refusals(word: str, name: str = "") -> Paths:
    """A refusal by whatever method. 501: the path is known, and means nothing here."""
    handler = partial(_refuse, _ELSEWHERE[word].format(name=name[:63]))
    return {"GET": handler, "POST": handler}


def _refuse(reason: str, _: Request) -> Response:
    return fault(501, reason)
