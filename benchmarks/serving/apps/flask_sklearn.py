"""The classic: the pickle behind Flask. Run as `gunicorn -w1` or by waitress."""

from __future__ import annotations

import os

import joblib
import numpy as np
from flask import Flask, Response, jsonify, request

FEATURES = os.environ["FEATURES"].split(",")
model = joblib.load(os.environ["MODEL"])
app = Flask("peer")


@app.post("/predict")
def predict() -> Response:
    """`{"feature": value, …}` → `{"prediction": label}`; cheaper for scikit-learn than a DataFrame with names."""
    row = request.get_json()
    return jsonify(prediction=model.predict(np.array([[row[name] for name in FEATURES]]))[0].item())
