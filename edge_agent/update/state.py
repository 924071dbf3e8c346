"""`state.json`: the one durable record of what this device runs, tries, and was told to run.

First line: CRC-32 of the rest in hexadecimal; then JSON. Written whole and atomically, and the copy before it is kept:
when the file does not check, the previous one is read. Fields that this version does not know survive rewriting.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import msgspec

from edgekit.errors import DeviceFault
from edgekit.files import read_bounded, write_atomic
from edgekit.messages import UpdateState

SCHEMA = "edgekit.state/1"
FILE_NAME = "state.json"
PREVIOUS_NAME = "state.previous.json"
MAX_STATE_BYTES = 1 << 20
MAX_OUTCOMES = 8
_KEYED = ("models", "floors")


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A model in the store: the bundle's digest names its folder, `manifest_sha256` vouches for what is in it."""

    sha256: str
    version: str
    manifest_sha256: str
    counter: int = 0
    rollout: str = ""


class Trial(Slot, frozen=True, kw_only=True):
    """A model on trial. `boots`: starts of the agent with it that did not end cleanly yet, counted before it is
    loaded. `soaked_s`: how long it served before the last clean stop. `activated`: RFC 3339.
    """

    soak_s: float = 0.0
    activated: str = ""
    boots: int = 0
    soaked_s: float = 0.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the update to `sha256` for `rollout` ended. `told`: the report of it is in the outbox."""

    sha256: str
    version: str
    rollout: str
    state: UpdateState
    time: str
    reason: str | None = None
    detail: str | None = None
    told: bool = True


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """The slots of one model. `outcomes`: the latest ends, newest last."""

    current: Slot | None = None
    previous: Slot | None = None
    trial: Trial | None = None
    outcomes: list[Outcome] = []


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the accepted desired document with what its signed release says about it."""

    name: str
    version: str
    sha256: str
    bytes: int
    counter: int
    rollout: str
    soak_s: float = 0.0
    index_sha256: str = ""
    expanded_sha256: str = ""
    refused: str | None = None
    refused_detail: str | None = None


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The desired document that was verified last. An unfinished update goes on from here without the server."""

    seq: int
    expires: str
    envelope_sha256: str
    models: list[Target]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. `trusted_time`: the latest moment known to have passed. `floors`: highest `min_counter` seen."""

    schema: str = SCHEMA
    generation: int = 0
    applied_seq: int = 0
    trusted_time: str = ""
    floors: dict[str, int] = {}
    desired: Accepted | None = None
    models: dict[str, ModelState] = {}


class StateFile:
    """The file in `folder`. `recovered` tells that the newest copy was damaged and an older one (or none) was used."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._previous = folder / PREVIOUS_NAME
        self.recovered = False
        self._raw: dict[str, Any] = {}
        self.state = self._read()

    def write(self, state: State) -> State:
        """Make `state` durable with the next generation number, keeping the copy before it; returns what was written.

        Raises DeviceFault when the disk refuses: nothing has changed then.
        """
        numbered = msgspec.structs.replace(state, generation=self.state.generation + 1)
        raw = _merged(self._raw, msgspec.to_builtins(numbered))
        content = encode(raw)
        if len(content) > MAX_STATE_BYTES:  # it could not be read again
            raise DeviceFault(
                f"the agent's state would take over {MAX_STATE_BYTES >> 10} KiB: ask this device for fewer models",
                reason="state_too_large",
            )
        try:
            if self._raw:
                write_atomic(self._previous, encode(self._raw))
            write_atomic(self._path, content)
        except OSError as error:
            raise DeviceFault(
                f"the agent's state cannot be written ({error.strerror}): free or mend the disk of {self._path.parent}",
                reason="state_unwritable",
            ) from error
        self._raw, self.state = raw, numbered
        return numbered

    def _read(self) -> State:
        damaged = False
        for path in (self._path, self._previous):
            try:
                self._raw, state = decode(read_bounded(path, MAX_STATE_BYTES))
            except FileNotFoundError:
                continue
            except (ValueError, OSError):
                damaged = True
                continue
            self.recovered = damaged or path == self._previous
            return state
        self.recovered = damaged
        return State()


def encode(raw: dict[str, Any]) -> bytes:
    """Checksum line and JSON."""
    body = msgspec.json.format(msgspec.json.encode(raw, order="sorted"), indent=1) + b"\n"
    return b"%08x\n" % zlib.crc32(body) + body


def decode(content: bytes) -> tuple[dict[str, Any], State]:
    """(everything in the file, what this version knows of it). Raises ValueError when it does not check."""
    head, _, body = content.partition(b"\n")
    if head != b"%08x" % zlib.crc32(body):
        raise ValueError("the checksum of state.json does not match")
    raw = msgspec.json.decode(body, type=dict[str, Any])
    if raw.get("schema") != SCHEMA:
        raise ValueError("state.json has another schema")
    return raw, msgspec.convert(raw, State)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = _merge(old, new)
    # Keyed by model name: a name that is gone is no unknown field.
    return merged | {field: {name: merged[field][name] for name in new[field]} for field in _KEYED}


def _merge(old: Any, new: Any) -> Any:
    # Fields we do not know are kept where both sides describe the same thing: a slot of another digest is another one.
    if not isinstance(old, dict) or not isinstance(new, dict) or old.get("sha256") != new.get("sha256"):
        return new
    return old | {key: _merge(old.get(key), value) for key, value in new.items()}
