"""`state.json` and the slots: what survives cuts, damage and other versions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from edge_agent.update import state as states
from edge_agent.update.slots import Slots
from edge_agent.update.state import Accepted, Outcome, Slot, StateFile, Target, Trial
from edgekit.errors import DeviceFault
from edgekit.messages import UpdateState

A, B, C = (hashlib.sha256(name).hexdigest() for name in (b"a", b"b", b"c"))


def slot(sha256: str) -> Slot:
    return Slot(sha256=sha256, version="1.0.0", manifest_sha256=sha256)


def trial(sha256: str) -> Trial:
    return Trial(sha256=sha256, version="1.1.0", manifest_sha256=sha256, soak_s=5.0)


def end(sha256: str, state: UpdateState = "succeeded", rollout: str = "r1") -> Outcome:
    return Outcome(sha256=sha256, version="1.1.0", rollout=rollout, state=state, time="", told=False)


def wish(name: str) -> Target:
    return Target(name=name, version="1.0.0", sha256=A, bytes=1, counter=1, rollout="r1", refused="release_unknown")


def test_a_damaged_file_falls_back_to_the_copy_before_it(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.write(replace(file.state, applied_seq=1))
    file.write(replace(file.state, applied_seq=2))
    path = tmp_path / states.FILE_NAME
    path.write_bytes(path.read_bytes().replace(b'"applied_seq": 2', b'"applied_seq": 9'))
    again = StateFile(tmp_path)
    assert again.recovered
    assert again.state.applied_seq == 1


@pytest.mark.parametrize("garbage", [b"", b"\0" * 100, b"{}", b"00000000\n{}"])
def test_any_garbage_is_noticed(tmp_path: Path, garbage: bytes) -> None:
    file = StateFile(tmp_path)
    file.write(replace(file.state, applied_seq=1))
    (tmp_path / states.FILE_NAME).write_bytes(garbage)
    again = StateFile(tmp_path)
    assert again.recovered
    assert again.state.applied_seq == 0


def test_an_undamaged_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    written = file.write(replace(file.state, applied_seq=7, floors={"pump": 3}))
    again = StateFile(tmp_path)
    assert not again.recovered
    assert again.state == written
    assert again.state.generation == 1


def test_fields_of_a_later_version_survive_rewriting(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.begin_trial("pump", trial(A))
    path = tmp_path / states.FILE_NAME
    raw, _ = states.decode(path.read_bytes())
    raw["invented_later"] = {"x": 1}
    raw["models"]["pump"]["shadow"] = [1, 2]
    raw["models"]["pump"]["trial"]["colour"] = "blue"
    path.write_bytes(states.encode(raw))
    Slots(tmp_path).count_boot("pump")
    raw, state = states.decode(path.read_bytes())
    assert raw["invented_later"] == {"x": 1}
    assert raw["models"]["pump"]["shadow"] == [1, 2]
    assert raw["models"]["pump"]["trial"]["colour"] == "blue"
    assert state.models["pump"].trial == replace(trial(A), boots=1)
    Slots(tmp_path).begin_trial("pump", trial(B))
    assert "colour" not in states.decode(path.read_bytes())[0]["models"]["pump"]["trial"]


def test_a_disk_that_refuses_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    slots = Slots(folder)
    slots.begin_trial("pump", trial(A))
    before = slots.state
    for entry in folder.iterdir():
        entry.rename(tmp_path / entry.name)
    folder.rmdir()
    with pytest.raises(DeviceFault, match="cannot be written"):
        slots.commit("pump", end(C))
    assert slots.state == before


def test_a_proven_trial_becomes_current_and_current_previous(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    for sha256 in (A, B):
        slots.begin_trial("pump", trial(sha256))
        slots.commit("pump", end(sha256))
    model = slots.model("pump")
    assert (model.current, model.previous, model.trial) == (
        replace(slot(B), version="1.1.0"),
        replace(slot(A), version="1.1.0"),
        None,
    )


def test_starts_with_a_trial_are_counted_before_it_is_loaded_and_clean_stops_are_not_held_against_it(
    tmp_path: Path,
) -> None:
    Slots(tmp_path).begin_trial("pump", trial(A))
    for expected in (1, 2):
        counted = Slots(tmp_path).count_boot("pump")
        assert counted is not None
        assert counted.boots == expected
    Slots(tmp_path).pause_trial("pump", 3.5)
    paused = Slots(tmp_path).model("pump").trial
    assert paused is not None
    assert (paused.boots, paused.soaked_s) == (1, 3.5)


def test_only_what_a_slot_names_is_kept(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    for sha256 in (A, B, C):
        slots.blobs.path(sha256).mkdir()
    for sha256 in (A, B):
        slots.begin_trial("pump", trial(sha256))
        slots.commit("pump", end(sha256))
    slots.collect()
    assert {entry.name for entry in slots.blobs.folder.iterdir()} == {A, B}


def test_start_up_sweeps_what_interrupted_writes_left(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.blobs.temporary(A).mkdir()
    (tmp_path / ".edgekit-tmp-abc").write_bytes(b"half")
    Slots(tmp_path)
    assert list(slots.blobs.folder.iterdir()) == []
    assert not (tmp_path / ".edgekit-tmp-abc").exists()


def test_floors_applied_seq_and_time_never_go_down(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    newer = Accepted(seq=5, expires="", envelope_sha256=A, models=[])
    slots.accept(newer, {"pump": 4}, "2026-11-22T00:00:00.000Z")
    slots.accept(replace(newer, seq=3), {"pump": 2, "fan": 1}, "2020-01-01T00:00:00.000Z")
    state = Slots(tmp_path).state
    assert state.applied_seq == 5
    assert state.floors == {"pump": 4, "fan": 1}
    assert state.trusted_time.startswith("2026")


def test_a_bad_end_blocks_the_same_rollout_and_no_other(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.record("pump", end(A, "rejected"))
    again = Slots(tmp_path)
    assert again.ended_badly("pump", A, "r1")
    assert not again.ended_badly("pump", A, "r2")
    assert not again.ended_badly("pump", B, "r1")
    again.record("pump", end(A, "succeeded"))
    assert not again.ended_badly("pump", A, "r1")


def test_outcomes_are_bounded(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    for number in range(20):
        slots.record("pump", Outcome(sha256=A, version="1.0.0", rollout=f"r{number}", state="failed", time=""))
    kept = slots.model("pump").outcomes
    assert [outcome.rollout for outcome in kept] == [f"r{number}" for number in range(12, 20)]


def test_the_file_is_json_under_a_checksum_line(tmp_path: Path) -> None:
    Slots(tmp_path).begin_trial("pump", trial(A))
    head, body = (tmp_path / states.FILE_NAME).read_bytes().split(b"\n", 1)
    assert len(head) == 8
    assert msgspec.json.decode(body)["schema"] == "edgekit.state/1"


def test_an_end_is_in_the_same_write_as_the_move_that_ends_it(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.begin_trial("pump", trial(A))
    before = slots.state.generation
    slots.commit("pump", end(A))
    slots.begin_trial("pump", trial(B))
    slots.forget_trial("pump", end(B, "rolled_back"))
    assert slots.state.generation == before + 3
    again = Slots(tmp_path)
    assert again.ended_badly("pump", B, "r1")
    assert [told.state for _, told in again.untold()] == ["succeeded", "rolled_back"]


def test_an_end_is_untold_until_its_report_is_kept(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    for sha256 in (A, B):
        slots.record("pump", end(sha256))
    slots.mark_told("pump", end(A))
    assert Slots(tmp_path).untold() == [("pump", end(B))]


def test_ends_of_an_older_file_count_as_told(tmp_path: Path) -> None:
    Slots(tmp_path).record("pump", end(A))
    path = tmp_path / states.FILE_NAME
    raw, _ = states.decode(path.read_bytes())
    del raw["models"]["pump"]["outcomes"][0]["told"]
    path.write_bytes(states.encode(raw))
    assert Slots(tmp_path).untold() == []


def test_what_waits_for_its_trial_survives_the_clearing_up_of_another_model(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.blobs.temporary(A).mkdir()
    slots.publish("pump", A)
    slots.collect()
    assert slots.blobs.path(A).exists()
    slots.forget_trial("pump", end(A, "failed"))
    slots.collect()
    assert not slots.blobs.path(A).exists()


def test_models_that_are_neither_asked_for_nor_stored_are_forgotten(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.begin_trial("pump", trial(A))
    for name in ("fan", "valve", "gate"):
        slots.record(name, replace(end(B, "rejected"), told=True))
    slots.record("door", end(B, "rejected"))
    accepted = Accepted(seq=1, expires="", envelope_sha256=A, models=[wish("fan")])
    slots.accept(accepted, {"valve": 0, "gate": 3}, "")
    again = Slots(tmp_path).state
    assert set(again.models) == {"pump", "fan", "door"}, "what serves, what is asked for, and what is yet to be told"
    assert again.floors == {"gate": 3}


def test_a_state_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.begin_trial("pump", trial(A))
    many = [replace(wish(f"model-{number}"), refused_detail="x" * 1000) for number in range(1000)]
    with pytest.raises(DeviceFault) as caught:
        slots.accept(Accepted(seq=1, expires="", envelope_sha256=A, models=many), {}, "")
    assert caught.value.reason == "state_too_large"
    assert Slots(tmp_path).model("pump").trial == trial(A)
