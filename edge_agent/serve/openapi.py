"""`/openapi.json`: what this device answers, with the features of the models that it serves now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_agent.serve.explain.describing import PARAMETERS, with_explanations
from edge_agent.serve.v2 import description as v2
from edgekit import __version__
from edgekit.manifest import ClassValue, Dtype, Feature, Manifest, Output

_TYPES: dict[Dtype, str] = {
    "float32": "number",
    "float64": "number",
    "int64": "integer",
    "bool": "boolean",
    "string": "string",
}
_FAULT = {"$ref": "#/components/schemas/Fault"}
_REFUSALS: dict[str, str] = {
    "400": "The body is not JSON",
    "404": "No such model",
    "413": "The body is too large",
    "415": "The body is not declared as application/json, or its encoding is not read here",
    "422": "A feature is missing, unknown or of the wrong type",
    "503": "No model is installed yet, or several explanations are in line already",
}
_READS = {
    "/health": "The process lives; which models it serves",
    "/status": "Device, models, update in progress, outbox",
}


def document(manifests: Sequence[Manifest], *, several: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document. `several`: `/predict` needs a model's name."""
    paths: dict[str, Any] = {path: {"get": _get(text)} for path, text in _READS.items()}
    paths |= v2.fixed_paths()
    paths["/metrics"] = {"get": _get("Counters in Prometheus text form", "text/plain")}
    schemas: dict[str, Any] = {"Fault": _fault_schema()}
    for manifest in manifests:
        schemas[manifest.name] = row_schema(manifest)
        paths[f"/predict/{manifest.name}"] = {"post": _predict(manifest)}
        paths |= v2.model_paths(manifest)
    if manifests and not several:
        paths["/predict"] = {"post": _predict(manifests[0])}
    return {
        "openapi": "3.1.0",
        "info": {"title": "edgekit agent", "version": __version__},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": schemas},
    }


def row_schema(manifest: Manifest) -> dict[str, Any]:
    """JSON Schema of one row by feature name."""
    return {
        "type": "object",
        "properties": {feature.name: cell_schema(feature) for feature in manifest.inputs},
        "required": [feature.name for feature in manifest.inputs if not feature.nullable],
        "additionalProperties": False,
    }


def cell_schema(feature: Feature) -> dict[str, Any]:
    """JSON Schema of one value of a feature."""
    kind = _TYPES[feature.dtype]
    schema: dict[str, Any] = {"type": [kind, "null"] if feature.nullable else kind}
    if feature.closed and feature.categories is not None:
        schema["enum"] = [*feature.categories, *([None] if feature.nullable else [])]
    if feature.refuses_empty:
        schema["minLength"] = 1
    notes = [f"in {feature.unit}"] if feature.unit else []
    if feature.range is not None:
        notes.append(f"{feature.range[0]:g} to {feature.range[1]:g} in training")
    if notes:
        schema["description"] = ", ".join(notes)
    return schema


def answer_schema(manifest: Manifest) -> dict[str, Any]:
    """JSON Schema of the answer to one row (`prediction` and what belongs to it) or to several (their plurals)."""
    found = {output.role: output for output in manifest.outputs}
    main = _main(manifest)
    one: dict[str, Any] = {"prediction": prediction_schema(manifest)}
    shares = found.get("probabilities")
    if shares is not None:
        each = {"type": "object", "additionalProperties": {"type": "number"}}
        one["probabilities"] = each if shares.target_classes is None else _list_of(each, len(shares.target_classes))
    if "score" in found and found["score"] is not main:
        one["score"] = _prediction(found["score"])
    name = {"model": {"type": "string"}}
    plural = {"prediction": "predictions", "probabilities": "probabilities", "score": "scores"}
    many = {plural[word]: {"type": "array", "items": schema} for word, schema in one.items()}
    return {"oneOf": [_answer(one | name, "prediction"), _answer(many | name, "predictions")]}


def prediction_schema(manifest: Manifest) -> dict[str, Any]:
    """JSON Schema of the prediction for one row."""
    main = _main(manifest)
    row = _list_of({"type": "number"}, main.width)
    return row if manifest.task == "transformation" else _prediction(main)


def _main(manifest: Manifest) -> Output:
    found = {output.role: output for output in manifest.outputs}
    return next(found[role] for role in ("label", "value", "score", "probabilities") if role in found)


def _answer(properties: dict[str, Any], needed: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [needed, "model"]}


def _prediction(output: Output) -> dict[str, Any]:
    if output.role == "label" and output.target_classes is not None:
        every = [_one_of(classes) for classes in output.target_classes]
        return {"type": "array", "prefixItems": every, "minItems": len(every), "maxItems": len(every)}
    if output.role == "label":
        return _one_of(output.classes) if output.classes else {"type": _TYPES[output.dtype]}
    number = {"type": "number"}
    return number if output.width == 1 and output.role != "probabilities" else _list_of(number, output.width)


def _one_of(classes: Sequence[ClassValue]) -> dict[str, Any]:
    return {"enum": list(classes)}


def _list_of(schema: dict[str, Any], count: int) -> dict[str, Any]:
    return {"type": "array", "items": schema, "minItems": count, "maxItems": count}


def _predict(manifest: Manifest) -> dict[str, Any]:
    row = {"$ref": f"#/components/schemas/{manifest.name}"}
    body = {"oneOf": [row, {"type": "array", "items": row, "minItems": 1}]}
    described = _post(
        f"Predict one row or several with {manifest.name}", body, with_explanations(answer_schema(manifest), manifest)
    )
    return described | {"parameters": list(PARAMETERS)}


def _post(summary: str, body: dict[str, Any], answer: dict[str, Any] | None = None) -> dict[str, Any]:
    answers: dict[str, Any] = {"200": _content("The answer", answer or {"type": "object"})}
    answers |= {status: _content(text, _FAULT) for status, text in _REFUSALS.items()}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": answers,
    }


def _get(summary: str, media_type: str = "application/json") -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _content(summary, {}, media_type)}}


def _content(text: str, schema: dict[str, Any], media_type: str = "application/json") -> dict[str, Any]:
    return {"description": text, "content": {media_type: {"schema": schema}}}


def _fault_schema() -> dict[str, Any]:
    problem = {
        "type": "object",
        "required": ["feature", "problem", "expected", "got"],
        "properties": {
            **{name: {"type": "string"} for name in ("feature", "problem", "expected", "got")},
            "row": {"type": "integer"},
        },
    }
    return {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "string"},
            "reason": {"type": "string"},
            "detail": {"type": "array", "items": problem},
        },
    }
