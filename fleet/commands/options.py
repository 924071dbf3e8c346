"""Options that commands share, and the two things they stand for: a client of the server, or the server's own files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgekit import extras
from edgekit.errors import ConfigError, UsageFault

if TYPE_CHECKING:
    from fleet.client import FleetClient
    from fleet.config import FleetConfig
    from fleet.store.database import Database

Command = TypeVar("Command", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration of the server [default: fleet.toml if it is there].",
)
_server_option = click.option("--server", envvar="EDGEKIT_SERVER", help="Address of the fleet server [EDGEKIT_SERVER].")
_token_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the API token [default: the token in EDGEKIT_TOKEN].",
)


def client_options(command: Command) -> Command:
    """--server and --token-file."""
    return _server_option(_token_option(command))


def client(server: str | None, token_file: Path | None) -> FleetClient:
    """The server's client. The token comes from a file or from EDGEKIT_TOKEN, never from an argument."""
    with extras.needs("fleet"):
        from fleet.client import connect
    return connect(server, os.environ.get("EDGEKIT_TOKEN", "").strip(), token_file)


def load_config(path: Path | None) -> FleetConfig:
    """The server's configuration."""
    with extras.needs("fleet"):
        from fleet.config import load
    return load(path)


def open_database(config: FleetConfig, *, create: bool = False) -> Database:
    """The server's database; with `create` a new one gets its tables. An old one must be migrated first."""
    with extras.needs("fleet"):
        from fleet.store.database import Database
    file = config.database_file
    if file is not None and not file.exists() and not create:
        raise ConfigError(f"there is no database at {file}: check --config, or make it with edgekit fleet migrate")
    database = Database(config.database_url)
    if create and database.is_empty():
        database.migrate()
    database.check_schema()
    return database


def check_free(output: Path, what: str) -> None:
    """Before anything is made that comes only once. Raises UsageFault when `what` could not be written to `output`."""
    if output.exists():
        raise UsageFault(f"{output} exists and is not replaced by {what}: choose another name")
    if not output.absolute().parent.is_dir():
        raise UsageFault(f"{output} cannot be written: its folder does not exist")


def parse_tags(pairs: tuple[str, ...]) -> dict[str, str]:
    """`key=value` words as a dictionary. Raises UsageFault."""
    tags = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageFault(f"tag {pair[:80]!r} is not NAME=VALUE")
        tags[key] = value
    return tags
