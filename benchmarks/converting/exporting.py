"""The plain export: one call of skl2onnx with its best settings for today's libraries, and nothing of edgekit.

Operator sets are pinned and ZipMap is off. protobuf 7 refuses the booleans that skl2onnx writes for gradient boosting:
they are made integers on the way. As a program (`exporting.py MODEL OUT`) it exports a joblib file whose model was
fitted with a DataFrame.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx.helper
import skl2onnx
import skl2onnx.common._container as container
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import is_classifier

OPSETS = {"": 18, "ai.onnx.ml": 3}
_make_attribute = onnx.helper.make_attribute


def export(model: Any, inputs: list[tuple[str, Any]], options: dict[str, Any] | None = None) -> bytes:
    """The plain export's bytes. `options` are those of the converter of the model's last step. Raises what skl2onnx
    raises.
    """
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    with _whole_numbers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        words: dict[str, Any] = {"initial_types": inputs, "target_opset": OPSETS}
        known = {id(last): dict(options or {})}
        if not is_classifier(model):
            return bytes(skl2onnx.convert_sklearn(model, **words, options=known).SerializeToString())
        try:
            made = skl2onnx.convert_sklearn(model, **words, options={id(last): known[id(last)] | {"zipmap": False}})
        except NameError:  # a few classifiers know no such option
            made = skl2onnx.convert_sklearn(model, **words, options=known)
        return bytes(made.SerializeToString())


@contextmanager
def _whole_numbers() -> Iterator[None]:
    def make(key: str, value: Any, *rest: Any, **words: Any) -> Any:
        if isinstance(value, list | tuple | np.ndarray):
            value = [int(one) if isinstance(one, bool | np.bool_) else one for one in value]
        return _make_attribute(key, value, *rest, **words)

    places: tuple[Any, ...] = (onnx.helper, container)
    originals = [(place, place.make_attribute) for place in places]
    for place, _ in originals:
        place.make_attribute = make
    try:
        yield
    finally:
        for place, original in originals:
            place.make_attribute = original


def matrix_type(columns: int) -> list[tuple[str, Any]]:
    """The inputs of a model over a float32 matrix."""
    return [("X", FloatTensorType([None, columns]))]


def main(model: str, out: str) -> None:
    """Export the model of a file."""
    loaded = joblib.load(model)
    Path(out).write_bytes(export(loaded, matrix_type(len(loaded.feature_names_in_))))


if __name__ == "__main__":
    main(*sys.argv[1:])
