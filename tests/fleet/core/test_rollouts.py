"""Rollouts from creation to their end, on a real database: who is offered what, and what is put back."""

from __future__ import annotations

import pytest

from edgekit.errors import Conflict, NotFound, UsageFault
from fleet.rollout import commands
from fleet.rollout.plan import parse_plan
from fleet.rollout.states import Action
from fleet.rollout.views import history
from fleet.store import devices
from fleet.store.moments import stored
from tests.fleet.core.rig import Rig

NAMES = ["press-1", "press-2", "press-3"]


@pytest.fixture
def fleet(rig: Rig) -> Rig:
    """Three devices that run pump 1.0.0, and the signed release 1.1.0."""
    rig.release("pump", "1.0.0")
    rig.release("pump", "1.1.0", b"better model")
    rig.add(*NAMES)
    first = rig.start("100%")
    rig.settle()
    for name in NAMES:
        rig.say(name, first, "downloading", "soaking", "succeeded")
    assert rig.view(first).state == "completed"
    rig.breathe(*NAMES)
    return rig


def versions(rig: Rig) -> list[str]:
    return [rig.desired(name)[0].version for name in NAMES]


def test_a_good_release_goes_stage_by_stage_to_everyone(fleet: Rig) -> None:
    rollout = fleet.start(["press-1"], "100%", version="1.1.0")
    fleet.settle()
    assert versions(fleet) == ["1.1.0", "1.0.0", "1.0.0"]
    fleet.say("press-1", rollout, "queued", "downloading", "verifying", "testing", "activating", "soaking")
    assert versions(fleet) == ["1.1.0", "1.0.0", "1.0.0"], "a soaking canary is no evidence yet"
    fleet.say("press-1", rollout, "succeeded")
    assert versions(fleet) == ["1.1.0"] * 3
    fleet.say("press-2", rollout, "succeeded")
    fleet.say("press-3", rollout, "already_installed")
    view = fleet.view(rollout)
    assert (view.state, view.stage, view.undispatched) == ("completed", 2, 0)
    assert [(stage.state, stage.devices) for stage in view.stages] == [("passed", 1), ("passed", 2)]
    verdict = view.stages[0].verdict
    assert verdict is not None
    assert (verdict.outcome, verdict.good, verdict.bad) == ("pass", 1, {})


def test_one_then_the_rest_completes_on_a_fleet_of_one(rig: Rig) -> None:
    rig.release("pump", "1.0.0")
    rig.add("press-1")
    rollout = rig.start("1", "100%")
    rig.settle()
    rig.say("press-1", rollout, "succeeded")
    assert (rig.view(rollout).state, len(rig.view(rollout).stages)) == ("completed", 1)


@pytest.mark.parametrize("end", ["failed", "rejected", "rolled_back"])
def test_a_bad_canary_is_put_back_and_nobody_else_is_touched(fleet: Rig, end: str) -> None:
    before = {name: fleet.desired(name) for name in NAMES}
    rollout = fleet.start(["press-1"], "100%", version="1.1.0")
    fleet.settle()
    fleet.say("press-1", rollout, "testing", end)  # type: ignore[arg-type]
    view = fleet.view(rollout)
    assert (view.state, view.reason) == ("rolled_back", "stage_1_failed")
    assert [stage.state for stage in view.stages] == ["failed", "pending"]
    assert {name: fleet.desired(name) for name in NAMES} == before
    assert fleet.states(rollout) == {"press-1": end, "press-2": "pending", "press-3": "pending"}


def test_a_first_release_that_fails_leaves_no_entry(rig: Rig) -> None:
    rig.release("pump", "1.0.0")
    rig.add("press-1")
    rollout = rig.start("100%")
    rig.settle()
    rig.say("press-1", rollout, "failed")
    assert rig.view(rollout).state == "rolled_back"
    assert rig.desired("press-1") == []


