"""Inference without HTTP, in a process of its own: each line on standard input says for how many seconds
it measures; then it prints JSON.

`MODEL`: the ONNX file in its expanded bundle. `BODY`: the request's body.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from edge_agent.report.counters import Counters
from edge_agent.serve.answering import Answering
from edge_agent.serve.inference import Predictor
from edge_agent.serve.models import Models

_BLOCK = 100


def main() -> None:
    """Body to answer as the agent does it, beside a plain `session.run` of the same row."""
    path, body = Path(os.environ["MODEL"]), os.environ["BODY"].encode()
    plain, whole = _session_run(path, body), _body_to_answer(path, body)
    for line in sys.stdin:
        ends = time.perf_counter() + float(line)
        figures: list[tuple[float, float]] = []
        while not figures or time.perf_counter() < ends:
            figures.append((_block_us(plain), _block_us(whole)))
        theirs, ours = (statistics.median(column) for column in zip(*figures, strict=True))
        print(json.dumps({"session_run_us": theirs, "body_to_answer_us": ours}), flush=True)


def _session_run(path: Path, body: bytes) -> Callable[[], object]:
    """What everybody calls, with the tensor made beforehand."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    row = np.array([list(json.loads(body).values())], dtype=np.float32)
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: row})


def _body_to_answer(path: Path, body: bytes) -> Callable[[], object]:
    """The bytes of the body to the bytes of the answer, counted for the health report."""
    predictor = Predictor.open(path.parent, sha256="0" * 64)
    models = Models()
    models.swap(predictor.manifest.name, predictor)
    answering = Answering(models, Counters())
    return lambda: answering.at_once(predictor, body)


def _block_us(call: Callable[[], object]) -> float:
    started = time.perf_counter_ns()
    for _ in range(_BLOCK):
        call()
    return (time.perf_counter_ns() - started) / _BLOCK / 1000


if __name__ == "__main__":
    main()
