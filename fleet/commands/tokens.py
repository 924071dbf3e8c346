"""`edgekit fleet token …`: API tokens, made and revoked on the machine of the server."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit import console, extras
from fleet.commands.options import check_free, config_option, load_config, open_database
from fleet.commands.tables import table

if TYPE_CHECKING:
    from fleet.store.tokens import Token

ROLES = ("viewer", "operator", "admin")


@click.group()
def token() -> None:
    """API tokens: who may look, steer and administer."""


@token.command()
@click.option("--name", required=True, help="What to call it in lists and in the audit log.")
@click.option("--role", type=click.Choice(ROLES), required=True, help="A higher role may do all that a lower one may.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File for the token (mode 0600).")
@config_option
@console.json_option
def create(name: str, role: str, output: Path | None, config_path: Path | None, *, as_json: bool) -> None:
    """Make a token and print it, this once."""
    if output is not None:
        check_free(output, "a token")
    database = open_database(load_config(config_path), create=True)
    with extras.needs("fleet"):
        from edgekit.files import write_secret
        from edgekit.times import utc_now
        from fleet.store import audit, tokens
        from fleet.store.moments import stored
    now_ms = stored(utc_now())
    with database.begin() as connection:
        made, secret = tokens.create(connection, name=name, role=tokens.role_named(role), now_ms=now_ms)
        audit.record(
            connection, at_ms=now_ms, actor=_actor(), action="token.create", subject=name, detail={"role": role}
        )
        if output is not None:
            # Inside the transaction: a token that nobody could read must not exist.
            write_secret(output, f"{secret}\n".encode())
    shown = {} if output is not None else {"token": secret}
    console.emit(_document(made) | shown, secret if output is None else f"token {name} is in {output}", as_json=as_json)


@token.command(name="list")
@config_option
@console.json_option
def list_tokens(config_path: Path | None, *, as_json: bool) -> None:
    """List the tokens; their secrets are stored nowhere."""
    database = open_database(load_config(config_path))
    from fleet.store import tokens

    with database.read() as connection:
        documents = [_document(item) for item in tokens.everyone(connection)]
    rows = ((item["id"], item["name"], item["role"], item["created"], item["revoked"]) for item in documents)
    empty = "no tokens yet: edgekit fleet token create --name NAME --role admin"
    console.emit(documents, lambda: table(("id", "name", "role", "created", "revoked"), rows, empty), as_json=as_json)


@token.command()
@click.argument("name")
@config_option
@console.json_option
def revoke(name: str, config_path: Path | None, *, as_json: bool) -> None:
    """Revoke the token with that NAME or id; it stops working at once."""
    database = open_database(load_config(config_path))
    from edgekit.times import utc_now
    from fleet.store import audit, tokens
    from fleet.store.moments import stored

    now_ms = stored(utc_now())
    with database.begin() as connection:
        ended = tokens.revoke(connection, name, now_ms=now_ms)
        audit.record(connection, at_ms=now_ms, actor=_actor(), action="token.revoke", subject=name)
    console.emit({"revoked": [item.id for item in ended]}, f"revoked {name}", as_json=as_json)


def _actor() -> str:
    try:
        return f"local:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name, as in containers
        return "local"


def _document(item: Token) -> dict[str, Any]:
    from fleet.store.moments import shown, shown_or_none

    return {
        "id": item.id,
        "name": item.name,
        "role": item.role.name.lower(),
        "created": shown(item.created_ms),
        "revoked": shown_or_none(item.revoked_ms),
    }
