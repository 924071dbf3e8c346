"""Configuration files: TOML read into a struct of sections, every fault listed at once, overridden by `EDGEKIT_…`.

A configuration is a frozen msgspec struct whose fields are sections (structs with defaults) or plain values.
`EDGEKIT_HTTP_PORT=8701` overrides `port` in `[http]`; `EDGEKIT_JOIN=…` overrides the plain value `join`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edgekit.errors import ConfigError
from edgekit.files import read_bounded

MAX_CONFIG_BYTES = 1 << 20
_PREFIX = "EDGEKIT_"

Config = TypeVar("Config", bound=msgspec.Struct)


def read_toml(path: Path) -> dict[str, Any]:
    """The parsed file. Raises ConfigError."""
    try:
        return tomllib.loads(read_bounded(path, MAX_CONFIG_BYTES).decode())
    except OSError as error:
        raise ConfigError(
            f"configuration {path} cannot be read ({error.strerror}): check the path and its permissions"
        ) from error
    except ValueError as error:
        raise ConfigError(f"configuration {path} is not valid TOML: {error}") from error


def load(path: Path, kind: type[Config], environ: Mapping[str, str] | None = None) -> Config:
    """Read `path`, apply the environment, check everything. Raises ConfigError with all faults in its message."""
    return build(read_toml(path), kind, environ=environ, origin=str(path))


def build(
    table: Mapping[str, Any], kind: type[Config], *, environ: Mapping[str, str] | None = None, origin: str
) -> Config:
    """A configuration from an already parsed table. `origin` is what messages call it. Raises ConfigError."""
    faults: list[str] = []
    values = _fields(dict(table), kind, (), os.environ if environ is None else environ, faults)
    made = _make(kind, values, "", faults)
    if made is not None and not faults:
        return made
    raise ConfigError(f"configuration {origin} has {_count(faults)}: " + "; ".join(faults), faults=tuple(faults))


def _count(faults: list[str]) -> str:
    return "1 fault" if len(faults) == 1 else f"{len(faults)} faults"


def _fields(
    table: dict[str, Any],
    kind: type[msgspec.Struct],
    where: tuple[str, ...],
    environ: Mapping[str, str],
    faults: list[str],
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        name, spelled = field.encode_name, ".".join((*where, field.encode_name))
        override = environ.get(_PREFIX + "_".join((*where, name)).upper())
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            section = table.pop(name, {})
            if isinstance(section, dict):
                _section(values, field, section, (*where, name), environ, faults)
            else:
                faults.append(f"{spelled} must be a section [{spelled}]")
        elif override is not None:
            table.pop(name, None)
            _value(values, field, override, f"{_PREFIX}{'_'.join((*where, name)).upper()}", faults)
        elif name in table:
            _value(values, field, table.pop(name), spelled, faults)
        elif field.required:
            faults.append(f"{spelled} is missing")
    faults.extend(f"{'.'.join((*where, name))} is not a known setting" for name in table)
    return values


def _section(
    values: dict[str, Any],
    field: msgspec.structs.FieldInfo,
    section: dict[str, Any],
    where: tuple[str, ...],
    environ: Mapping[str, str],
    faults: list[str],
) -> None:
    inner = _fields(dict(section), field.type, where, environ, faults)
    made = _make(field.type, inner, f"{'.'.join(where)}: ", faults)
    if made is not None:
        values[field.name] = made


def _make(kind: type[Config], values: dict[str, Any], origin: str, faults: list[str]) -> Config | None:
    """The struct, also when some of its values are listed as faulty already: its own checks may find more."""
    if any(field.required and field.name not in values for field in msgspec.structs.fields(kind)):
        return None
    try:
        return kind(**values)
    except ValueError as error:
        faults.extend(f"{origin}{fault}" for fault in error.args)
        return None


def check(*faults: str | None) -> None:
    """For `__post_init__` of a section: raises ValueError with all the faults that are not None, an argument each."""
    found = [fault for fault in faults if fault is not None]
    if found:
        raise ValueError(*found)


def within(name: str, value: float, low: float, high: float) -> str | None:
    """The fault of a number that lies outside its bounds, for `check`."""
    return None if low <= value <= high else f"{name} is {value}, it must lie between {low} and {high}"


def _value(values: dict[str, Any], field: msgspec.structs.FieldInfo, raw: Any, spelled: str, faults: list[str]) -> None:
    try:
        values[field.name] = msgspec.convert(raw, field.type, strict=not isinstance(raw, str))
    except msgspec.ValidationError as error:
        faults.append(f"{spelled}: {error}")
