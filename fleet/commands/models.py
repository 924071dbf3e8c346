"""`edgekit fleet models …`: models across the fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit import console
from fleet.commands.options import client, client_options
from fleet.commands.tables import table


@click.group()
def models() -> None:
    """Models: their releases, and where they run."""


@models.command(name="list")
@client_options
@console.json_option
def list_models(server: str | None, token_file: Path | None, *, as_json: bool) -> None:
    """List the models."""
    found = client(server, token_file).get("models")["models"]
    rows = ((item["name"], item["newest"], item["releases"], _counts(item["devices"])) for item in found)
    empty = "no models yet: edgekit release push"
    console.emit(found, lambda: table(("model", "newest", "releases", "devices"), rows, empty), as_json=as_json)


@models.command()
@click.argument("model")
@client_options
@console.json_option
def show(model: str, server: str | None, token_file: Path | None, *, as_json: bool) -> None:
    """Show MODEL: devices by version and state, requests and errors by version."""
    found = client(server, token_file).get("models", model)
    console.emit(found, lambda: _detail(found), as_json=as_json)


def _detail(found: dict[str, Any]) -> str:
    running = ((line["version"] or "none", line["state"], line["devices"]) for line in found["versions"])
    traffic = (
        (line["version"], line["reports"], line["ok"], line["client_error"], line["server_error"], _mean(line))
        for line in found["traffic"]
    )
    head = ("version", "reports", "ok", "client errors", "server errors", "mean")
    parts = [
        f"{found['name']}: releases {', '.join(found['releases']) or 'none'}",
        table(("version", "state", "devices"), running, "no device runs it"),
        table(head, traffic, "no requests reported yet"),
    ]
    return "\n\n".join(parts)


def _counts(devices: dict[str, int]) -> str:
    return ", ".join(f"{version or 'none'}: {count}" for version, count in devices.items()) or "-"


def _mean(line: dict[str, Any]) -> str:
    return f"{line['latency_sum_us'] / line['latency_n']:.0f} us" if line["latency_n"] else "-"
