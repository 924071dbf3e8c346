"""`edgekit fleet releases …`: what was signed and pushed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit import console
from fleet.commands.options import client, client_options
from fleet.commands.tables import printable, table


@click.group()
def releases() -> None:
    """The signed releases that the server holds."""


@releases.command(name="list")
@client_options
@console.json_option
def list_releases(server: str | None, token_file: Path | None, *, as_json: bool) -> None:
    """List the releases."""
    found = client(server, token_file).get("releases")["releases"]
    names = ("model", "version", "counter", "min_counter", "bytes", "added")
    rows = ((*(item[name] for name in names), item["sha256"][:16]) for item in found)
    empty = "no releases yet: edgekit release add BUNDLE, then edgekit release push"
    console.emit(found, lambda: table((*names, "sha256"), rows, empty), as_json=as_json)


@releases.command()
@click.argument("model")
@click.argument("version")
@client_options
@console.json_option
def show(model: str, version: str, server: str | None, token_file: Path | None, *, as_json: bool) -> None:
    """Show a release and what its bundle says of itself."""
    found = client(server, token_file).get("releases", model, version)
    console.emit(found, lambda: _detail(found), as_json=as_json)


def _detail(item: dict[str, Any]) -> str:
    manifest = item["manifest"]
    inputs = ", ".join(feature["name"] for feature in manifest["inputs"])
    parity, measured = manifest["parity"], manifest["measured"]
    facts = [
        ("sha256", item["sha256"]),
        ("bytes", item["bytes"]),
        ("counter", f"{item['counter']} (devices refuse below {item['min_counter']})"),
        ("hardware", ", ".join(item["hardware"])),
        ("task", manifest["task"]),
        ("inputs", inputs),
        ("parity", f"{parity['label_changes']} label changes in {parity['rows']} rows"),
        ("measured", f"{measured['p50_us']:g} us a prediction, {measured['load_peak_bytes'] / 1e6:.0f} MB to load"),
    ]
    head = f"{item['model']} {item['version']}, added {item['added']}"
    return "\n".join([head, *(f"  {name:9} {printable(value)}" for name, value in facts)])
