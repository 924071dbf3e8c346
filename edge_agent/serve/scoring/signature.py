"""`GET /signature`: what a model takes and gives, as MLflow writes it down, and what edgekit knows beyond that.

`signature` is what `mlflow.models.ModelSignature.to_dict` gives (its schemas are JSON texts inside JSON), so that
`ModelSignature.from_dict` reads it; `inputs` and `outputs` are the same columns with all that the manifest says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from edge_agent.serve.answers import AnswerForm
from edgekit.manifest import ClassValue, Dtype, Feature, Manifest, Output

_COLUMN_TYPES: dict[Dtype, str] = {
    "float32": "float",
    "float64": "double",
    "int64": "long",
    "bool": "boolean",
    "string": "string",
}
_CLASS_TYPES: tuple[tuple[type, str], ...] = ((bool, "bool"), (int, "int64"), (str, "str"), (float, "float64"))


def signature(manifest: Manifest) -> dict[str, Any]:
    """The document."""
    return {
        "model": f"{manifest.name}:{manifest.version}",
        "task": manifest.task,
        "signature": {
            "inputs": _text([_column(feature) for feature in manifest.inputs]),
            "outputs": _text([_predictions(manifest)]),
            "params": None,
        },
        "inputs": [_column(feature) | _facts(feature) for feature in manifest.inputs],
        "outputs": [msgspec.to_builtins(output) for output in manifest.outputs],
    }


def _column(feature: Feature) -> dict[str, Any]:
    """A `ColSpec`."""
    return {"type": _COLUMN_TYPES[feature.dtype], "name": feature.name, "required": not feature.nullable}


def _facts(feature: Feature) -> dict[str, Any]:
    return {
        "dtype": feature.dtype,
        "missing_allowed": feature.nullable,
        "empty_refused": feature.refuses_empty,
        "range": feature.range,
        "categories": feature.categories,
        "categories_closed": feature.closed,
        "unit": feature.unit,
    }


def _predictions(manifest: Manifest) -> dict[str, Any]:
    """A `TensorSpec` of what `predictions` holds."""
    form = AnswerForm(manifest)
    main = manifest.outputs[form.main]
    several = main.role == "label" and main.target_classes is not None
    flat = form.unwrap or (main.role == "label" and not several)
    return {
        "type": "tensor",
        "tensor-spec": {"dtype": _dtype(main), "shape": [-1] if flat else [-1, main.width]},
    }


def _dtype(output: Output) -> str:
    """numpy's name of the dtype; that of the classes where there are some, however the graph spells them."""
    classes = [*(output.classes or ()), *(value for target in output.target_classes or () for value in target)]
    if output.role == "label" and classes:
        return _common(classes)
    return {"string": "str"}.get(output.dtype, output.dtype)


def _common(classes: Sequence[ClassValue]) -> str:
    for kind, name in _CLASS_TYPES:
        if all(type(value) is kind for value in classes):
            return name
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in classes)
    return "float64" if numbers else "object"


def _text(schema: list[dict[str, Any]]) -> str:
    return json.dumps(schema)
