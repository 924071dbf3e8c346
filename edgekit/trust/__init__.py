"""Trust: keys, signed release metadata (TUF, by python-tuf), and the signed desired document.

Root, targets and the delegated roles (one per model name) are signed offline; snapshot and timestamp online at the
server. The key that signs desired documents is itself a signed target, so that it can be rotated.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgekit.errors import TrustError

DESIRED_KEY_TARGET = "keys/desired.json"


class ReleaseCustom(msgspec.Struct, frozen=True, kw_only=True):
    """The `custom` field of a release's TUF target.

    `counter` rises with every release of a model. `min_counter`: a device that saw this signed never again installs a
    release with a lower counter; what it runs already goes on serving, for a device must not fall silent.
    `expanded_sha256`: the model file that runs. `index_sha256`: the chunk index.
    """

    model: str
    version: str
    counter: int
    min_counter: int
    hardware: list[str]
    expanded_sha256: str
    index_sha256: str


def target_path(model: str, version: str) -> str:
    """The TUF target of a release."""
    return f"{model}/{version}.edgekit"


def parse_custom(value: Any) -> ReleaseCustom:
    """The checked `custom` field of a target. Raises TrustError."""
    try:
        return msgspec.convert(value, ReleaseCustom)
    except msgspec.ValidationError as error:
        raise TrustError(f"a signed release lacks what a device needs ({error}): add it again") from error
