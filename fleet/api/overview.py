"""`/health`, `/metrics`, `/api/v1/status`, `/api/v1/models`: the fleet in numbers."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Response

from edgekit import __version__
from edgekit.messages import MetadataVersions
from fleet.api.access import TheServer, Viewer
from fleet.api.answers import answer, gives
from fleet.release import metadata
from fleet.store import overview
from fleet.store.overview import ModelLine, ModelReport, Totals
from fleet.watch import metrics

router = APIRouter(tags=["overview"])


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str
    version: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The server and its fleet. `metadata` is null until releases were pushed."""

    version: str
    tenant: str
    metadata: MetadataVersions | None
    fleet: Totals


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """Every model that was released or that a device reports."""

    models: list[ModelLine]


@router.get("/health", **gives(Alive))
def health() -> Response:
    """Is the server alive? Needs no token."""
    return answer(Alive(status="ok", version=__version__))


@router.get("/api/v1/status", **gives(Status))
def status(server: TheServer, _: Viewer) -> Response:
    """Totals of devices, versions, rollouts and reports."""
    with server.database.read() as connection:
        found = Status(
            version=__version__,
            tenant=server.config.server.tenant,
            metadata=metadata.versions(connection),
            fleet=overview.totals(connection),
        )
    return answer(found)


@router.get("/api/v1/models", **gives(Models))
def list_models(server: TheServer, _: Viewer) -> Response:
    """Every model that was released or that a device reports."""
    with server.database.read() as connection:
        return answer(Models(models=overview.models(connection)))


@router.get("/api/v1/models/{name}", **gives(ModelReport))
def show_model(server: TheServer, _: Viewer, name: str) -> Response:
    """One model: releases, devices by version, traffic."""
    with server.database.read() as connection:
        return answer(overview.model(connection, name))


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}})
def scrape(server: TheServer, _: Viewer) -> Response:
    """Prometheus metrics. The number of series does not depend on the number of devices."""
    with server.database.read() as connection:
        totals = overview.totals(connection)
    return Response(metrics.text(totals), media_type=metrics.CONTENT_TYPE)
