"""Bundles and releases that are not in order: nothing is made of them, nothing is signed, nothing is left behind."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.typed import NOWHERE, Case, Make, check

GOLDEN = Path(__file__).parents[1] / "golden"
BUNDLE = (GOLDEN / "pump-1.4.0.edgekit").read_bytes()


# ---- bundles ----------------------------------------------------------------------------------------------------


def a_bundle(change: Callable[[bytearray], bytes | bytearray]) -> Make:
    return lambda folder: (folder / "a.edgekit").write_bytes(change(bytearray(BUNDLE)))


def one_bit(content: bytearray) -> bytearray:
    content[len(content) // 2] ^= 1
    return content


def repacked(change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> Make:
    """Altered by somebody who can make zip files: every checksum of the container holds."""

    def make(folder: Path) -> None:
        with zipfile.ZipFile(GOLDEN / "pump-1.4.0.edgekit") as archive:
            entries = change({name: archive.read(name) for name in archive.namelist()})
        with zipfile.ZipFile(folder / "a.edgekit", "w", zipfile.ZIP_STORED) as archive:
            for name, content in sorted(entries.items()):
                archive.writestr(name, content)

    return make


DAMAGED: dict[str, tuple[Make, str]] = {
    "truncated": (a_bundle(lambda content: content[:-100]), "truncated or not an edgekit bundle"),
    "empty": (a_bundle(lambda content: b""), "truncated or not an edgekit bundle"),
    "altered by a bit": (a_bundle(one_bit), "Bad CRC-32"),
    "altered with care": (
        repacked(lambda entries: entries | {"model.wire": bytes(len(entries["model.wire"]))}),
        "model.wire was altered after packing",
    ),
    "with one entry more": (
        repacked(lambda entries: entries | {"extra": b""}),
        "does not hold exactly the four entries",
    ),
    "of a later format": (
        repacked(
            lambda entries: (
                entries | {"manifest.json": entries["manifest.json"].replace(b"edgekit.bundle/1", b"edgekit.bundle/9")}
            )
        ),
        "schema",
    ),
}
READERS = ("inspect a.edgekit", "bundle export a.edgekit -o out.onnx", "release add a.edgekit")


@pytest.mark.parametrize("words", READERS)
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_bundle_is_used_for_nothing(damage: str, words: str, desk: Path) -> None:
    make, says = DAMAGED[damage]
    check(Case(words, 1, ("a.edgekit: ", says), make), desk, EDGEKIT_KEY_PASSPHRASE="right")


def test_a_damaged_bundle_is_not_verified(tmp_path: Path) -> None:
    make, says = DAMAGED["altered with care"]
    check(Case("verify a.edgekit", 1, ("a.edgekit: ", says), make), tmp_path)


# ---- releases ---------------------------------------------------------------------------------------------------


def honest(folder: Path) -> None:
    (folder / "pump-1.4.0.edgekit").write_bytes(BUNDLE)


RELEASES: dict[str, Case] = {
    "no such bundle": Case("release add gone.edgekit", 1, ("gone.edgekit cannot be read", "check the path")),
    "a wrong passphrase": Case(
        "release add pump-1.4.0.edgekit",
        1,
        ("cannot be opened", "EDGEKIT_KEY_PASSPHRASE"),
        honest,
        (("EDGEKIT_KEY_PASSPHRASE", "wrong"),),
    ),
    "a counter out of reach": Case(
        "release add pump-1.4.0.edgekit --min-counter 9", 1, ("must lie between 0", "and 1"), honest
    ),
    "no repository": Case("release add pump-1.4.0.edgekit --repo no", 1, ("no is not a", "release init"), honest),
    "no passphrase for new keys": Case("release init --server-keys k.json --repo new", 2, ("EDGEKIT_KEY_PASSPHRASE",)),
    "no server keys": Case(
        "release init --server-keys k.json --repo new --unencrypted-keys", 1, ("k.json cannot be read", "keys init")
    ),
    "server keys that are none": Case(
        "release init --server-keys k.json --repo new --unencrypted-keys",
        1,
        ("k.json: ", "keys init"),
        lambda folder: (folder / "k.json").write_text("[]"),
    ),
    "no server for a push": Case("release push", 2, ("EDGEKIT_SERVER", "--server http")),
    "no token for a push": Case(f"release push --server {NOWHERE}", 6, ("EDGEKIT_TOKEN", "--token-file")),
    "no file for the token": Case(f"release push --server {NOWHERE} --token-file t", 2, ("t cannot be read", "check")),
}


@pytest.mark.parametrize("fault", RELEASES)
def test_a_release_is_signed_and_sent_whole_or_not_at_all(fault: str, desk: Path) -> None:
    check(RELEASES[fault], desk, **({} if "passphrase" in fault else {"EDGEKIT_KEY_PASSPHRASE": "right"}))
