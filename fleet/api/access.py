"""What every route asks for: the server that it belongs to, and a caller with a minimum role."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from fleet.auth import Identity, authenticate, bearer, require
from fleet.server import Server
from fleet.store.tokens import Role

_SCHEME = HTTPBearer(auto_error=False, description="A token made by `edgekit fleet token create`.")


def server_of(request: Request) -> Server:
    """The server that the application was built for."""
    server = request.app.state.server
    assert isinstance(server, Server)
    return server


class _Needs:
    """A dependency: the caller, if their bearer token has at least `minimum`. Raises NotAllowed."""

    def __init__(self, minimum: Role) -> None:
        self._minimum = minimum

    def __call__(
        self, request: Request, server: Annotated[Server, Depends(server_of)], _: Annotated[object, Depends(_SCHEME)]
    ) -> Identity:
        secret = bearer(request.headers.get("authorization"))
        with server.database.read() as connection:
            return require(authenticate(connection, secret), self._minimum)


TheServer = Annotated[Server, Depends(server_of)]
Viewer = Annotated[Identity, Depends(_Needs(Role.VIEWER))]
Operator = Annotated[Identity, Depends(_Needs(Role.OPERATOR))]
Admin = Annotated[Identity, Depends(_Needs(Role.ADMIN))]
