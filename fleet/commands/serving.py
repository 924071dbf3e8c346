"""`edgekit fleet serve | migrate | keys init`: on the machine of the server."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgekit import console, extras
from edgekit.errors import UsageFault
from fleet.commands.options import config_option, load_config


@click.command()
@config_option
@console.json_option
def serve(config_path: Path | None, *, as_json: bool) -> None:
    """Run the server: API, dashboard, broker link and rollout controller.

    It prints its address when it is ready and runs until it is interrupted.
    """
    config = load_config(config_path)
    with extras.needs("fleet"):
        from fleet.service import Ready, Service

    def announce(ready: Ready) -> None:
        text = f"fleet server ready: API and dashboard at {ready.api}, devices connect to {ready.broker}"
        document = {"event": "ready", "api": ready.api, "broker": ready.broker}
        console.emit(document, text, as_json=as_json)

    Service(config).run(announce)


@click.command()
@config_option
@console.json_option
def migrate(config_path: Path | None, *, as_json: bool) -> None:
    """Bring the database to this version's schema. Back it up first."""
    config = load_config(config_path)
    with extras.needs("fleet"):
        from fleet.store.database import Database
    before, after = Database(config.database_url).migrate()
    text = f"schema {after}: nothing to do" if before == after else f"schema {before or 'none'} -> {after}"
    console.emit({"before": before, "after": after}, text, as_json=as_json)


@click.group()
def keys() -> None:
    """The server's own keys."""


@keys.command(name="init")
@config_option
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File for the public halves.")
@console.json_option
def init_keys(config_path: Path | None, output: Path | None, *, as_json: bool) -> None:
    """Make the keys for snapshot, timestamp and desired documents, and print or write their public halves.

    `edgekit release init --server-keys FILE` takes that file. Repeating it keeps the keys that are there.
    """
    config = load_config(config_path)
    if output is not None and not output.absolute().parent.is_dir():
        raise UsageFault(f"{output} cannot be written: its folder does not exist")
    with extras.needs("fleet"):
        from edgekit.files import write_atomic
        from edgekit.trust.keys import encode_server_keys
        from fleet.release import signers
    found, made = signers.init(config.keys_dir)
    content = encode_server_keys(found.public())
    if output is None:
        console.emit(json.loads(content), content.decode().rstrip("\n"), as_json=as_json)
        return
    write_atomic(output, content)
    text = f"{'made' if made else 'kept'} the keys in {config.keys_dir}; public halves are in {output}"
    console.emit({"keys": str(config.keys_dir), "made": made, "output": str(output)}, text, as_json=as_json)
