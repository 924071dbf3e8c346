"""onnxruntime behind Flask. Run as `gunicorn -w1`."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

from benchmarks.serving.apps import onnx_model

app = Flask("peer")


@app.post("/predict")
def predict() -> Response:
    """`{"feature": value, …}` → label and probabilities."""
    return jsonify(onnx_model.predict(request.get_json()))
