"""Answers are msgspec structs: encoded fast here, and described in the OpenAPI document by their own schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

_ENCODER = msgspec.json.Encoder(order="deterministic")
_REF = "#/components/schemas/{name}"
_kinds: list[type[msgspec.Struct]] = []


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Every refusal. `detail`: one sentence for a person; `reason`: a stable word for a program."""

    detail: str
    reason: str


def answer(value: Any, status: int = 200) -> Response:
    """`value` (structs, lists, dicts) as JSON."""
    return Response(_ENCODER.encode(value), status_code=status, media_type="application/json")


def gives(kind: type[msgspec.Struct], status: int = 200, *, also: Mapping[int, Any] | None = None) -> dict[str, Any]:
    """Route keywords that describe the answer, and others that the route `also` gives, by status."""
    kinds = {status: kind, **(also or {})}
    _kinds.extend(kinds.values())
    described = {code: {"content": _json_of(item)} for code, item in kinds.items()}
    return {"status_code": status, "responses": described}


def takes(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """What a route that reads its body itself says of it."""
    _kinds.append(kind)
    return {"requestBody": {"required": True, "content": _json_of(kind)}}


def _json_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=kind.__name__)}}}


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
    fault = _json_of(Fault)
    for operations in document["paths"].values():
        for operation in operations.values():
            # FastAPI assumes its own form of validation errors; ours are faults like all others.
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "Refused", "content": fault}
    for leftover in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(leftover, None)
