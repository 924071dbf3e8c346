"""Errors become answers: a status, one sentence and a reason word. Nothing of the inside ever leaves."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from edgekit.errors import (
    BundleError,
    ConfigError,
    Conflict,
    EdgekitError,
    MessageError,
    NotAllowed,
    NotFound,
    TrustError,
    Unreachable,
    UsageFault,
)
from fleet.api.answers import Fault, answer

# In this order: a ConfigError is a UsageFault, but of whoever runs the server, not of the caller.
_STATUS: tuple[tuple[type[EdgekitError], int], ...] = (
    (ConfigError, 500),
    (UsageFault, 400),
    (NotFound, 404),
    (Conflict, 409),
    (BundleError, 422),
    (TrustError, 422),
    (MessageError, 422),
    (Unreachable, 503),
)
_REASONS = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def status_of(error: EdgekitError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, NotAllowed):
        return 403 if error.reason == "role_too_low" else 401
    if error.reason == "too_large":
        return 413
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def install(app: FastAPI) -> None:
    """Teach `app` all errors."""
    app.add_exception_handler(EdgekitError, _own)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def _own(_request: Request, error: Exception) -> Response:
    assert isinstance(error, EdgekitError)
    response = answer(Fault(detail=error.message, reason=error.reason), status_of(error))
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer(Fault(detail=f"the request is not usable: {_sentence(error.errors())}", reason="usage"), 400)


def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = _REASONS.get(error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"))
    detail = str(error.detail)
    if error.status_code == 404:
        detail = "there is nothing at this address: /openapi.json lists what there is"
    return answer(Fault(detail=detail, reason=reason), error.status_code)


def _unforeseen(_request: Request, _error: Exception) -> Response:
    # The traceback goes to the server's log; the caller gets nothing of it.
    return answer(Fault(detail="internal fault: see the server's log", reason="internal"), 500)


def _sentence(problems: Sequence[Any]) -> str:
    named = [f"{'.'.join(str(part) for part in problem['loc'][1:])}: {problem['msg']}" for problem in problems[:5]]
    return "; ".join(text.removeprefix(": ") for text in named)[:500]
