"""Sums over the fleet: what the header of the dashboard, `/metrics`, `/status` and `/models` show."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, and_, func, select

from edgekit.errors import NotFound
from edgekit.names import version_key
from fleet.store import releases
from fleet.store.schema import device, device_model, health_hour, rollout, set_aside


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    """Devices that are not retired, by presence."""

    total: int
    online: int
    retired: int


class VersionCount(msgspec.Struct, frozen=True, kw_only=True):
    """Devices whose slot of `model` holds `version` (empty: none) in `state`."""

    model: str
    version: str
    state: str
    devices: int


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of the health reports of one model version."""

    model: str
    version: str
    reports: int
    ok: int
    client_error: int
    server_error: int
    rows: int
    latency_n: int
    latency_sum_us: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The whole fleet in numbers."""

    devices: Devices
    versions: list[VersionCount]
    rollouts: dict[str, int]
    traffic: list[Traffic]
    reports: int
    set_aside: int


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """One model: its newest release, how many there are, and the devices by version."""

    name: str
    newest: str | None
    releases: int
    devices: dict[str, int]


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """A model with its releases (newest first), its devices and its traffic by version."""

    name: str
    releases: list[str]
    versions: list[VersionCount]
    traffic: list[Traffic]


def totals(connection: Connection) -> Totals:
    """Everything at once."""
    traffic = _traffic(connection)
    return Totals(
        devices=_devices(connection),
        versions=_versions(connection),
        rollouts=_rollouts(connection),
        traffic=traffic,
        reports=sum(line.reports for line in traffic),
        set_aside=connection.execute(select(func.count()).select_from(set_aside)).scalar_one(),
    )


def models(connection: Connection) -> list[ModelLine]:
    """Every model that was released or is reported by a device."""
    released: dict[str, list[str]] = {}
    for item in releases.every_release(connection):
        released.setdefault(item.model, []).append(item.version)
    running: dict[str, dict[str, int]] = {}
    for line in _versions(connection):
        counts = running.setdefault(line.model, {})
        counts[line.version] = counts.get(line.version, 0) + line.devices
    return [_model_line(name, released.get(name, []), running.get(name, {})) for name in sorted({*released, *running})]


def model(connection: Connection, name: str) -> ModelReport:
    """One model. Raises NotFound."""
    versions = [line for line in _versions(connection) if line.model == name]
    released = [item.version for item in releases.every_release(connection) if item.model == name]
    if not versions and not released:
        raise NotFound(f"model {name[:80]!r} is not known here: see edgekit fleet models list")
    traffic = [line for line in _traffic(connection) if line.model == name]
    return ModelReport(name=name, releases=released, versions=versions, traffic=traffic)


def _model_line(name: str, released: list[str], running: dict[str, int]) -> ModelLine:
    newest = max(released, key=version_key, default=None)
    return ModelLine(name=name, newest=newest, releases=len(released), devices=running)


def _devices(connection: Connection) -> Devices:
    present = select(device.c.online, func.count()).where(device.c.retired_ms.is_(None)).group_by(device.c.online)
    by_presence = {bool(row[0]): int(row[1]) for row in connection.execute(present)}
    retired = select(func.count()).select_from(device).where(device.c.retired_ms.is_not(None))
    return Devices(
        total=sum(by_presence.values()),
        online=by_presence.get(True, 0),
        retired=connection.execute(retired).scalar_one(),
    )


def _versions(connection: Connection) -> list[VersionCount]:
    version = func.coalesce(device_model.c.version, "")
    active = and_(device.c.id == device_model.c.device, device.c.retired_ms.is_(None))
    counted = (
        select(device_model.c.model, version, device_model.c.state, func.count())
        .join(device, active)
        .group_by(device_model.c.model, version, device_model.c.state)
        .order_by(device_model.c.model, version, device_model.c.state)
    )
    return [
        VersionCount(model=row[0], version=row[1], state=row[2], devices=row[3]) for row in connection.execute(counted)
    ]


def _rollouts(connection: Connection) -> dict[str, int]:
    counted = select(rollout.c.state, func.count()).group_by(rollout.c.state).order_by(rollout.c.state)
    return {row[0]: row[1] for row in connection.execute(counted)}


def _traffic(connection: Connection) -> list[Traffic]:
    names = ("reports", "ok", "client_error", "server_error", "rows", "latency_n", "latency_sum_us")
    sums = [func.sum(health_hour.c[name]).label(name) for name in names]
    key = (health_hour.c.model, health_hour.c.version)
    lines = connection.execute(select(*key, *sums).group_by(*key).order_by(*key)).mappings()
    # PostgreSQL sums bigint into numeric, hence int().
    return [
        Traffic(model=line["model"], version=line["version"], **{name: int(line[name]) for name in names})
        for line in lines
    ]
