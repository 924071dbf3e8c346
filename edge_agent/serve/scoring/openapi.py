"""The part of `/openapi.json` about MLflow's protocol, signatures and history, with examples that can be sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_agent.serve.answers import spell_class
from edge_agent.serve.openapi import cell_schema, prediction_schema
from edge_agent.serve.scoring.tables import MAX_ROWS
from edgekit import __version__
from edgekit.manifest import Dtype, Feature, Manifest

_TEXT = "text/plain"
_JSON = "application/json"
_PLAIN: dict[Dtype, Any] = {"float32": 0.5, "float64": 0.5, "int64": 1, "bool": True, "string": "text"}
_REFUSALS: dict[str, str] = {
    "400": "The body is not JSON or CSV, has not exactly one of the four fields, or does not fit the model",
    "404": "No such model",
    "413": f"The body is too large, or holds more than {MAX_ROWS} rows",
    "415": "The body is declared as neither application/json nor text/csv in UTF-8",
    "500": "The model failed",
    "503": "No model is installed yet",
}


def with_scoring(document: dict[str, Any], manifests: Sequence[Manifest], *, several: bool) -> dict[str, Any]:
    """The document with these paths added. `several`: those without a name are not for the first model."""
    paths: dict[str, Any] = dict(document["paths"])
    paths["/version"] = {"get": _get("The version of edgekit", {"type": "string"}, _TEXT, __version__)}
    paths["/openapi.json"] = {"get": _get("This document", {"type": "object"})}
    paths["/ping"] = {"get": _ping("a model", "503")}
    paths["/history"] = {"get": _get("What the slots went through, newest first", _ref("History"))}
    for manifest in manifests:
        paths |= _of_model(manifest, f"/models/{manifest.name}")
        paths[f"/models/{manifest.name}/health"] = {"get": _ping(manifest.name, "404", "503")}
    if manifests and not several:
        own = _of_model(manifests[0], "")
        paths |= {path: own[path] for path in ("/invocations", "/signature")}
    components = document["components"]
    schemas = {**components["schemas"], "ScoringFault": _fault(components), "Signature": _signature(), **_history()}
    return {**document, "paths": dict(sorted(paths.items())), "components": {**components, "schemas": schemas}}


def _of_model(manifest: Manifest, prefix: str) -> dict[str, Any]:
    signature = _get(f"Inputs and outputs of {manifest.name}, in MLflow's form and edgekit's", _ref("Signature"))
    past = _get(f"What the slots of {manifest.name} went through, newest first", _ref("History"))
    return {
        f"{prefix}/invocations": {"post": _invocations(manifest)},
        f"{prefix}/ping": {"get": _ping(manifest.name, "404", "503")},
        f"{prefix}/signature": {"get": _with_refusals(signature, "404", "503")},
        f"{prefix}/history": {"get": _with_refusals(past, "404")},
    }


# ---- /invocations -------------------------------------------------------------------------------------------------


def _invocations(manifest: Manifest) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"params": {"type": ["object", "null"], "description": "has no effect"}},
        "oneOf": [
            {"required": [form], "properties": {form: rows}}
            for form, rows in (
                ("dataframe_split", _split(manifest)),
                ("dataframe_records", _many(_ref(manifest.name))),
                ("instances", _tensors(manifest)),
                ("inputs", _tensors(manifest)),
            )
        ],
    }
    predictions = {"type": "array", "items": prediction_schema(manifest), "minItems": 1}
    answer = {"type": "object", "properties": {"predictions": predictions}, "required": ["predictions"]}
    answers = {"200": _content("One prediction a row", answer | {"additionalProperties": False})}
    answers |= {status: _content(text, _refused(status)) for status, text in _REFUSALS.items()}
    return {
        "summary": f"Predict with {manifest.name} (MLflow's scoring protocol)",
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {"schema": schema, "examples": _examples(manifest)},
                "text/csv": {"schema": {"type": "string"}, "examples": {"csv": {"value": _csv(manifest)}}},
            },
        },
        "responses": answers,
    }


def _refused(status: str) -> dict[str, Any]:
    """Some refusals fall before it is known what the request is about."""
    early = status in ("413", "503")
    return {"anyOf": [_ref("ScoringFault"), _ref("Fault")]} if early else _ref("ScoringFault")


def _split(manifest: Manifest) -> dict[str, Any]:
    names = [feature.name for feature in manifest.inputs]
    cell = {"type": ["number", "string", "boolean", "null"]}
    columns = {"type": "array", "items": {"enum": names}, "uniqueItems": True}
    return {
        "type": "object",
        "properties": {
            "columns": {"anyOf": [columns, {"type": "null"}], "default": names},
            "index": {"type": ["array", "null"], "description": "as long as data; has no effect"},
            "data": _many({"type": "array", "items": cell, "description": "one value for each column"}),
        },
        "required": ["data"],
        "additionalProperties": False,
    }


def _tensors(manifest: Manifest) -> dict[str, Any]:
    cells = [cell_schema(feature) for feature in manifest.inputs]
    listed = {"type": "array", "prefixItems": cells, "minItems": len(cells), "maxItems": len(cells)}
    columns = {
        "type": "object",
        "properties": {feature.name: _many(cell_schema(feature)) for feature in manifest.inputs},
        "required": [feature.name for feature in manifest.inputs if not feature.nullable],
        "additionalProperties": False,
        "description": "columns of equal length",
    }
    rows = [_many({"anyOf": [_ref(manifest.name), listed]})]
    if len(cells) == 1:
        rows.append(_many(cells[0]))
    return {"anyOf": [*rows, columns, _ref(manifest.name)]}


def _many(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema, "minItems": 1, "maxItems": MAX_ROWS}


def _examples(manifest: Manifest) -> dict[str, Any]:
    row = {feature.name: _example(feature) for feature in manifest.inputs}
    rows: dict[str, dict[str, Any]] = {
        "dataframe_split": {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}},
        "dataframe_records": {"dataframe_records": [row]},
        "instances": {"instances": [list(row.values())]},
        "inputs": {"inputs": {name: [value] for name, value in row.items()}},
    }
    return {form: {"value": value} for form, value in rows.items()}


def _csv(manifest: Manifest) -> str:
    import csv
    import io

    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(feature.name for feature in manifest.inputs)
    lines.writerow(spell_class(_example(feature)) for feature in manifest.inputs)
    return text.getvalue()


def _example(feature: Feature) -> Any:
    if feature.categories:
        return feature.categories[0]
    if feature.range is not None and feature.dtype != "bool":
        return int(feature.range[0]) if feature.dtype == "int64" else feature.range[0]
    return _PLAIN[feature.dtype]


# ---- the rest -----------------------------------------------------------------------------------------------------


def _ping(what: str, *refusals: str) -> dict[str, Any]:
    return _with_refusals(_get(f"Answers when {what} is being served", {"type": "string"}, _TEXT), *refusals)


def _get(summary: str, schema: dict[str, Any], media_type: str = _JSON, example: str | None = None) -> dict[str, Any]:
    content = _content(summary, schema, media_type)
    if example is not None:
        content["content"][media_type]["example"] = example
    return {"summary": summary, "responses": {"200": content}}


def _with_refusals(operation: dict[str, Any], *statuses: str) -> dict[str, Any]:
    refused = {status: _content(_REFUSALS[status], _ref("Fault")) for status in statuses}
    return {**operation, "responses": operation["responses"] | refused}


def _content(text: str, schema: dict[str, Any], media_type: str = _JSON) -> dict[str, Any]:
    return {"description": text, "content": {media_type: {"schema": schema}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _fault(components: dict[str, Any]) -> dict[str, Any]:
    """A refusal as everywhere, with MLflow's words beside."""
    known = components["schemas"]["Fault"]
    words = {"error_code": {"type": "string"}, "message": {"type": "string"}}
    return {**known, "required": [*known["required"], *words], "properties": {**known["properties"], **words}}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _signature() -> dict[str, Any]:
    word, flag, maybe_text = {"type": "string"}, {"type": "boolean"}, {"type": ["string", "null"]}
    column = _object(
        type={"enum": ["float", "double", "long", "boolean", "string"]},
        name=word,
        required=flag,
        dtype=word,
        missing_allowed=flag,
        empty_refused=flag,
        range={"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        categories={"type": ["array", "null"], "items": {"type": ["string", "integer"]}},
        categories_closed=flag,
        unit=maybe_text,
    )
    mlflow = _object(inputs=word, outputs=word, params={"type": "null"})
    mlflow["description"] = "for mlflow.models.ModelSignature.from_dict: the schemas are JSON texts"
    outputs = {"type": "array", "items": {"type": "object", "required": ["name", "role", "dtype"]}}
    return _object(model=word, task=word, signature=mlflow, inputs={"type": "array", "items": column}, outputs=outputs)


def _history() -> dict[str, Any]:
    word, maybe = {"type": "string"}, {"type": ["string", "null"]}
    entry = _object(
        time={"type": "string", "format": "date-time"},
        model=word,
        version=word,
        sha256=word,
        rollout=word,
        state=word,
        reason=maybe,
        detail=maybe,
    )
    slot = {"anyOf": [_object(version=word, sha256=word, rollout=word), {"type": "null"}]}
    slots = {"type": "object", "additionalProperties": _object(current=slot, previous=slot, trial=slot)}
    return {"History": _object(slots=slots, history={"type": "array", "items": entry})}