def test_other_models_of_a_device_keep_their_entries(fleet: Rig) -> None:
    fleet.release("fan", "1.0.0", b"another model")
    document = {"model": "fan", "version": "1.0.0", "stages": [{"devices": ["press-1"]}]}
    with fleet.database.begin() as connection:
        fan = commands.create(connection, parse_plan(document), by="test", now_ms=stored(fleet.now))
    pump = fleet.start(["press-1"], version="1.1.0")
    fleet.settle()
    assert [(item.name, item.version, item.rollout) for item in fleet.desired("press-1")] == [
        ("fan", "1.0.0", fan),
        ("pump", "1.1.0", pump),
    ]
    fleet.say("press-1", pump, "failed")
    assert [(item.name, item.version) for item in fleet.desired("press-1")] == [("fan", "1.0.0"), ("pump", "1.0.0")]
    assert fleet.view(fan).state == "running"


def test_abort_puts_back_the_unfinished_and_leaves_what_ended(fleet: Rig) -> None:
    rollout = fleet.start(["press-1", "press-2"], "100%", version="1.1.0")
    fleet.settle()
    fleet.say("press-1", rollout, "succeeded")
    fleet.act(rollout, "abort")
    fleet.settle()
    assert fleet.view(rollout).state == "aborted"
    assert versions(fleet) == ["1.1.0", "1.0.0", "1.0.0"]
    assert fleet.states(rollout) == {"press-1": "succeeded", "press-2": "canceled", "press-3": "pending"}


def test_abort_and_rollback_end_only_when_the_broker_has_the_documents(fleet: Rig) -> None:
    rollout = fleet.start("100%", version="1.1.0")
    fleet.settle()
    fleet.act(rollout, "abort")
    fleet.settle(broker=False)
    assert fleet.view(rollout).state == "aborting"
    fleet.settle()
    assert fleet.view(rollout).state == "aborted"


def test_a_rollout_is_not_complete_while_a_document_is_unsent(fleet: Rig) -> None:
    rollout = fleet.start("100%", version="1.1.0")
    fleet.settle(broker=False)
    for name in NAMES:
        fleet.ingest.store([fleet.event(name, rollout, "succeeded")])
    fleet.settle(broker=False)
    assert (fleet.view(rollout).state, fleet.view(rollout).stages[0].state) == ("running", "passed")
    fleet.settle()
    assert fleet.view(rollout).state == "completed"


def test_a_completed_rollout_can_be_rolled_back(fleet: Rig) -> None:
    rollout = fleet.start("100%", version="1.1.0")
    fleet.settle()
    for name in NAMES:
        fleet.say(name, rollout, "succeeded")
    fleet.act(rollout, "rollback")
    fleet.settle()
    assert fleet.view(rollout).state == "rolled_back"
    assert versions(fleet) == ["1.0.0"] * 3
    assert set(fleet.states(rollout).values()) == {"restored"}


def test_rolling_back_an_old_rollout_does_not_undo_a_newer_one(fleet: Rig) -> None:
    fleet.release("pump", "1.2.0", b"newest model")
    old = fleet.start("100%", version="1.1.0")
    fleet.settle()
    for name in NAMES:
        fleet.say(name, old, "succeeded")
    new = fleet.start(["press-1"], version="1.2.0")
    fleet.settle()
    fleet.say("press-1", new, "succeeded")
    fleet.act(old, "rollback")
    fleet.settle()
    assert versions(fleet) == ["1.2.0", "1.0.0", "1.0.0"]


def test_every_change_of_a_document_raises_its_seq(fleet: Rig) -> None:
    def seq() -> int:
        with fleet.database.read() as connection:
            return devices.detail(connection, "press-1").desired_seq

    seqs = [seq()]
    rollout = fleet.start(["press-1"], version="1.1.0")
    fleet.settle()
    seqs.append(seq())
    fleet.say("press-1", rollout, "failed")
    seqs.append(seq())
    assert seqs == sorted(set(seqs))


# ---- silence and time -----------------------------------------------------------------------------------------


