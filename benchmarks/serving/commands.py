"""How each peer is started for a model: the classic and the quick ways to serve a model from Python."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.serving import mlserver
from benchmarks.serving.lanes import Asked
from benchmarks.serving.samples import Sample
from benchmarks.serving.servers import Command
from examples.demo.workshop import free_port

PYTHON = (sys.executable, "-W", "ignore", "-m")
FLASK_SKLEARN = "Flask + gunicorn + scikit-learn"
FLASK_ONNX = "Flask + gunicorn + onnxruntime"
FASTAPI_ONNX = "FastAPI + uvicorn + onnxruntime"
ASGI_ONNX = "bare ASGI on uvicorn + onnxruntime"
MLSERVER = "MLServer + scikit-learn"
FLASK_WAITRESS = "Flask + waitress + scikit-learn"
_APPS = "benchmarks.serving.apps"


def peers(sample: Sample) -> dict[str, Command]:
    """The servers that are compared by what a request costs them. MLServer has an environment of its own."""
    return {
        FLASK_SKLEARN: gunicorn("flask_sklearn", sample, sample.pickle),
        FLASK_ONNX: gunicorn("flask_onnx", sample, sample.onnx),
        FASTAPI_ONNX: _uvicorn("fastapi_onnx", sample),
        ASGI_ONNX: _uvicorn("asgi_onnx", sample),
    }


def gunicorn(app: str, sample: Sample, model: Path) -> Command:
    """One worker, as in the first example of everybody."""
    port = free_port()
    words = [*PYTHON, "gunicorn", "-w1", "-b", f"127.0.0.1:{port}", "--log-level", "critical", f"{_APPS}.{app}:app"]
    return Command(words, port, Asked.post("/predict", sample.body), _environ(sample, model))


def waitress(sample: Sample) -> Command:
    """The same in one process."""
    port = free_port()
    environ = {**_environ(sample, sample.pickle), "PORT": str(port)}
    return Command([*PYTHON, f"{_APPS}.waitress_server"], port, Asked.post("/predict", sample.body), environ)


def trivial(sample: Sample, answer_bytes: int) -> Command:
    """The responder that shows what the load generator can reach, with answers of that size."""
    port, asked = free_port(), Asked.post("/predict", sample.body)
    environ = {"PORT": str(port), "ANSWER_BYTES": str(answer_bytes)}
    return Command([*PYTHON, f"{_APPS}.trivial"], port, asked, environ)


def mlserver_command(sample: Sample, home: mlserver.Home, parent: Path) -> Command:
    """MLServer with its own client's request, in one process, since its workers cost more for one row."""
    folder, port = parent / f"mlserver-{sample.name}", free_port()
    mlserver.write_settings(folder, sample.name, sample.pickle, (port, free_port(), free_port()))
    tensor = {"name": "predict", "shape": [1, len(sample.row)], "datatype": "FP64", "data": [*sample.row.values()]}
    body = json.dumps({"inputs": [tensor]}).encode()
    asked = Asked.post(f"/v2/models/{sample.name}/infer", body, b'"outputs"')
    return Command([str(home.program), "start", str(folder)], port, asked)


def _uvicorn(app: str, sample: Sample) -> Command:
    port = free_port()
    words = [
        *PYTHON,
        "uvicorn",
        "--port",
        str(port),
        "--log-level",
        "critical",
        "--no-access-log",
        f"{_APPS}.{app}:app",
    ]
    return Command(words, port, Asked.post("/predict", sample.body), _environ(sample, sample.onnx))


def _environ(sample: Sample, model: Path) -> Mapping[str, str]:
    return {"MODEL": str(model), "FEATURES": ",".join(sample.features)}
