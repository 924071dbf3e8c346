"""The trust child's judgement, with real keys and real metadata: what is followed, and every attack that is not."""

from __future__ import annotations

import base64
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from tuf.api.metadata import Metadata, Root

from edge_agent.update.dialog import Refusal, TrustRequest, Verdict
from edge_agent.update.trust import FAR, answer
from edgekit import messages
from edgekit.messages import Desired, DesiredModel, Envelope
from edgekit.times import rfc3339, utc_now
from edgekit.trust import desired, keys
from edgekit.trust.releases import Release
from tests.support.models import make_bundle
from tests.support.station import Signing, model_of


@dataclass
class Scene:
    """A fleet with two releases of one model, and what a device that asks has in its hands."""

    signing: Signing
    old: Release
    new: Release
    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)

    def ask(self, name: str) -> bytes | None:
        self.asked.append(name)
        return self.files.get(name)

    def judge(self, document: Desired | bytes, **changes: object) -> Verdict | Refusal:
        envelope = document if isinstance(document, bytes) else self.signing.sign(document)
        request = TrustRequest(
            root=self.signing.root,
            files={},
            envelope=envelope,
            tenant="default",
            device="pump-1",
            applied_seq=0,
            floors={},
            clock=rfc3339(utc_now()),
            trusted_time="",
            arch=platform.machine(),
        )
        return answer(replace(request, **changes), self.ask)

    def document(self, release: Release | None = None, **changes: object) -> Desired:
        return self.signing.document("pump-1", 1, [model_of(release or self.new)], **changes)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    signing = Signing(tmp_path)
    old = signing.add(make_bundle(version="1.0.0"))
    new = signing.add(make_bundle(version="1.1.0", shift=0.5))
    return Scene(signing, old, new, signing.metadata())


def verdict(answered: Verdict | Refusal) -> Verdict:
    assert isinstance(answered, Verdict), answered
    return answered


def refusal(answered: Verdict | Refusal) -> Refusal:
    assert isinstance(answered, Refusal), answered
    return answered


def test_a_signed_fresh_document_for_us_is_followed(scene: Scene) -> None:
    judged = verdict(scene.judge(scene.document()))
    target = judged.models[0]
    assert (judged.seq, target.name, target.sha256, target.refused) == (1, "pump", scene.new.sha256, None)
    assert len(target.index_sha256) == len(target.expanded_sha256) == 64
    assert {"timestamp.json", "snapshot.json", "targets.json", "pump.json"} <= set(judged.files)


def test_what_was_verified_once_is_not_fetched_again(scene: Scene) -> None:
    judged = verdict(scene.judge(scene.document()))
    scene.asked.clear()
    verdict(scene.judge(scene.document(), files=judged.files))
    assert scene.asked == ["timestamp.json"]


def test_a_root_that_the_document_does_not_name_is_not_waited_for(scene: Scene) -> None:
    verdict(scene.judge(scene.document()))
    assert not any(name.endswith("root.json") for name in scene.asked)


Change = Callable[[Scene], tuple[Desired | bytes, dict[str, object]]]


def _unsigned(scene: Scene) -> tuple[bytes, dict[str, object]]:
    envelope = messages.decode(scene.signing.sign(scene.document()), Envelope)
    return messages.encode(replace(envelope, signatures=[])), {}


def _altered(scene: Scene) -> tuple[bytes, dict[str, object]]:
    envelope = messages.decode(scene.signing.sign(scene.document(scene.old)), Envelope)
    other = base64.b64encode(messages.encode(scene.document(scene.new))).decode()
    return messages.encode(replace(envelope, payload=other)), {}


def _foreign_key(scene: Scene) -> tuple[bytes, dict[str, object]]:
    return desired.sign(scene.document(), scene.signing.keys["snapshot"]), {}


