"""onnxruntime behind FastAPI. Run by uvicorn."""

from __future__ import annotations

from fastapi import FastAPI

from benchmarks.serving.apps import onnx_model

app = FastAPI()


@app.post("/predict")
async def predict(row: dict[str, float]) -> dict[str, object]:
    """`{"feature": value, …}` → label and probabilities; on the loop, which is faster than FastAPI's threads here."""
    return onnx_model.predict(row)
