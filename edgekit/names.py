"""Ids and versions: how devices, models, tenants and releases may be called, and how versions are ordered."""

from __future__ import annotations

import re

from edgekit.errors import UsageFault

ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
_ID = re.compile(ID_PATTERN)
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
# Semantic Versioning 2.0.0 without the build part: two builds of one version would be indistinguishable to a device.
_VERSION = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    r"(?:-((?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?"
)
_VERSION_MAX_CHARS = 64
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_id(text: str) -> bool:
    """True when `text` may name a device, model or tenant."""
    return _ID.fullmatch(text) is not None


def check_id(text: str, what: str) -> str:
    """Return `text`, or raise `UsageFault` naming `what` (such as "device id") and the rule."""
    if not is_id(text):
        raise UsageFault(
            f"{what} {text[:80]!r} is not allowed: use 1 to 63 lower-case letters, digits and hyphens, "
            "starting with a letter or digit",
            reason="bad_id",
        )
    return text


# Release metadata has one role per model name beside these.
RESERVED_MODEL_NAMES = frozenset({"root", "targets", "snapshot", "timestamp"})


def check_model_name(text: str) -> str:
    """Return `text`, or raise `UsageFault`: an id that is not a name of the release metadata's own roles."""
    if text in RESERVED_MODEL_NAMES:
        raise UsageFault(f"model name {text!r} is reserved for release metadata: choose another", reason="bad_id")
    return check_id(text, "model name")


def is_version(text: str) -> bool:
    """True for a semantic version without a build part."""
    return len(text) <= _VERSION_MAX_CHARS and _VERSION.fullmatch(text) is not None


def check_version(text: str) -> str:
    """Return `text`, or raise `UsageFault` with the rule."""
    if not is_version(text):
        raise UsageFault(
            f"version {text[:80]!r} is not allowed: use MAJOR.MINOR.PATCH, such as 1.4.0 or 2.0.0-rc.1 (no '+build')",
            reason="bad_version",
        )
    return text


def version_key(text: str) -> tuple[tuple[int, int, int], tuple[tuple[int, int, str], ...]]:
    """Sort key in semver order (Semantic Versioning 2.0.0, §11): a pre-release sorts before its release."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise UsageFault(f"version {text[:80]!r} is not a semantic version", reason="bad_version")
    core = (int(match[1]), int(match[2]), int(match[3]))
    if match[4] is None:
        return core, ((2, 0, ""),)
    parts = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in match[4].split("."))
    return core, parts


def is_sha256(text: str) -> bool:
    """True for 64 lower-case hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None