REFUSED: dict[str, Change] = {
    "desired_unsigned": _unsigned,
    "desired_unsigned altered": _altered,
    "desired_unsigned by another key": _foreign_key,
    "desired_wrong_device": lambda scene: (replace(scene.document(), device="pump-2"), {}),
    "desired_wrong_device tenant": lambda scene: (replace(scene.document(), tenant="other"), {}),
    "desired_replayed": lambda scene: (scene.document(), {"applied_seq": 1}),
    "desired_expired": lambda scene: (replace(scene.document(), expires=rfc3339(utc_now() - timedelta(hours=1))), {}),
    "message_malformed": lambda scene: (b"{}", {}),
    "message_malformed time": lambda scene: (replace(scene.document(), issued="yesterday"), {}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_document_that_is_not_good_is_refused_for_good(scene: Scene, case: str) -> None:
    document, changes = REFUSED[case](scene)
    refused = refusal(scene.judge(document, **changes))
    assert (refused.reason, refused.wait) == (case.partition(" ")[0], False)


def test_a_replayed_or_foreign_document_costs_no_fetch(scene: Scene) -> None:
    refusal(scene.judge(scene.document(), applied_seq=1))
    refusal(scene.judge(replace(scene.document(), device="pump-2")))
    assert scene.asked == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "0" * 64}, "release_mismatch"),
        ({"bytes": 1}, "release_mismatch"),
        ({"counter": 9}, "release_mismatch"),
        ({"version": "9.9.9"}, "release_unknown"),
    ],
)
def test_the_server_may_only_choose_what_was_signed_offline(
    scene: Scene, change: dict[str, str | int], reason: str
) -> None:
    asked = replace(model_of(scene.new), **change)
    target = verdict(scene.judge(scene.signing.document("pump-1", 1, [asked]))).models[0]
    assert target.refused == reason


def test_an_older_release_may_be_asked_for_while_no_floor_forbids_it(scene: Scene) -> None:
    assert verdict(scene.judge(scene.document(scene.old))).models[0].refused is None


def test_a_release_below_the_highest_floor_ever_signed_is_refused(scene: Scene) -> None:
    scene.signing.add(make_bundle(version="1.2.0", shift=1.0), min_counter=2)
    scene.files = scene.signing.metadata()
    judged = verdict(scene.judge(scene.document(scene.old)))
    assert judged.models[0].refused == "below_floor"
    assert judged.floors == {"pump": 2}


def test_a_floor_seen_before_holds_though_metadata_no_longer_shows_it(scene: Scene) -> None:
    assert verdict(scene.judge(scene.document(scene.old), floors={"pump": 2})).models[0].refused == "below_floor"


def test_a_release_for_other_machines_is_refused(scene: Scene) -> None:
    assert verdict(scene.judge(scene.document(), arch="riscv64")).models[0].refused == "hardware_mismatch"


def test_one_refused_model_does_not_stop_another(scene: Scene) -> None:
    fan = scene.signing.add(make_bundle(name="fan"))
    scene.files = scene.signing.metadata()
    models = [replace(model_of(scene.new), bytes=1), model_of(fan)]
    judged = verdict(scene.judge(scene.signing.document("pump-1", 1, models)))
    assert [target.refused for target in judged.models] == ["release_mismatch", None]


# ---- metadata -----------------------------------------------------------------------------------------------------


def waits(answered: Verdict | Refusal) -> str:
    refused = refusal(answered)
    assert refused.wait
    return refused.reason


def test_metadata_that_does_not_come_makes_it_wait(scene: Scene) -> None:
    del scene.files["timestamp.json"]
    assert waits(scene.judge(scene.document())) == "metadata_unavailable"


def test_metadata_older_than_the_document_names_makes_it_wait(scene: Scene) -> None:
    kept = dict(scene.files)
    scene.signing.metadata()
    scene.files = kept
    assert waits(scene.judge(scene.document())) == "metadata_stale"


