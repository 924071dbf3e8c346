"""onnxruntime behind nothing but ASGI: the least that a Python web server costs. Run by uvicorn."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.serving.apps import onnx_model

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(_: dict[str, Any], receive: Receive, send: Send) -> None:
    """`{"feature": value, …}` → label and probabilities, whatever the path."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    content = json.dumps(onnx_model.predict(json.loads(body))).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