def test_a_canary_that_falls_silent_is_lost_while_others_still_speak(fleet: Rig) -> None:
    rollout = fleet.start(["press-1"], "100%", version="1.1.0", lost_after_s=60)
    fleet.settle()
    fleet.say("press-1", rollout, "activating", "soaking")
    fleet.pass_time(seconds=61)
    fleet.breathe("press-2", "press-3")
    fleet.settle()
    assert fleet.states(rollout)["press-1"] == "lost"
    assert fleet.view(rollout).state == "rolled_back"


def test_a_canary_that_still_speaks_is_not_lost(fleet: Rig) -> None:
    """The control of the test above: the same hour, with a sign of life."""
    rollout = fleet.start(["press-1"], "100%", version="1.1.0", lost_after_s=60)
    fleet.settle()
    fleet.say("press-1", rollout, "activating", "soaking")
    fleet.pass_time(seconds=61)
    fleet.breathe(*NAMES)
    fleet.settle()
    assert fleet.states(rollout)["press-1"] == "soaking"


def test_when_the_whole_fleet_falls_silent_nothing_is_concluded_until_the_stage_is_over(fleet: Rig) -> None:
    rollout = fleet.start(["press-1"], "100%", version="1.1.0", lost_after_s=60, wait_max_s=600)
    fleet.settle()
    fleet.say("press-1", rollout, "soaking")
    fleet.pass_time(seconds=300)
    fleet.settle()
    assert (fleet.view(rollout).state, fleet.states(rollout)["press-1"]) == ("running", "soaking")
    fleet.pass_time(seconds=301)
    fleet.settle()
    assert (fleet.view(rollout).state, fleet.view(rollout).reason) == ("paused", "stage_1_inconclusive")


@pytest.mark.parametrize("deaf", [True, False], ids=["no connection", "a new connection"])
def test_silence_counts_only_while_the_server_listens(fleet: Rig, deaf: bool) -> None:
    rollout = fleet.start(["press-1"], "100%", version="1.1.0", lost_after_s=60)
    fleet.settle()
    fleet.say("press-1", rollout, "soaking")
    fleet.pass_time(seconds=61)
    fleet.listening_since = None if deaf else fleet.now
    fleet.breathe("press-2", "press-3")
    fleet.settle()
    assert fleet.states(rollout)["press-1"] == "soaking"


def test_an_offline_canary_times_out_and_pauses_the_rollout_and_resume_waits_again(fleet: Rig) -> None:
    rollout = fleet.start(["press-1"], "100%", version="1.1.0", wait_max_s=600)
    fleet.settle()
    fleet.pass_time(seconds=600)
    fleet.settle()
    assert fleet.view(rollout).state == "paused"
    assert fleet.states(rollout)["press-1"] == "timed_out"
    fleet.act(rollout, "resume")
    fleet.say("press-1", rollout, "downloading", "succeeded")
    assert fleet.states(rollout)["press-1"] == "succeeded"
    assert fleet.view(rollout).stage == 2


def test_offline_devices_do_not_hold_up_a_stage_that_enough_others_ended(fleet: Rig) -> None:
    rollout = fleet.start("100%", version="1.1.0", min_reported_ratio=0.6)
    fleet.settle()
    fleet.say("press-1", rollout, "succeeded")
    fleet.say("press-2", rollout, "succeeded")
    assert fleet.view(rollout).state == "completed"
    assert versions(fleet)[2] == "1.1.0", "the tail keeps the offer"
    fleet.say("press-3", rollout, "succeeded")
    assert fleet.states(rollout)["press-3"] == "succeeded"


# ---- operators ------------------------------------------------------------------------------------------------


def test_pause_holds_the_next_stage_and_resume_opens_it(fleet: Rig) -> None:
    rollout = fleet.start(["press-1"], "100%", version="1.1.0")
    fleet.settle()
    fleet.act(rollout, "pause")
    fleet.say("press-1", rollout, "succeeded")
    assert fleet.view(rollout).stage == 1
    fleet.act(rollout, "resume")
    fleet.settle()
    assert fleet.view(rollout).stage == 2