def test_metadata_signed_by_others_makes_it_wait(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    evil = Signing(tmp_path / "evil")
    scene.files |= {"timestamp.json": evil.metadata()["timestamp.json"]}
    assert waits(scene.judge(scene.document())) == "metadata_untrusted"


def test_metadata_rolled_back_makes_it_wait(scene: Scene) -> None:
    old = dict(scene.files)
    scene.files = scene.signing.metadata()
    judged = verdict(scene.judge(scene.document()))
    scene.files = old
    assert waits(scene.judge(scene.document(), files=judged.files)) == "metadata_untrusted"


def test_expired_metadata_makes_it_wait_and_fresh_metadata_heals_it(scene: Scene) -> None:
    scene.files = scene.signing.metadata(expires=utc_now() - timedelta(days=1))
    refused = refusal(scene.judge(scene.document()))
    assert (refused.reason, refused.wait) == ("metadata_expired", True)
    assert [target.sha256 for target in refused.models] == [scene.new.sha256]
    scene.files = scene.signing.metadata()
    verdict(scene.judge(scene.document()))


def test_a_root_named_by_the_document_that_does_not_come_makes_it_wait(scene: Scene) -> None:
    meta = replace(scene.document().meta, root=2)
    assert waits(scene.judge(scene.document(meta=meta))) == "metadata_unavailable"


def test_trust_follows_a_rotated_root_and_remembers_it(scene: Scene, tmp_path: Path) -> None:
    rotated = Metadata[Root].from_bytes(scene.files["1.root.json"])
    rotated.signed.version = 2
    rotated.sign(keys.load(tmp_path / "repo" / "keys" / "root.pem", None))
    scene.files["2.root.json"] = rotated.to_bytes()
    document = scene.document(meta=replace(scene.document().meta, root=2))
    judged = verdict(scene.judge(document))
    assert "root_history/2.root.json" in judged.files
    scene.asked.clear()
    verdict(scene.judge(document, files=judged.files))
    assert scene.asked == ["timestamp.json"]


def test_a_root_that_the_pinned_one_did_not_sign_is_not_followed(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    foreign = Metadata[Root].from_bytes(Signing(tmp_path / "evil").metadata()["1.root.json"])
    foreign.signed.version = 2
    foreign.sign(keys.load(tmp_path / "evil" / "repo" / "keys" / "root.pem", None))
    scene.files["2.root.json"] = foreign.to_bytes()
    assert waits(scene.judge(scene.document(meta=replace(scene.document().meta, root=2)))) == "metadata_untrusted"


def test_damaged_stored_metadata_is_fetched_anew(scene: Scene) -> None:
    judged = verdict(scene.judge(scene.document()))
    damaged = dict.fromkeys(judged.files, "rubbish")
    verdict(scene.judge(scene.document(), files=damaged))


def test_stored_names_cannot_leave_the_working_folder(scene: Scene, tmp_path: Path) -> None:
    verdict(scene.judge(scene.document(), files={"../../escaped.json": "x", f"{tmp_path}/abs.json": "x"}))
    assert not (tmp_path / "abs.json").exists()


# ---- time ---------------------------------------------------------------------------------------------------------


def at(moment: datetime) -> dict[str, object]:
    return {"clock": rfc3339(moment)}


def test_a_clock_in_the_past_is_harmless(scene: Scene) -> None:
    long_ago = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    judged = verdict(scene.judge(scene.document(), **at(long_ago)))
    assert judged.trusted_time == scene.document().issued or judged.trusted_time > "2026"


def test_a_clock_in_the_past_does_not_revive_what_expired_before_a_time_known_to_have_passed(scene: Scene) -> None:
    scene.files = scene.signing.metadata(expires=utc_now() - timedelta(days=1))
    long_ago = at(datetime.fromisoformat("1970-01-01T00:00:00+00:00"))
    document = scene.document(issued=rfc3339(utc_now() - timedelta(days=9)))
    assert waits(scene.judge(document, **long_ago, trusted_time=rfc3339(utc_now()))) == "metadata_expired"


def test_the_time_at_which_a_document_was_issued_counts_against_old_metadata(scene: Scene) -> None:
    scene.files = scene.signing.metadata(expires=utc_now() - timedelta(days=1))
    long_ago = at(datetime.fromisoformat("1970-01-01T00:00:00+00:00"))
    assert waits(scene.judge(scene.document(), **long_ago)) == "metadata_expired"


def test_a_clock_far_in_the_future_makes_it_wait_as_untrusted(scene: Scene) -> None:
    future = at(utc_now() + FAR + timedelta(days=365))
    assert waits(scene.judge(scene.document(), **future)) == "clock_untrusted"


def test_one_key_of_several_may_sign(scene: Scene) -> None:
    envelope = messages.decode(scene.signing.sign(scene.document()), Envelope)
    junk = messages.Signature(keyid="0" * 64, sig=base64.b64encode(b"junk").decode())
    doubled = replace(envelope, signatures=[junk, *envelope.signatures])
    verdict(scene.judge(messages.encode(doubled)))


def test_a_document_without_models_is_followed(scene: Scene) -> None:
    empty: list[DesiredModel] = []
    assert verdict(scene.judge(scene.signing.document("pump-1", 1, empty))).models == []
