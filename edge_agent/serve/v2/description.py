"""The protocol's part of `/openapi.json`."""

from __future__ import annotations

from typing import Any

from edge_agent.serve.v2.answer import BINARY, Outputs
from edge_agent.serve.v2.datatypes import DATATYPES, OF_DTYPE
from edge_agent.serve.v2.request import HEADER
from edgekit.manifest import Manifest

Schema = dict[str, Any]

_FIXED: dict[str, tuple[str, str]] = {
    "/v2": ("get", "Server metadata (Open Inference Protocol)"),
    "/v2/health/live": ("get", "The process lives"),
    "/v2/health/ready": ("get", "Every configured model is being served"),
    "/v2/repository/index": ("post", "The models that are served, and those that are awaited"),
}
_REFUSALS = {
    "400": "Not an inference request, or tensors that do not fit the model: the error names input, row and feature",
    "404": "No such model or version",
    "413": "The body is too large, or unpacks to too much",
    "415": "The content type or encoding is not read here",
    "503": "No model is installed yet",
}
_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer", "minimum": 0}
_BINARY_SIZE: Schema = {"type": "object", "properties": {"binary_data_size": _WHOLE}}
_AS_BINARY: Schema = {"type": "object", "properties": {"binary_data": {"type": "boolean"}}}
_LENGTH_WORDS = f"Behind the JSON object, whose length `{HEADER}` tells, the binary data of its tensors in their order"


def fixed_paths() -> Schema:
    """The paths that name no model."""
    return {path: {method: _operation(text, {})} for path, (method, text) in _FIXED.items()}


def model_paths(manifest: Manifest) -> Schema:
    """The paths of one model, and of the version that is being served."""
    paths: Schema = {}
    for path in (f"/v2/models/{manifest.name}", f"/v2/models/{manifest.name}/versions/{manifest.version}"):
        paths[path] = {"get": _operation(f"Inputs and outputs of {manifest.name}", {})}
        paths[f"{path}/ready"] = {"get": _operation(f"{manifest.name} is being served", {})}
        paths[f"{path}/infer"] = {"post": _infer(manifest)}
    return paths


def _infer(manifest: Manifest) -> Schema:
    operation = _operation(f"Predict with {manifest.name} (Open Inference Protocol)", _response(manifest))
    operation["parameters"] = [
        {
            "name": HEADER,
            "in": "header",
            "description": "Bytes of the JSON object, before binary data",
            "schema": _WHOLE,
        }
    ]
    operation["requestBody"] = {"required": True, "content": _both_forms(_request(manifest))}
    told = operation["responses"]["200"]
    told["content"] = _both_forms(_response(manifest))
    told["headers"] = {HEADER: {"description": "Sent with binary data", "schema": _WHOLE}}
    return operation


def _request(manifest: Manifest) -> Schema:
    tensors = "; ".join(
        f"{tensor.name} {OF_DTYPE[tensor.dtype].name} [rows, {len(tensor.features)}]" for tensor in manifest.tensors
    )
    tensor = _object(["name", "shape", "datatype"], name=_TEXT, shape=_list(_WHOLE), datatype={"enum": list(DATATYPES)})
    tensor["properties"] |= {"parameters": _BINARY_SIZE, "data": {"type": "array"}}
    output = _object(["name"], name={"enum": [output.name for output in manifest.outputs]}, parameters=_AS_BINARY)
    all_binary: Schema = {"type": "object", "properties": {"binary_data_output": {"type": "boolean"}}}
    body = _object(["inputs"], id=_TEXT, parameters=all_binary, inputs=_list(tensor), outputs=_list(output))
    body["properties"]["inputs"]["description"] = f"{tensors}; or single features by their names, [rows, 1]"
    return body


def _response(manifest: Manifest) -> Schema:
    outputs = [
        _object(
            ["name", "shape", "datatype"],
            name={"const": told["name"]},
            shape=_list(_WHOLE),
            datatype={"const": told["datatype"]},
            parameters=_BINARY_SIZE,
            data={"type": "array"},
        )
        for told in Outputs(manifest).metadata()
    ]
    return _object(
        ["model_name", "model_version", "outputs"],
        model_name={"const": manifest.name},
        model_version=_TEXT,
        id=_TEXT,
        outputs=_list({"oneOf": outputs}),
    )


def _operation(summary: str, answer: Schema) -> Schema:
    fault = {"application/json": {"schema": {"type": "object", "required": ["error"], "properties": {"error": _TEXT}}}}
    answers: Schema = {"200": {"description": summary, "content": {"application/json": {"schema": answer}}}}
    if answer:
        answers |= {status: {"description": text, "content": fault} for status, text in _REFUSALS.items()}
    return {"summary": summary, "responses": answers}


def _both_forms(schema: Schema) -> Schema:
    return {
        "application/json": {"schema": schema},
        BINARY: {"schema": {"type": "string", "description": _LENGTH_WORDS}},
    }


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}
