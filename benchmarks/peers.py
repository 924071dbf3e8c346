"""The programs that benchmarks run beside ours, as their users would write them."""

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
