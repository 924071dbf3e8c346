"""Messages of devices, decoded and sorted by what must be done with them. Pure: bytes and the time in, lists out.

Nothing is dropped in silence: what does not follow its schema, or comes from a device that is not of the fleet, is set
aside with its reason, and still acknowledged if it can be named, for a device must not send it for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import msgspec

from edgekit.errors import MessageError
from edgekit.messages import Event, Health, HealthData, Presence, Reported, Want, decode
from edgekit.names import is_id, is_sha256, is_version
from edgekit.times import parse_rfc3339
from fleet.receive.link import Arrival
from fleet.store.reports import Key, SetAside

_HEAD_BYTES = 200
_MAX_LOOSE_BYTES = 262_144
_MAX_COUNT = 2**53  # what every JSON reader keeps exactly
_MAX_MODELS = 64
_HOUR_MS = 3_600_000
_LATE_MS = 31 * 24 * _HOUR_MS


@dataclass
class Sorted:
    """A batch. `owed`: reports that must be acknowledged once the batch is stored; `heard`: who is alive."""

    events: dict[Key, Event] = field(default_factory=dict)
    health: dict[Key, tuple[Health, int, bytes]] = field(default_factory=dict)
    reported: dict[str, Reported] = field(default_factory=dict)
    presence: dict[str, Presence] = field(default_factory=dict)
    wants: set[str] = field(default_factory=set)
    aside: list[SetAside] = field(default_factory=list)
    heard: set[str] = field(default_factory=set)
    owed: set[Key] = field(default_factory=set)


def sort(arrivals: Iterable[Arrival], known: Collection[str], *, now_ms: int) -> Sorted:
    """Sort a batch; of several documents of one kind from one device the last counts. `known`: devices of the fleet."""
    batch = Sorted()
    for arrival in arrivals:
        if arrival.retained and not arrival.payload:
            continue
        if arrival.device not in known:
            _put_aside(batch, arrival, "unknown_device")
            continue
        try:
            _TAKERS[arrival.leaf](batch, arrival, now_ms)
        except MessageError as error:
            _put_aside(batch, arrival, f"{error.reason}: {error.message}")
            continue
        if not arrival.retained:
            batch.heard.add(arrival.device)
    return batch


def aside(arrival: Arrival, reason: str) -> SetAside:
    """The record of a message that could not be used."""
    return SetAside(arrival.device, arrival.leaf, reason, arrival.payload[:_HEAD_BYTES])


def identity(arrival: Arrival) -> Key | None:
    """Who a report says it is, however malformed the rest; None when even that cannot be read."""
    if arrival.leaf not in {"event", "health"} or len(arrival.payload) > _MAX_LOOSE_BYTES:
        return None
    try:
        document: Any = msgspec.json.decode(arrival.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if arrival.leaf == "health" and isinstance(document, dict):
        document = document.get("data")
    if not isinstance(document, dict):
        return None
    epoch, seq = document.get("epoch"), document.get("seq")
    if not _is_epoch(epoch) or type(seq) is not int or not 0 <= seq < _MAX_COUNT:
        return None
    return arrival.device, epoch, seq


def _put_aside(batch: Sorted, arrival: Arrival, reason: str) -> None:
    batch.aside.append(aside(arrival, reason))
    key = identity(arrival)
    if key is not None:
        batch.owed.add(key)


# ---- one taker a leaf -----------------------------------------------------------------------------------------


def _take_event(batch: Sorted, arrival: Arrival, _now_ms: int) -> None:
    event = decode(arrival.payload, Event)
    _check_sender(event.device, arrival)
    _require(_is_epoch(event.epoch) and 0 <= event.seq < _MAX_COUNT, "an identity")
    _require(is_id(event.model) and is_version(event.version) and is_sha256(event.sha256), "a release")
    _require(len(event.rollout) <= 63 and "\0" not in event.rollout, "a rollout")
    _require(_moment_ms(event.time) is not None and len(event.time) <= 40, "a time")
    key = (event.device, event.epoch, event.seq)
    batch.events[key] = event
    batch.owed.add(key)


def _take_health(batch: Sorted, arrival: Arrival, now_ms: int) -> None:
    health = decode(arrival.payload, Health)
    report = health.data
    _check_sender(report.device, arrival)
    _require(_is_epoch(report.epoch) and 0 <= report.seq < _MAX_COUNT, "an identity")
    _check_counts(report)
    told_ms = _moment_ms(health.time)
    _require(told_ms is not None, "a time")
    # A device whose clock is wrong still counts, in the hour in which it was heard.
    if told_ms is None or not now_ms - _LATE_MS <= told_ms <= now_ms + _HOUR_MS:
        told_ms = now_ms
    key = (report.device, report.epoch, report.seq)
    batch.health[key] = (health, told_ms - told_ms % _HOUR_MS, arrival.payload)
    batch.owed.add(key)


def _check_counts(report: HealthData) -> None:
    _require(len(report.models) <= _MAX_MODELS, "so many models")
    for model in report.models:
        asked, latency = model.requests, model.latency
        counts = (asked.ok, asked.client_error, asked.server_error, asked.rows, latency.n, latency.sum_us)
        _require(all(0 <= count < _MAX_COUNT for count in counts), "a count")
        _require(is_id(model.name) and is_version(model.version), "a release")


def _take_reported(batch: Sorted, arrival: Arrival, _now_ms: int) -> None:
    reported = decode(arrival.payload, Reported)
    _check_sender(reported.device, arrival)
    _require(0 <= reported.applied_seq < _MAX_COUNT and len(reported.models) <= _MAX_MODELS, "a state")
    _require(_is_epoch(reported.boot_id), "a boot id")
    for slot in reported.models:
        _require(is_id(slot.name) and len(slot.state) <= 32 and "\0" not in slot.state, "a model")
        _require(slot.version is None or is_version(slot.version), "a version")
        _require(slot.sha256 is None or is_sha256(slot.sha256), "a digest")
    batch.reported[arrival.device] = reported


def _take_presence(batch: Sorted, arrival: Arrival, _now_ms: int) -> None:
    presence = decode(arrival.payload, Presence)
    _require(_is_epoch(presence.boot_id), "a boot id")
    batch.presence[arrival.device] = presence


def _take_want(batch: Sorted, arrival: Arrival, _now_ms: int) -> None:
    want = decode(arrival.payload, Want)
    _require(is_sha256(want.sha256), "a digest")
    batch.wants.add(want.sha256)


_TAKERS: dict[str, Callable[[Sorted, Arrival, int], None]] = {
    "event": _take_event,
    "health": _take_health,
    "reported": _take_reported,
    "presence": _take_presence,
    "want": _take_want,
}


def _check_sender(device: str, arrival: Arrival) -> None:
    if device != arrival.device:
        raise MessageError("it names another device than its topic", reason="wrong_device")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise MessageError(f"it names {what} that cannot be")


def _is_epoch(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and 0 < len(text) <= 64 and text.isprintable()


def _moment_ms(text: str) -> int | None:
    try:
        return round(parse_rfc3339(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
