"""`edgekit release …`: keys and signed release metadata, offline but for push."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit import console, extras
from edgekit.errors import NotFound, TrustError, UsageFault

if TYPE_CHECKING:
    from edgekit.http import Api
    from edgekit.trust.releases import Release, Repository

_MAX_PASSPHRASE_BYTES = 4096
_repo_option = click.option(
    "--repo",
    type=click.Path(path_type=Path, file_okay=False),
    default="release",
    show_default=True,
    envvar="EDGEKIT_RELEASE_REPO",
    help="Folder of the release repository.",
)
_keys_option = click.option(
    "--keys", type=click.Path(path_type=Path, file_okay=False), help="Folder of the private keys [default: REPO/keys]."
)
_passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the keys' passphrase [default: EDGEKIT_KEY_PASSPHRASE].",
)


@click.group()
def release() -> None:
    """Sign releases offline and push them to the fleet server.

    Root and targets keys stay with the release engineer. The server holds only the keys that say what is newest.
    """


@release.command()
@_repo_option
@_keys_option
@_passphrase_option
@click.option(
    "--server-keys",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Public server keys, made by `edgekit fleet keys init`.",
)
@click.option("--unencrypted-keys", is_flag=True, help="Store the private keys without a passphrase (a trusted bench).")
@console.json_option
def init(
    repo: Path,
    keys: Path | None,
    passphrase_file: Path | None,
    server_keys: Path,
    *,
    unencrypted_keys: bool,
    as_json: bool,
) -> None:
    """Make the keys and the first root and targets metadata."""
    passphrase = _passphrase(passphrase_file)
    if passphrase is None and not unencrypted_keys and not (keys or repo / "keys").exists():
        raise UsageFault(
            "no passphrase for the new keys: set EDGEKIT_KEY_PASSPHRASE or --passphrase-file, "
            "or choose --unencrypted-keys for a trusted bench"
        )
    with extras.needs("release"):
        from edgekit.files import read_bounded
        from edgekit.times import utc_now
        from edgekit.trust.keys import decode_server_keys
        from edgekit.trust.releases import Repository
    try:
        content = read_bounded(server_keys, 65_536)
    except (OSError, ValueError) as error:
        raise NotFound(f"server keys {server_keys} cannot be read: make them with edgekit fleet keys init") from error
    try:
        public = decode_server_keys(content)
    except TrustError as error:
        raise TrustError(f"{server_keys}: {error.message}", reason=error.reason) from error
    made = Repository(repo, keys, passphrase).init(public, utc_now())
    text = (
        f"made {repo}: pin metadata/1.root.json, keep keys/ offline"
        if made
        else f"{repo} is there already: nothing to do"
    )
    console.emit({"repo": str(repo), "made": made}, text, as_json=as_json)


@release.command()
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False))
@_repo_option
@_keys_option
@_passphrase_option
@click.option(
    "--min-counter",
    type=click.IntRange(min=0),
    help="Devices that see this never again install a release of this model with a lower counter.",
)
@console.json_option
def add(
    bundle: Path, repo: Path, keys: Path | None, passphrase_file: Path | None, *, min_counter: int | None, as_json: bool
) -> None:
    """Sign BUNDLE as a release. Repeating it changes nothing."""
    from edgekit.times import utc_now

    found = _open(repo, keys, passphrase_file).add(bundle, utc_now(), min_counter=min_counter)
    verb = "signed" if found.added else "already signed:"
    text = f"{verb} {found.model} {found.version} (counter {found.counter}, {found.bytes} bytes, sha256 {found.sha256})"
    console.emit(asdict(found), text, as_json=as_json)


@release.command(name="list")
@_repo_option
@console.json_option
def list_releases(repo: Path, *, as_json: bool) -> None:
    """List the signed releases."""
    releases = _open(repo, None, None).releases()
    console.emit([asdict(item) for item in releases], lambda: _table(releases), as_json=as_json)


@release.command()
@_repo_option
@click.option("--server", envvar="EDGEKIT_SERVER", help="Address of the fleet server [EDGEKIT_SERVER].")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the API token [default: the token in EDGEKIT_TOKEN].",
)
@console.json_option
def push(repo: Path, server: str | None, token_file: Path | None, *, as_json: bool) -> None:
    """Upload bundles and signed metadata to the fleet server. Repeating it sends only what is missing."""
    repository = _open(repo, None, None)
    with extras.needs("release"):
        from edgekit.http import connect

        api = connect(server, os.environ.get("EDGEKIT_TOKEN", "").strip(), token_file)
    answer, sent = _push(repository, api)
    text = f"pushed to {api.url}: {sent} new bundle(s); root {answer['root']}, snapshot {answer['snapshot']}"
    console.emit({**answer, "bundles_sent": sent}, text, as_json=as_json)


def _push(repository: Repository, api: Api) -> tuple[dict[str, Any], int]:
    from edgekit.bundle import MAX_BUNDLE_BYTES
    from edgekit.files import read_bounded

    sent = 0
    for item in repository.releases():
        path = f"/api/v1/artifacts/{item.sha256}"
        if not api.exists(path):
            api.put_bytes(path, read_bounded(repository.bundle_path(item.sha256), MAX_BUNDLE_BYTES))
            sent += 1
    files = {name: content.decode() for name, content in repository.metadata_files().items()}
    return api.post("/api/v1/metadata", {"files": files}), sent


def _open(repo: Path, keys: Path | None, passphrase_file: Path | None) -> Repository:
    with extras.needs("release"):
        from edgekit.trust.releases import Repository
    return Repository(repo, keys, _passphrase(passphrase_file))


def _passphrase(file: Path | None) -> bytes | None:
    from edgekit.files import read_bounded

    if file is None:
        return os.environ.get("EDGEKIT_KEY_PASSPHRASE", "").encode() or None
    try:
        return read_bounded(file, _MAX_PASSPHRASE_BYTES).strip() or None
    except (OSError, ValueError) as error:
        raise UsageFault(f"passphrase file {file} cannot be read: check the path and its permissions") from error


def _table(releases: list[Release]) -> str:
    if not releases:
        return "no releases yet: edgekit release add BUNDLE"
    lines = [f"{'model':24} {'version':16} {'counter':>7} {'bytes':>12}  sha256"]
    lines += [f"{r.model:24} {r.version:16} {r.counter:>7} {r.bytes:>12}  {r.sha256[:16]}" for r in releases]
    return "\n".join(lines)
