"""The programs that benchmarks run beside ours, as their users would write them, and our own server on its own."""

from __future__ import annotations

import sys
from pathlib import Path

_EXPORTING = Path(__file__).parent / "converting/exporting.py"

FLASK_SERVER = """
import sys, joblib, pandas, waitress
from flask import Flask, jsonify, request
model = joblib.load(sys.argv[1])
# one row at a time gains nothing from threads: the peer gets its best setting
model.set_params(**{name: 1 for name in model.get_params() if name.endswith("n_jobs")})
app = Flask("peer")
@app.post("/predict")
def predict():
    row = request.get_json()
    return jsonify(prediction=model.predict(pandas.DataFrame([row], columns=model.feature_names_in_))[0].item())
print('{"event": "ready"}', flush=True)
waitress.serve(app, host="127.0.0.1", port=int(sys.argv[2]), threads=4)
"""


def plain_export(model: Path, out: Path) -> list[str]:
    """The command that exports with skl2onnx alone."""
    return [sys.executable, "-W", "ignore", str(_EXPORTING), str(model), str(out)]


def flask_server(model: Path, port: int) -> list[str]:
    """The command that serves the pickle with Flask and waitress."""
    return [sys.executable, "-W", "ignore", "-c", FLASK_SERVER, str(model), str(port)]


# ---- the agent's benchmark: all of them answer one row of one ONNX file -----------------------------------------

_ORT = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
features, taken = sys.argv[3].split(","), session.get_inputs()[0].name
"""

AGENT_SERVER = """
import asyncio, sys
from pathlib import Path
from edge_agent.report.counters import Counters
from edge_agent.serve.http import Address, HttpServer
from edge_agent.serve.inference import Predictor
from edge_agent.serve.models import Models
from edge_agent.serve.routes import Routes, Surroundings
async def main():
    predictor = Predictor.open(Path(sys.argv[1]).parent, sha256="0" * 64)
    models = Models()
    models.swap(predictor.manifest.name, predictor)
    routes = Routes(models, Surroundings(Counters(), dict, bytes))
    await HttpServer(routes, Address(port=int(sys.argv[2]))).start()
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

ASGI_ORT_SERVER = (
    _ORT
    + """
import json, uvicorn
async def app(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    row = json.loads(body)
    given = session.run(None, {taken: numpy.array([[row[name] for name in features]], dtype=numpy.float32)})
    content = json.dumps({"prediction": given[0][0].item(), "probabilities": given[1][0].tolist()}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("ready", flush=True)
Server(uvicorn.Config(app, port=int(sys.argv[2]), lifespan="off", log_level="error", access_log=False)).run()
"""
)

FLASK_ORT_SERVER = (
    _ORT
    + """
import logging, waitress
from flask import Flask, jsonify, request
app = Flask("peer")
@app.post("/predict")
def predict():
    row = request.get_json()
    given = session.run(None, {taken: numpy.array([[row[name] for name in features]], dtype=numpy.float32)})
    return jsonify(prediction=given[0][0].item(), probabilities=given[1][0].tolist())
server = waitress.create_server(app, host="127.0.0.1", port=int(sys.argv[2]), threads=4)
logging.getLogger("waitress.queue").setLevel("ERROR")
print("ready", flush=True)
server.run()
"""
)


def onnx_server(program: str, model: Path, port: int, features: list[str]) -> list[str]:
    """The command that serves the ONNX file `model` with one of the programs above, which print `ready`."""
    return [sys.executable, "-W", "ignore", "-c", program, str(model), str(port), ",".join(features)]
