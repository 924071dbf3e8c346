"""Yesterday's documents stay readable, and today's code still writes them byte for byte."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit import bundle, golden, manifest, messages, packing
from edgekit.errors import BundleError
from edgekit.join import Join
from edgekit.trust import desired, keys
from tests.support import documents

FOLDER = Path(__file__).parents[1] / "golden"
NAMES = sorted(documents.golden_files())


@pytest.mark.parametrize("name", NAMES)
def test_today_s_code_writes_the_golden_file(name: str) -> None:
    assert documents.golden_files()[name] == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("name", sorted(documents.wire_documents()))
def test_a_golden_message_reads_back_as_what_it_was_written_from(name: str) -> None:
    document = documents.wire_documents()[name]
    assert messages.decode((FOLDER / f"{name}.json").read_bytes(), type(document)) == document


def test_the_golden_manifest_and_its_bundle_read_back() -> None:
    opened = bundle.load(FOLDER / "pump-1.4.0.edgekit")
    assert msgspec.structs.replace(opened.manifest, files=[]) == documents.manifest()
    assert golden.decode_golden(packing.expand(opened, "golden")) == documents.golden_rows()
    assert golden.decode_reference(packing.expand(opened, "reference")) == documents.reference()


def test_documents_of_several_targets_read_back() -> None:
    files = bundle.load(FOLDER / "pump-1.4.0.edgekit").manifest.files
    whole = manifest.encode(msgspec.structs.replace(documents.targets_manifest(), files=files))
    assert manifest.decode(whole).outputs == documents.targets_manifest().outputs
    content = (FOLDER / "targets-golden-rows.json").read_bytes()
    assert golden.decode_golden(content) == documents.targets_golden_rows()


@pytest.mark.parametrize(
    "change",
    [{"width": 1}, {"target_classes": []}, {"classes": [0, 1]}, {"target_classes": [[0, 1]]}],
    ids=["narrower than its targets", "no targets", "classes told twice", "a target less"],
)
def test_a_manifest_whose_targets_do_not_fit_is_refused(change: dict[str, Any]) -> None:
    document = documents.targets_manifest()
    outputs = [msgspec.structs.replace(document.outputs[0], **change), document.outputs[1]]
    broken = msgspec.structs.replace(
        document, outputs=outputs, files=bundle.load(FOLDER / "pump-1.4.0.edgekit").manifest.files
    )
    with pytest.raises(BundleError, match="classes of its targets"):
        manifest.decode(manifest.encode(broken))


def test_the_golden_desired_document_verifies() -> None:
    key = documents.fixed_signer().public_key
    content = (FOLDER / "desired.json").read_bytes()
    found = desired.verify(
        content, {key.keyid: key}, tenant="default", device="press-7", above_seq=11, now=documents.NOW
    )
    assert found == documents.desired_document()


def test_the_golden_server_keys_and_join_file_read_back() -> None:
    assert set(keys.decode_server_keys((FOLDER / "server-keys.json").read_bytes())) == set(keys.SERVER_ROLES)
    join = msgspec.convert(tomllib.loads((FOLDER / "join.toml").read_text()), Join)
    assert (join.device, join.broker.password) == ("press-7", "secret")


def test_fields_of_a_later_version_are_ignored() -> None:
    later = (FOLDER / "event.json").read_bytes().replace(b'{"schema"', b'{"from_the_future":[1],"schema"', 1)
    assert b"from_the_future" in later
    assert messages.decode(later, messages.Event) == documents.wire_documents()["event"]


def test_a_manifest_without_files_is_refused() -> None:
    with pytest.raises(Exception, match="one model, one golden and one reference"):
        manifest.decode((FOLDER / "manifest.json").read_bytes())
