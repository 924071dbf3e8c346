"""Pushed metadata is accepted whole or not at all, and only when it continues what is trusted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater

from edgekit.trust import keys, target_path
from edgekit.trust.releases import Repository
from fleet.release import metadata
from fleet.store import releases
from tests.fleet.front.bench import Bench, bundle_of
from tests.support import documents


def _post(bench: Bench, files: dict[str, str]) -> tuple[int, dict[str, Any]]:
    answer = bench.client().post("/api/v1/metadata", json={"files": files})
    return answer.status_code, answer.json()


def _stored(bench: Bench) -> tuple[list[str], list[str]]:
    """Names of metadata, and releases."""
    with bench.database.read() as connection:
        names = [
            item.name for role in releases.roles(connection) if (item := releases.newest_metadata(connection, role))
        ]
        return sorted(names), [f"{item.model} {item.version}" for item in releases.every_release(connection)]


def _signed(role: Targets | Root, signer_path: Path) -> str:
    changed: Metadata[Any] = Metadata(role)
    changed.sign(keys.load(signer_path, None))
    return changed.to_bytes().decode()


class _Fetcher(FetcherInterface):
    """A device's eyes: metadata through the API, as a stranger to the server's insides."""

    def __init__(self, bench: Bench) -> None:
        self._client = bench.client()

    def _fetch(self, url: str) -> Any:
        answer = self._client.get(f"/api/v1/metadata/{url.rpartition('/')[2]}")
        if answer.status_code != 200:
            raise DownloadHTTPError("absent", answer.status_code)
        yield answer.content


def test_a_tuf_client_that_pins_the_root_finds_the_release(bench: Bench, tmp_path: Path) -> None:
    bench.now = datetime.now(UTC)  # python-tuf asks the machine's clock
    bench.repository = bench.new_repository("today")
    release = bench.sign("pump", "1.0.0")
    answer = bench.push()
    assert answer == {"root": 1, "targets": 2, "snapshot": 1, "timestamp": 1, "releases": ["pump 1.0.0"]}
    root = bench.repository.metadata_files()["1.root.json"]
    device = Updater(str(tmp_path), "http://server/", fetcher=_Fetcher(bench), bootstrap=root)
    device.refresh()
    found = device.get_targetinfo(target_path("pump", "1.0.0"))
    assert found is not None
    assert found.hashes["sha256"] == release.sha256


def test_pushing_the_same_again_changes_nothing(bench: Bench) -> None:
    bench.sign("pump", "1.0.0")
    first = bench.push()
    assert bench.push() == {**first, "releases": []}


def test_a_push_wakes_the_server(bench: Bench) -> None:
    bench.sign("pump", "1.0.0")
    bench.push()
    assert bench.wakes == 1


def test_a_later_release_raises_snapshot_and_timestamp(bench: Bench) -> None:
    bench.sign("pump", "1.0.0")
    bench.push()
    bench.sign("pump", "1.1.0")
    assert bench.push() == {"root": 1, "targets": 2, "snapshot": 2, "timestamp": 2, "releases": ["pump 1.1.0"]}
    snapshot = Metadata[Snapshot].from_bytes(bench.client().get("/api/v1/metadata/2.snapshot.json").content)
    versions = {name: item.version for name, item in snapshot.signed.meta.items()}
    assert versions == {"targets.json": 2, "pump.json": 2}


def test_a_missing_artifact_is_named_and_nothing_is_stored(bench: Bench) -> None:
    bench.sign("pump", "1.0.0")
    status, fault = _post(bench, bench.files())
    assert (status, fault["reason"]) == (409, "artifact_missing")
    assert "pump 1.0.0" in fault["detail"]
    assert _stored(bench) == ([], [])


def test_the_root_of_another_server_s_repository_is_refused(bench: Bench) -> None:
    strangers = {role: documents.fixed_signer(seed).public_key for seed, role in enumerate(keys.SERVER_ROLES)}
    foreign = Repository(bench.folder / "foreign")
    foreign.init(strangers, bench.now)
    status, fault = _post(bench, bench.files(foreign))
    assert (status, fault["reason"]) == (409, "foreign_root")
    assert _stored(bench) == ([], [])


def test_a_second_repository_for_this_server_is_refused(bench: Bench) -> None:
    bench.push()
    status, fault = _post(bench, bench.files(bench.new_repository("other")))
    assert (status, fault["reason"]) == (409, "foreign_root")


def test_targets_that_go_back_are_refused(bench: Bench) -> None:
    before = bench.files()
    bench.sign("pump", "1.0.0")
    bench.push()
    assert "2.targets.json" in bench.files()
    status, fault = _post(bench, before)
    assert (status, fault["reason"]) == (409, "version_went_back")


def test_a_delegated_role_that_goes_back_is_refused(bench: Bench) -> None:
    bench.sign("pump", "1.0.0")
    bench.push()
    older = bench.files()["1.pump.json"]
    bench.sign("pump", "1.1.0")
    bench.push()
    files = {name: text for name, text in bench.files().items() if name != "2.pump.json"}
    status, fault = _post(bench, files | {"1.pump.json": older})
    assert (status, fault["reason"]) == (409, "version_went_back")


def test_another_text_under_a_known_version_is_refused(bench: Bench) -> None:
    bench.sign("pump", "1.0.0")
    bench.push()
    role = Metadata[Targets].from_bytes(bench.files()["1.pump.json"].encode()).signed
    role.expires = role.expires.replace(year=role.expires.year + 1)
    again = _signed(role, bench.folder / "repo/keys/targets.pem")
    status, fault = _post(bench, bench.files() | {"1.pump.json": again})
    assert (status, fault["reason"]) == (409, "version_taken")


def test_metadata_signed_by_a_stranger_is_refused(bench: Bench) -> None:
    keys.create(bench.folder / "stranger.pem", None)
    targets = Metadata[Targets].from_bytes(bench.files()["1.targets.json"].encode()).signed
    files = bench.files() | {"1.targets.json": _signed(targets, bench.folder / "stranger.pem")}
    status, fault = _post(bench, files)
    assert (status, fault["reason"]) == (422, "signature_missing")
    assert _stored(bench) == ([], [])


def test_one_signature_is_not_enough_for_a_threshold_of_two(bench: Bench) -> None:
    root = Metadata[Root].from_bytes(bench.files()["1.root.json"].encode()).signed
    second = keys.create(bench.folder / "second.pem", None)
    root.add_key(second.public_key, "targets")
    root.roles["targets"].threshold = 2
    files = bench.files() | {"1.root.json": _signed(root, bench.folder / "repo/keys/root.pem")}
    status, fault = _post(bench, files)
    assert (status, fault["reason"]) == (422, "signature_missing")
    targets = Metadata[Targets].from_bytes(files["1.targets.json"].encode())
    targets.sign(second, append=True)
    assert _post(bench, files | {"1.targets.json": targets.to_bytes().decode()})[0] == 200


def test_expired_metadata_is_refused(bench: Bench) -> None:
    bench.pass_time(days=366)
    status, fault = _post(bench, bench.files())
    assert (status, fault["reason"]) == (422, "metadata_expired")


def test_a_root_rotates_only_with_the_old_key_s_signature(bench: Bench) -> None:
    bench.push()
    root = Metadata[Root].from_bytes(bench.files()["1.root.json"].encode()).signed
    fresh = keys.create(bench.folder / "fresh.pem", None)
    root.revoke_key(root.roles["root"].keyids[0], "root")
    root.add_key(fresh.public_key, "root")
    root.version = 2
    alone = _signed(root, bench.folder / "fresh.pem")
    assert _post(bench, bench.files() | {"2.root.json": alone})[1]["reason"] == "signature_missing"
    both: Metadata[Root] = Metadata(root)
    both.sign(fresh)
    both.sign(keys.load(bench.folder / "repo/keys/root.pem", None), append=True)
    status, answer = _post(bench, bench.files() | {"2.root.json": both.to_bytes().decode()})
    assert (status, answer["root"]) == (200, 2)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"1.root.json": "{}"},
        {"1.root.json": "[" * 100_000},
        {"root.json": "{}"},
        {"../1.root.json": "{}"},
        {"1.timestamp.json": "{}"},
        {"01.root.json": "{}"},
        {"1.root.json": "\ud800"},
    ],
    ids=["empty", "no metadata", "nested", "no version", "path", "not offline", "leading zero", "surrogate"],
)
def test_malformed_pushes_are_refused(shared: Bench, files: dict[str, str]) -> None:
    answer = shared.client().post("/api/v1/metadata", content=json.dumps({"files": files}))
    assert answer.status_code in (400, 422)
    assert answer.json().keys() == {"detail", "reason"}
    assert _stored(shared) == ([], [])


def test_a_role_that_targets_does_not_delegate_is_refused(bench: Bench) -> None:
    bench.sign("pump", "1.0.0")
    files = {name: text for name, text in bench.files().items() if name != "2.targets.json"}
    first = Metadata[Targets].from_bytes(bench.new_repository("fresh").metadata_files()["1.targets.json"]).signed
    files["1.targets.json"] = _signed(first, bench.folder / "repo/keys/targets.pem")
    assert _post(bench, files)[1]["reason"] == "metadata_malformed"


def test_a_release_that_does_not_describe_its_bundle_is_refused(bench: Bench) -> None:
    release = bench.sign("pump", "1.0.0")
    content = bench.repository.bundle_path(release.sha256).read_bytes()
    assert bench.client().put(f"/api/v1/artifacts/{release.sha256}", content=content).status_code == 200
    role = Metadata[Targets].from_bytes(bench.files()["1.pump.json"].encode()).signed
    custom = role.targets["pump/1.0.0.edgekit"].custom
    custom["index_sha256"] = "0" * 64
    files = bench.files() | {"1.pump.json": _signed(role, bench.folder / "repo/keys/targets.pem")}
    assert _post(bench, files)[1]["reason"] == "release_mismatch"


# ---- artifacts ------------------------------------------------------------------------------------------------


def test_an_artifact_comes_back_byte_for_byte(bench: Bench) -> None:
    release = bench.sign("pump", "1.0.0")
    content = bundle_of("pump", "1.0.0")
    path = f"/api/v1/artifacts/{release.sha256}"
    assert bench.client().head(path).status_code == 404
    assert bench.client().put(path, content=content).json() == {
        "sha256": release.sha256,
        "bytes": len(content),
        "new": True,
    }
    assert bench.client().head(path).status_code == 200
    assert bench.client().put(path, content=content).json()["new"] is False
    assert bench.catalogue.read(release.sha256) == content


def test_a_tampered_bundle_is_refused_and_leaves_nothing(bench: Bench) -> None:
    release = bench.sign("pump", "1.0.0")
    content = bytearray(bundle_of("pump", "1.0.0"))
    content[len(content) // 2] ^= 1
    answer = bench.client().put(f"/api/v1/artifacts/{release.sha256}", content=bytes(content))
    assert (answer.status_code, answer.json()["reason"]) == (422, "digest_mismatch")
    assert list((bench.folder / "data/artifacts").iterdir()) == []


def test_bytes_that_are_no_bundle_are_refused(bench: Bench) -> None:
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # of b"foo"
    answer = bench.client().put(f"/api/v1/artifacts/{digest}", content=b"foo")
    assert (answer.status_code, answer.json()["reason"]) == (422, "bundle_damaged")
    assert list((bench.folder / "data/artifacts").iterdir()) == []


# ---- keeping it fresh -----------------------------------------------------------------------------------------


def test_snapshot_and_timestamp_are_signed_anew_after_half_their_life(bench: Bench) -> None:
    bench.push()
    for days, signed in ((3, False), (1, True), (1, False)):
        bench.pass_time(days=days)
        with bench.database.begin() as connection:
            assert metadata.refresh(connection, bench.signers, bench.now) is signed
    timestamp = Metadata[Timestamp].from_bytes(bench.client().get("/api/v1/metadata/timestamp.json").content).signed
    assert (timestamp.version, timestamp.snapshot_meta.version) == (2, 2)
    assert not timestamp.is_expired(bench.now)


def test_there_is_nothing_to_refresh_before_the_first_push(bench: Bench) -> None:
    with bench.database.begin() as connection:
        assert metadata.refresh(connection, bench.signers, bench.now) is False
        assert metadata.versions(connection) is None
