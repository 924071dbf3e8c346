"""The same ONNX file as the agent's, in a plain onnxruntime session, for the servers that are not ours."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import onnxruntime

FEATURES = os.environ["FEATURES"].split(",")
_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = _options.inter_op_num_threads = 1  # the peers' best setting for one row
_session = onnxruntime.InferenceSession(os.environ["MODEL"], _options, providers=["CPUExecutionProvider"])
_taken = _session.get_inputs()[0].name


def predict(row: Mapping[str, float]) -> dict[str, object]:
    """Label and probabilities."""
    given = _session.run(None, {_taken: np.array([[row[name] for name in FEATURES]], dtype=np.float32)})
    return {"prediction": given[0][0].item(), "probabilities": given[1][0].tolist()}
