"""Answers are msgspec structs: encoded fast here, and described in the OpenAPI document by their own schemas."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

_ENCODER = msgspec.json.Encoder(order="deterministic")
_REF = "#/components/schemas/{name}"
_kinds: list[Any] = []


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Every refusal. `detail`: one sentence for a person; `reason`: a stable word for a program."""

    detail: str
    reason: str


def answer(value: Any, status: int = 200) -> Response:
    """`value` (structs, lists, dicts) as JSON."""
    return Response(_ENCODER.encode(value), status_code=status, media_type="application/json")


def gives(kind: Any, status: int = 200) -> dict[str, Any]:
    """Route keywords that describe the answer: a struct type, or a list of one."""
    _kinds.append(kind)
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    content = {"application/json": {"schema": schema}}
    return {"status_code": status, "responses": {status: {"content": content}}}


def describe(app: FastAPI) -> None:
    """Give the application an OpenAPI document that knows our structs."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            _, components = msgspec.json.schema_components([Fault, *_kinds], ref_template=_REF)
            document.setdefault("components", {}).setdefault("schemas", {}).update(components)
            _state_faults(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # the way that FastAPI documents


def _state_faults(document: dict[str, Any]) -> None:
    fault = {"application/json": {"schema": {"$ref": _REF.format(name="Fault")}}}
    for operations in document["paths"].values():
        for operation in operations.values():
            # FastAPI assumes its own form of validation errors; ours are faults like all others.
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "Refused", "content": fault}
    for leftover in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(leftover, None)
