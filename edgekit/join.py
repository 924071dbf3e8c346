"""`join.toml`: all that a device needs to join a fleet. Written by the server's command line, read by the agent.

It holds the broker credential, so it is written readable by its owner only. It is also a complete agent
configuration: everything else has a default.
"""

from __future__ import annotations

import json
from typing import Literal

import msgspec

from edgekit.names import is_id


class BrokerAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is (`mqtt://host:port` or `mqtts://host:port`) and how to log in. `ca_pem`: for `mqtts`."""

    url: str
    username: str = ""
    password: str = ""
    ca_pem: str = ""

    def __repr__(self) -> str:
        return f"BrokerAccess(url={self.url!r}, username={self.username!r})"


class TrustAnchor(msgspec.Struct, frozen=True, kw_only=True):
    """`root`: the pinned TUF root metadata, JSON text."""

    root: str


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """The document itself."""

    schema: Literal["edgekit.join/1"] = "edgekit.join/1"
    tenant: str
    device: str
    broker: BrokerAccess
    trust: TrustAnchor

    def __post_init__(self) -> None:
        for what, name in (("tenant", self.tenant), ("device", self.device)):
            if not is_id(name):
                raise ValueError(f"{what} {name[:80]!r} is not an id")


def to_toml(join: Join) -> str:
    """The file's text. JSON strings are valid TOML basic strings as long as they stay ASCII."""
    lines = [
        "# Made by `edgekit fleet devices add`. It holds a credential: keep it readable by the agent only.",
        f"schema = {_text(join.schema)}",
        f"tenant = {_text(join.tenant)}",
        f"device = {_text(join.device)}",
        "",
        "[broker]",
        f"url = {_text(join.broker.url)}",
        f"username = {_text(join.broker.username)}",
        f"password = {_text(join.broker.password)}",
        f"ca_pem = {_text(join.broker.ca_pem)}",
        "",
        "[trust]",
        f"root = {_text(join.trust.root)}",
        "",
    ]
    return "\n".join(lines)


def _text(value: str) -> str:
    return json.dumps(value)
