"""What the agent and its two children say to each other: one JSON document per line on standard input and output.

Verification and model tests run in children of their own: what a hostile bundle or key file can break there is not the
process that predicts, and the libraries for it take no memory while nothing is updated.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from edge_agent.update.state import Target

MAX_LINE_BYTES = 48 << 20


class _Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """Base of every line."""


class TrustRequest(_Line, frozen=True, kw_only=True):
    """Judge `envelope`. `files`: metadata verified earlier, by name; `clock`: this device's, RFC 3339."""

    root: str
    files: dict[str, str]
    envelope: bytes
    tenant: str
    device: str
    applied_seq: int
    floors: dict[str, int]
    clock: str
    trusted_time: str
    arch: str


class WantMetadata(_Line, frozen=True, kw_only=True):
    """The child needs a metadata file of the server."""

    name: str


class Metadata(_Line, frozen=True, kw_only=True):
    """The answer; `content` is None when the file is not there."""

    content: bytes | None


class Verdict(_Line, frozen=True, kw_only=True):
    """The document is genuine, fresh and meant for us. A model that must not run here carries its reason."""

    seq: int
    expires: str
    models: list[Target]
    floors: dict[str, int]
    files: dict[str, str]
    trusted_time: str


class Refusal(_Line, frozen=True, kw_only=True):
    """The document must not be followed. `wait`: it may become good later (fresher metadata, a mended clock)."""

    reason: str
    message: str
    wait: bool = False
    models: list[Target] = []


class PreflightRequest(_Line, frozen=True, kw_only=True):
    """Test the bundle at `bundle` and leave its expanded files in `folder`. `memory_bytes`: what the child may take;
    `budget_bytes`: what is left for the model where it shall serve (None: no budget is set).
    """

    bundle: str
    folder: str
    name: str
    version: str
    sha256: str
    expanded_sha256: str
    memory_bytes: int
    budget_bytes: int | None = None


class PreflightReport(_Line, frozen=True, kw_only=True):
    """It passed when `reason` is None. `refused` tells a bad bundle from a device that could not do it."""

    reason: str | None = None
    detail: str | None = None
    refused: bool = False
    manifest_sha256: str = ""
    load_peak_bytes: int = 0
    run_us: float = 0.0
    rows: int = 0


Line = TypeVar("Line", bound=_Line)
_ENCODER = msgspec.json.Encoder()
_FROM_TRUST = msgspec.json.Decoder(WantMetadata | Verdict | Refusal)


def encode(line: _Line) -> bytes:
    """One line, newline included."""
    return _ENCODER.encode(line) + b"\n"


def decode(content: bytes, kind: type[Line]) -> Line:
    """One line of that kind. Raises ValueError: the other side broke off or is not ours."""
    if len(content) > MAX_LINE_BYTES:
        raise ValueError("a line between agent and child is too long")
    return msgspec.json.decode(content, type=kind)


def decode_from_trust(content: bytes) -> WantMetadata | Verdict | Refusal:
    """One line of the trust child. Raises ValueError."""
    if len(content) > MAX_LINE_BYTES:
        raise ValueError("a line between agent and child is too long")
    line: WantMetadata | Verdict | Refusal = _FROM_TRUST.decode(content)
    return line
