"""`/api/v1/releases`, `/artifacts`, `/metadata`: what was signed offline comes in here and can be looked at."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from edgekit.errors import NotFound, UsageFault
from fleet.api.access import Operator, TheServer, Viewer
from fleet.api.answers import answer, gives, takes
from fleet.auth import Identity
from fleet.release import metadata, signers
from fleet.release.catalogue import Upload
from fleet.release.metadata import Accepted
from fleet.server import Server
from fleet.store import audit, releases
from fleet.store.moments import shown, stored
from fleet.store.releases import StoredRelease

router = APIRouter(prefix="/api/v1", tags=["releases"])


class ReleaseLine(msgspec.Struct, frozen=True, kw_only=True):
    """A signed release as lists show it."""

    model: str
    version: str
    sha256: str
    bytes: int
    counter: int
    min_counter: int
    added: str


class ReleaseDetail(ReleaseLine, frozen=True, kw_only=True):
    """A signed release with what its bundle says of itself."""

    hardware: list[str]
    expanded_sha256: str
    manifest: dict[str, Any]


class Releases(msgspec.Struct, frozen=True, kw_only=True):
    """All signed releases by model, newest first."""

    releases: list[ReleaseLine]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact that is stored now. `new`: it was not before."""

    sha256: str
    bytes: int
    new: bool


class Push(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metadata files by name, as text."""

    files: dict[str, str]


@router.get("/releases", **gives(Releases))
def list_releases(server: TheServer, _: Viewer) -> Response:
    """All signed releases by model, newest first."""
    with server.database.read() as connection:
        lines = [ReleaseLine(**_line(item)) for item in releases.every_release(connection)]
    return answer(Releases(releases=lines))


@router.get("/releases/{model}/{version}", **gives(ReleaseDetail))
def show_release(server: TheServer, _: Viewer, model: str, version: str) -> Response:
    """One release with its manifest."""
    with server.database.read() as connection:
        item = releases.get_release(connection, model, version)
    detail = ReleaseDetail(
        **_line(item),
        hardware=item.custom.hardware,
        expanded_sha256=item.custom.expanded_sha256,
        manifest=msgspec.json.decode(item.manifest),
    )
    return answer(detail)


@router.head("/artifacts/{sha256}")
def has_artifact(server: TheServer, _: Viewer, sha256: str) -> Response:
    """200 when the artifact is stored, 404 when not."""
    path = server.catalogue.path(sha256)
    with server.database.read() as connection:
        if not releases.has_artifact(connection, sha256) or not path.exists():
            raise NotFound(f"artifact {sha256[:16]}… is not stored here")
    return Response()


@router.put("/artifacts/{sha256}", **gives(Stored))
async def put_artifact(server: TheServer, caller: Operator, sha256: str, request: Request) -> Response:
    """Store a bundle under its digest. It is checked whole before it counts as stored; repeating is harmless."""
    server.catalogue.path(sha256)
    with server.catalogue.upload() as upload:
        async for piece in request.stream():
            upload.write(piece)
        return answer(await run_in_threadpool(_keep, server, caller, sha256, upload))


@router.post("/metadata", **gives(Accepted), openapi_extra=takes(Push))
async def push_metadata(server: TheServer, caller: Operator, request: Request) -> Response:
    """Take in signed metadata with the releases that it names, all or nothing."""
    # Read here, not by FastAPI: it would take in the largest body of all routes before it asks for a token.
    return answer(await run_in_threadpool(_take_in, server, caller, await request.body()))


@router.get("/metadata/{name}", responses={200: {"content": {"application/json": {}}}})
def show_metadata(server: TheServer, _: Viewer, name: str) -> Response:
    """A metadata file, byte for byte."""
    with server.database.read() as connection:
        found = releases.metadata_named(connection, name)
    if found is None:
        raise NotFound(f"metadata {name[:80]!r} is not stored here")
    return Response(found.content, media_type="application/json")


def _keep(server: Server, caller: Identity, sha256: str, upload: Upload) -> Stored:
    bundle = server.catalogue.keep(sha256, upload)
    now_ms = stored(server.clock())
    with server.database.begin() as connection:
        new = releases.add_artifact(connection, sha256, bundle.bytes, now_ms=now_ms)
        if new:
            audit.record(connection, at_ms=now_ms, actor=caller.actor, action="artifact.put", subject=sha256)
    return Stored(sha256=sha256, bytes=bundle.bytes, new=new)


def _take_in(server: Server, caller: Identity, body: bytes) -> Accepted:
    try:
        push = msgspec.json.decode(body, type=Push)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageFault(f"the push is not usable: {error}") from error
    now = server.clock()
    keys = signers.load(server.config.keys_dir)
    files = {name: text.encode() for name, text in push.files.items()}
    with server.database.begin() as connection:
        accepted = metadata.accept(connection, files, server.catalogue, keys, now)
        audit.record(
            connection,
            at_ms=stored(now),
            actor=caller.actor,
            action="release.push",
            subject=f"targets {accepted.targets}",
            detail={"releases": accepted.releases},
        )
    server.wake()
    return accepted


def _line(item: StoredRelease) -> dict[str, Any]:
    same = ("model", "version", "sha256", "bytes", "counter", "min_counter")
    return {name: getattr(item, name) for name in same} | {"added": shown(item.added_ms)}
