"""`edgekit fleet devices …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit import console, extras
from fleet.commands.options import check_free, client, client_options, parse_tags
from fleet.commands.tables import age, printable, table

_HEAD = ("device", "online", "last seen", "models", "desired", "tags")


@click.group()
def devices() -> None:
    """The devices of the fleet."""


@devices.command()
@click.argument("device")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File for the join document (mode 0600)."
)
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Tag the device; may be repeated.")
@client_options
@console.json_option
def add(
    device: str,
    output: Path | None,
    tags: tuple[str, ...],
    server: str | None,
    token_file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Register DEVICE and write its join document: all that an agent needs.

    The document holds the broker credential and is given out only this once.
    """
    tagged = parse_tags(tags)
    if output is not None:
        check_free(output, "a join document")
    with extras.needs("fleet"):
        import msgspec

        from edgekit.files import write_secret
        from edgekit.join import Join, to_toml
    document = client(server, token_file).post("devices", body={"id": device, "tags": tagged})
    text = to_toml(msgspec.convert(document, Join))
    if output is None:
        console.emit(document, text.rstrip("\n"), as_json=as_json)
        return
    write_secret(output, text.encode())
    done = f"registered {device}; start its agent with: edgekit agent run --config {output}"
    console.emit({"device": device, "output": str(output)}, done, as_json=as_json)


@devices.command(name="list")
@click.option("--retired", is_flag=True, help="Show retired devices too.")
@client_options
@console.json_option
def list_devices(server: str | None, token_file: Path | None, *, retired: bool, as_json: bool) -> None:
    """List the devices with what they run."""
    found = list(client(server, token_file).devices(retired=retired))
    empty = "no devices yet: edgekit fleet devices add ID -o join.toml"
    console.emit(found, lambda: table(_HEAD, map(_row, found), empty), as_json=as_json)


@devices.command()
@click.argument("device")
@client_options
@console.json_option
def show(device: str, server: str | None, token_file: Path | None, *, as_json: bool) -> None:
    """Show DEVICE: what it runs, what it shall run, its health and its latest updates."""
    found = client(server, token_file).get("devices", device)
    console.emit(found, lambda: _detail(found), as_json=as_json)


@devices.command()
@click.argument("device")
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE|NAME-...")
@client_options
@console.json_option
def tag(device: str, changes: tuple[str, ...], server: str | None, token_file: Path | None, *, as_json: bool) -> None:
    """Set tags of DEVICE (NAME=VALUE) or remove them (NAME-)."""
    removed = {word[:-1]: None for word in changes if word.endswith("-") and "=" not in word}
    set_now = parse_tags(tuple(word for word in changes if not (word.endswith("-") and "=" not in word)))
    found = client(server, token_file).post("devices", device, "tags", body={"tags": {**set_now, **removed}})
    console.emit(found, f"{device}: {_tags(found['tags'])}", as_json=as_json)


@devices.command()
@click.argument("device")
@client_options
@console.json_option
def retire(device: str, server: str | None, token_file: Path | None, *, as_json: bool) -> None:
    """Take DEVICE out of the fleet: it is counted and targeted no more, and its id stays taken."""
    found = client(server, token_file).post("devices", device, "retire")
    console.emit(found, f"retired {device}", as_json=as_json)


def _row(device: dict[str, Any]) -> tuple[object, ...]:
    models = ", ".join(f"{slot['name']} {slot['version'] or 'none'} ({slot['state']})" for slot in device["models"])
    behind = device["desired_seq"] - device["applied_seq"]
    presence = "retired" if device["retired"] else "yes" if device["online"] else "no"
    desired = "applied" if behind <= 0 else "pending"
    return device["id"], presence, age(device["last_seen"]), models or "-", desired, _tags(device["tags"])


def _tags(tags: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in tags.items()) or "-"


def _detail(device: dict[str, Any]) -> str:
    wanted = ", ".join(f"{item['name']} {item['version']}" for item in device["desired"])
    events = [
        (item["time"], item["model"], item["version"], item["state"], item["reason"]) for item in device["events"]
    ]
    lines = [
        table(_HEAD, [_row(device)], ""),
        "",
        f"shall run: {printable(wanted or 'nothing')}",
        _health(device["health"]),
        "",
        table(("time", "model", "version", "update", "reason"), events, "no updates yet"),
    ]
    return "\n".join(lines)


def _health(health: dict[str, Any] | None) -> str:
    if health is None:
        return "health: no report yet"
    errors = health["client_error"] + health["server_error"]
    return (
        f"health: {health['ok']} requests and {errors} errors in the last {health['interval_s']:g} s, "
        f"agent {health['rss_bytes'] / 1e6:.0f} MB, reported {age(health['received'])}"
    )
