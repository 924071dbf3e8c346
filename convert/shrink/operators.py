"""onnxruntime's integer operators for matrix products: `dynamic` scales rows as they come, `static` by calibration."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

Feeds = Mapping[str, NDArray[Any]]


def quantize_dynamically(model: ModelProto) -> ModelProto:
    """Weights as int8 per column, rows scaled at run time. Raises what onnxruntime raises."""
    with _folder() as (given, made), _quiet():
        onnx.save(model, given)
        quantize_dynamic(given, made, per_channel=True, weight_type=QuantType.QInt8)
        return onnx.load(made)


def quantize_statically(model: ModelProto, batches: Sequence[Feeds]) -> ModelProto:
    """Weights as int8 per column, rows scaled by what these batches showed. Raises what onnxruntime raises."""
    with _folder() as (given, made), _quiet():
        onnx.save(model, given)
        quantize_static(
            given,
            made,
            _Batches(batches),
            quant_format=QuantFormat.QOperator,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        return onnx.load(made)


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    """What onnxruntime asks for rows to calibrate on."""

    def __init__(self, batches: Sequence[Feeds]) -> None:
        self._rest = iter([{name: np.asarray(rows) for name, rows in batch.items()} for batch in batches])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._rest, None)


@contextmanager
def _folder() -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory(prefix="edgekit-quantize-") as name:
        yield str(Path(name) / "given.onnx"), str(Path(name) / "made.onnx")


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser logs advice to the root logger, and warns."""
    logger = logging.getLogger()
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before
