"""The offline release repository: safe to repeat, to interrupt, and never two contents under one version."""

from __future__ import annotations

from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root, Targets

from edgekit import bundle, packing
from edgekit.errors import Conflict, NotFound, TrustError
from edgekit.trust import keys, target_path
from edgekit.trust.releases import Repository
from tests.support import documents
from tests.support.documents import NOW

SERVER_KEYS = {role: documents.fixed_signer(seed).public_key for seed, role in enumerate(keys.SERVER_ROLES)}


def _repository(folder: Path, passphrase: bytes | None = None) -> Repository:
    repository = Repository(folder / "release", passphrase=passphrase)
    repository.init(SERVER_KEYS, NOW)
    return repository


def _bundle_file(folder: Path) -> Path:
    path = folder / "pump-1.4.0.edgekit"
    path.write_bytes(documents.bundle())
    return path


def _role(repository: Repository, name: str) -> Metadata[Targets]:
    found = repository.latest(name)
    assert found is not None
    return Metadata[Targets].from_bytes(found[1])


def test_init_twice_makes_everything_once(tmp_path: Path) -> None:
    repository = _repository(tmp_path)
    before = repository.metadata_files()
    assert repository.init(SERVER_KEYS, NOW) is False
    assert repository.metadata_files() == before


def test_init_for_other_server_keys_is_refused(tmp_path: Path) -> None:
    repository = _repository(tmp_path)
    others = {role: documents.fixed_signer(seed + 9).public_key for seed, role in enumerate(keys.SERVER_ROLES)}
    with pytest.raises(Conflict, match="other keys"):
        repository.init(others, NOW)


def test_root_names_offline_and_server_keys_and_signs_itself(tmp_path: Path) -> None:
    root = Metadata[Root].from_bytes(_repository(tmp_path).metadata_files()["1.root.json"])
    root.verify_delegate("root", root)
    assert root.signed.roles["snapshot"].keyids == [SERVER_KEYS["snapshot"].keyid]
    assert root.signed.roles["root"].keyids != root.signed.roles["targets"].keyids


def test_an_added_release_is_verifiable_from_root_down(tmp_path: Path) -> None:
    repository = _repository(tmp_path)
    added = repository.add(_bundle_file(tmp_path), NOW)
    root = Metadata[Root].from_bytes(repository.metadata_files()["1.root.json"])
    targets, role = _role(repository, "targets"), _role(repository, "pump")
    root.verify_delegate("targets", targets)
    targets.verify_delegate("pump", role)
    target = role.signed.targets[target_path("pump", "1.4.0")]
    target.verify_length_and_hashes(repository.bundle_path(added.sha256).read_bytes())
    assert (added.counter, added.added) == (1, True)


def test_adding_the_same_bundle_again_changes_nothing(tmp_path: Path) -> None:
    repository = _repository(tmp_path)
    repository.add(_bundle_file(tmp_path), NOW)
    before = repository.metadata_files()
    assert repository.add(_bundle_file(tmp_path), NOW).added is False
    assert repository.metadata_files() == before


def test_an_add_that_was_cut_before_the_delegation_is_completed_by_the_next(tmp_path: Path) -> None:
    repository = _repository(tmp_path)
    repository.add(_bundle_file(tmp_path), NOW)
    (tmp_path / "release/metadata/2.targets.json").unlink()
    assert repository.models() == []
    repository.add(_bundle_file(tmp_path), NOW)
    assert repository.models() == ["pump"]


def test_other_content_under_a_signed_version_is_refused(tmp_path: Path) -> None:
    repository = _repository(tmp_path)
    repository.add(_bundle_file(tmp_path), NOW)
    path = tmp_path / "other.edgekit"
    opened = bundle.parse(documents.bundle())
    contents = {file.role: packing.expand(opened, file.role) for file in opened.manifest.files}
    path.write_bytes(packing.build(opened.manifest, contents | {"model": b"another model"}))
    with pytest.raises(Conflict, match="signed already with other content"):
        repository.add(path, NOW)


def test_the_floor_never_sinks(tmp_path: Path) -> None:
    repository = _repository(tmp_path)
    with pytest.raises(Conflict, match=r"min-counter 2 must lie between 0 .* and 1"):
        repository.add(_bundle_file(tmp_path), NOW, min_counter=2)


def test_keys_are_private_and_a_wrong_passphrase_is_one_sentence(tmp_path: Path) -> None:
    repository = _repository(tmp_path, b"correct horse")
    key = tmp_path / "release/keys/targets.pem"
    assert key.stat().st_mode & 0o077 == 0
    assert b"ENCRYPTED" in key.read_bytes()
    with pytest.raises(TrustError, match="EDGEKIT_KEY_PASSPHRASE"):
        Repository(tmp_path / "release", passphrase=b"wrong").add(_bundle_file(tmp_path), NOW)
    assert repository.releases() == []


def test_a_folder_that_is_no_repository_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="edgekit release init"):
        Repository(tmp_path).releases()
