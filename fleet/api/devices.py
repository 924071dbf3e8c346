"""`/api/v1/devices`: registering, listing, tagging and retiring devices."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from edgekit.errors import Conflict
from edgekit.join import Join, TrustAnchor
from edgekit.names import check_id
from fleet.api.access import Admin, Operator, TheServer, Viewer
from fleet.api.answers import answer, gives
from fleet.store import audit, devices, releases
from fleet.store.devices import MAX_PAGE, DeviceDetail, Page
from fleet.store.moments import stored

router = APIRouter(prefix="/api/v1/devices", tags=["devices"])


class NewDevice(BaseModel):
    """A device to register."""

    model_config = ConfigDict(extra="forbid")
    id: str
    tags: dict[str, str] = {}


class TagChanges(BaseModel):
    """Tags to set; null removes one."""

    model_config = ConfigDict(extra="forbid")
    tags: dict[str, str | None]


class Tags(msgspec.Struct, frozen=True, kw_only=True):
    """A device's tags."""

    id: str
    tags: dict[str, str]


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """A device that was taken out of the fleet."""

    id: str
    retired: bool


@router.get("", **gives(Page))
def list_devices(
    server: TheServer,
    _: Viewer,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    *,
    retired: bool = False,
) -> Response:
    """Devices in the order of their ids, a page at a time."""
    with server.database.read() as connection:
        return answer(devices.page(connection, after=after, limit=limit, retired=retired))


@router.get("/{device}", **gives(DeviceDetail))
def show_device(server: TheServer, _: Viewer, device: str) -> Response:
    """Everything that is known of one device."""
    with server.database.read() as connection:
        return answer(devices.detail(connection, device))


@router.post("", **gives(Join, 201))
def add_device(server: TheServer, caller: Operator, body: NewDevice) -> Response:
    """Register a device. The answer is its join document; it holds the broker credential and is given only now."""
    check_id(body.id, "device id")
    now_ms = stored(server.clock())
    access = server.broker_access()
    with server.database.begin() as connection:
        roots = releases.every_root(connection)
        if not roots:
            raise Conflict(
                "no release metadata was pushed yet, so there is no root for the device to pin: "
                "run edgekit release push first",
                reason="no_root",
            )
        devices.add(connection, body.id, body.tags, now_ms=now_ms)
        audit.record(
            connection,
            at_ms=now_ms,
            actor=caller.actor,
            action="device.add",
            subject=body.id,
            detail={"tags": body.tags},
        )
    server.wake()
    anchor = TrustAnchor(root=roots[-1].content.decode())
    return answer(Join(tenant=server.config.server.tenant, device=body.id, broker=access, trust=anchor), 201)


@router.post("/{device}/tags", **gives(Tags))
def tag_device(server: TheServer, caller: Operator, device: str, body: TagChanges) -> Response:
    """Set and remove tags."""
    now_ms = stored(server.clock())
    with server.database.begin() as connection:
        tags = devices.change_tags(connection, device, body.tags)
        audit.record(
            connection, at_ms=now_ms, actor=caller.actor, action="device.tag", subject=device, detail={"tags": tags}
        )
    return answer(Tags(id=device, tags=tags))


@router.post("/{device}/retire", **gives(Retired))
def retire_device(server: TheServer, caller: Admin, device: str) -> Response:
    """Take a device out of the fleet. It is counted and targeted no more, and its id stays taken."""
    now_ms = stored(server.clock())
    with server.database.begin() as connection:
        devices.retire(connection, device, now_ms=now_ms)
        audit.record(connection, at_ms=now_ms, actor=caller.actor, action="device.retire", subject=device)
    server.wake()
    return answer(Retired(id=device, retired=True))