def test_promote_opens_the_next_stage_without_evidence(fleet: Rig) -> None:
    rollout = fleet.start(["press-1"], "100%", version="1.1.0")
    fleet.settle()
    fleet.act(rollout, "promote")
    fleet.settle()
    view = fleet.view(rollout)
    assert (view.stage, view.stages[0].state) == (2, "passed")
    assert view.stages[0].verdict is not None
    assert view.stages[0].verdict.reason == "promoted"


def test_a_rollout_that_needs_approval_touches_nobody_before_it(fleet: Rig) -> None:
    rollout = fleet.start("100%", version="1.1.0", approval=True)
    fleet.settle()
    assert fleet.view(rollout).state == "awaiting_approval"
    assert versions(fleet) == ["1.0.0"] * 3
    fleet.act(rollout, "approve")
    fleet.settle()
    assert versions(fleet) == ["1.1.0"] * 3


@pytest.mark.parametrize("action", ["approve", "resume", "pause", "promote", "abort"])
def test_an_ended_rollout_refuses_what_makes_no_sense(fleet: Rig, action: Action) -> None:
    rollout = fleet.start("100%", version="1.1.0")
    fleet.settle()
    fleet.act(rollout, "abort")
    fleet.settle()
    with pytest.raises(Conflict, match="aborted"):
        fleet.act(rollout, action)


def test_a_second_rollout_on_the_same_devices_is_refused_until_the_first_ended(fleet: Rig) -> None:
    first = fleet.start(["press-1"], version="1.1.0")
    with pytest.raises(Conflict, match=first):
        fleet.start("100%", version="1.1.0")
    fleet.start(["press-2"], version="1.1.0")
    fleet.settle()
    fleet.say("press-1", first, "succeeded")
    fleet.start(["press-1"], version="1.0.0")


def test_unknown_things_are_named(fleet: Rig) -> None:
    with pytest.raises(NotFound, match=r"9\.9\.9"):
        fleet.start("100%", version="9.9.9")
    with pytest.raises(NotFound, match="nosuch"):
        fleet.act("nosuch", "pause")
    with pytest.raises(UsageFault, match="ghost"):
        fleet.start(["ghost"])


def test_tags_choose_the_target_and_retired_devices_are_out(fleet: Rig) -> None:
    with fleet.database.begin() as connection:
        devices.change_tags(connection, "press-1", {"site": "north"})
        devices.change_tags(connection, "press-2", {"site": "north"})
        devices.retire(connection, "press-2", now_ms=stored(fleet.now))
    rollout = fleet.start("100%", version="1.1.0", target={"tags": {"site": "north"}})
    assert list(fleet.states(rollout)) == ["press-1"]


def test_a_device_retired_before_its_stage_is_left_out(fleet: Rig) -> None:
    rollout = fleet.start(["press-1"], "100%", version="1.1.0")
    fleet.settle()
    with fleet.database.begin() as connection:
        devices.retire(connection, "press-3", now_ms=stored(fleet.now))
    fleet.say("press-1", rollout, "succeeded")
    assert fleet.states(rollout) == {"press-1": "succeeded", "press-2": "offered", "press-3": "canceled"}
    fleet.say("press-2", rollout, "succeeded")
    assert fleet.view(rollout).state == "completed"


def test_history_tells_what_was_decided_by_whom_and_why(fleet: Rig) -> None:
    rollout = fleet.start(["press-1"], "100%", version="1.1.0")
    fleet.settle()
    fleet.say("press-1", rollout, "failed")
    with fleet.database.read() as connection:
        told = history(connection, rollout)
    actions = [item.action for item in told]
    assert actions[0] == "open_stage"
    assert actions[-4:] == ["judge_stage", "put_back", "set_state", "set_state"]
    assert [item.revision for item in told] == sorted(item.revision for item in told)
    assert all(item.detail["by"] == "controller" for item in told)
    (judged,) = [item for item in told if item.action == "judge_stage"]
    assert judged.detail["verdict"]["bad"] == {"failed": 1}
