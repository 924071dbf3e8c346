"""The container refuses everything that was not packed by edgekit exactly so."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit import bundle, packing, wire
from edgekit.errors import BundleError
from tests.support import documents

HONEST = documents.bundle()


def _rewrite(change: Callable[[dict[str, bytes]], object], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    with zipfile.ZipFile(io.BytesIO(HONEST)) as archive:
        entries = {line.filename: archive.read(line) for line in archive.infolist()}
    change(entries)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for path, content in entries.items():
            archive.writestr(path, content)
    return out.getvalue()


def _renamed(old: str, new: str) -> Callable[[dict[str, bytes]], None]:
    def change(entries: dict[str, bytes]) -> None:
        entries[new] = entries.pop(old)

    return change


def test_packing_is_a_pure_function() -> None:
    assert documents.bundle() == documents.bundle()


def test_an_honest_bundle_opens_and_expands() -> None:
    opened = bundle.parse(HONEST)
    assert packing.expand(opened, "model") == b"model bytes " * 40


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "bundle_damaged"),
    "no zip": (b"hello" * 100, "bundle_damaged"),
    "truncated": (HONEST[:-40], "bundle_damaged"),
    "an entry more": (_rewrite(lambda e: e.update({"extra": b"x"})), "entries_wrong"),
    "an entry less": (_rewrite(lambda e: e.pop("model.wire")), "entries_wrong"),
    "manifest missing": (_rewrite(_renamed("manifest.json", "other.json")), "manifest_missing"),
    "manifest not JSON": (_rewrite(lambda e: e.update({"manifest.json": b"{"})), "manifest_malformed"),
    "manifest nested deeply": (_rewrite(lambda e: e.update({"manifest.json": b"[" * 100_000})), "manifest_malformed"),
    "path escape": (_rewrite(_renamed("model.wire", "../model.wire")), "entries_wrong"),
    "compressed entries": (_rewrite(lambda e: None, compression=zipfile.ZIP_DEFLATED), "entries_wrong"),
    "altered model": (_rewrite(lambda e: e.update({"model.wire": b"y" * len(e["model.wire"])})), "digest_mismatch"),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_a_hostile_bundle_is_refused_with_its_reason(case: str) -> None:
    content, reason = HOSTILE[case]
    with pytest.raises(BundleError) as caught:
        bundle.parse(content)
    assert caught.value.reason == reason


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, len(HONEST) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_or_changes_nothing_that_counts(position: int, bit: int) -> None:
    altered = bytearray(HONEST)
    altered[position] ^= 1 << bit
    try:
        opened = bundle.parse(bytes(altered))
    except BundleError:
        return
    # what is left are the dates and attributes of the zip itself: no byte of manifest or entries
    assert opened.entries == bundle.parse(HONEST).entries
    assert opened.manifest == bundle.parse(HONEST).manifest


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=400))
def test_no_bytes_at_all_get_past_the_error_type(content: bytes) -> None:
    with pytest.raises(BundleError):
        bundle.parse(content)


def test_a_frame_that_announces_another_size_is_refused_before_it_is_expanded() -> None:
    encoding, stored = wire.compress(b"\0" * 10_000_000)
    with pytest.raises(BundleError, match="another size"):
        wire.expand(stored, encoding, 1000)


def test_incompressible_bytes_are_stored_as_they_are() -> None:
    content = bytes(range(200))
    assert wire.compress(content) == ("stored", content)


def test_a_missing_file_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot be read \(No such file"):
        bundle.load(tmp_path / "none.edgekit")
