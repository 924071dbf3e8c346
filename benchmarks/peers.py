"""The peers of the thread's benchmark: the plain export, and the classic Flask server, as their users run them."""

from __future__ import annotations

import sys
from pathlib import Path

PLAIN_EXPORT = """
import sys, joblib, numpy, skl2onnx
from onnx import helper
model = joblib.load(sys.argv[1])
features = len(model.feature_names_in_)
# without this, protobuf 7 refuses the booleans that skl2onnx writes for gradient boosting
make = helper.make_attribute
def whole(key, value, *rest, **more):
    if isinstance(value, (list, tuple, numpy.ndarray)) and len(value) and isinstance(value[0], (bool, numpy.bool_)):
        value = [int(v) for v in value]
    return make(key, value, *rest, **more)
helper.make_attribute = whole
rows = numpy.zeros((1, features), dtype=numpy.float32)
final = model.steps[-1][1] if hasattr(model, "steps") else model
options = {id(final): {"zipmap": False}} if hasattr(final, "classes_") else None
exported = skl2onnx.to_onnx(model, rows, options=options, target_opset={"": 18, "ai.onnx.ml": 3})
open(sys.argv[2], "wb").write(exported.SerializeToString())
"""

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
    return [sys.executable, "-W", "ignore", "-c", PLAIN_EXPORT, str(model), str(out)]


def flask_server(model: Path, port: int) -> list[str]:
    """The command that serves the pickle with Flask and waitress."""
    return [sys.executable, "-W", "ignore", "-c", FLASK_SERVER, str(model), str(port)]
