"""The life-cycle table, walked."""

from __future__ import annotations

from typing import get_args

import pytest

from edge_agent.update.table import TABLE, Action, Event, exits, is_final, resume_action, step
from edgekit.messages import FINAL_STATES, UpdateState

STATES: tuple[UpdateState, ...] = get_args(UpdateState)
LIVE = [state for state in STATES if not is_final(state)]
WORKS = {Action.CHECK, Action.WAIT, Action.DOWNLOAD, Action.VERIFY, Action.TEST, Action.ACTIVATE, Action.SOAK}
TRIAL_SERVES = {"activating", "soaking"}


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_an_end_has_no_way_out(state: UpdateState) -> None:
    assert list(exits(state)) == []


@pytest.mark.parametrize("state", LIVE)
def test_every_state_can_be_superseded_and_canceled(state: UpdateState) -> None:
    assert step(state, Event.SUPERSEDED).state == "superseded"
    assert step(state, Event.CANCELED).state == "canceled"


@pytest.mark.parametrize("state", LIVE)
def test_every_state_has_an_exit_under_which_the_proven_model_serves(state: UpdateState) -> None:
    ends = [cell for _, cell in exits(state) if is_final(cell.state) and cell.state != "succeeded"]
    assert ends
    for cell in ends:
        assert (Action.RESTORE in cell.actions) == (state in TRIAL_SERVES)


@pytest.mark.parametrize("state", LIVE)
def test_every_state_reaches_an_end(state: UpdateState) -> None:
    reached, frontier = {state}, [state]
    while frontier:
        for _, cell in exits(frontier.pop()):
            if cell.state not in reached:
                reached.add(cell.state)
                frontier.append(cell.state)
    assert reached & FINAL_STATES


def test_a_model_serves_only_after_its_digests_and_its_test_or_from_the_store() -> None:
    ways_in = {(state, event) for (state, event), cell in TABLE.items() if cell.state == "activating"}
    assert ways_in == {("testing", Event.PASSED), ("queued", Event.STORED)}
    assert {state for (state, _), cell in TABLE.items() if cell.state == "testing"} == {"verifying"}
    assert {state for (state, _), cell in TABLE.items() if Action.COMMIT in cell.actions} == {"soaking"}


def test_a_state_that_goes_on_ends_in_one_work_and_an_end_is_recorded() -> None:
    for cell in TABLE.values():
        works = [action for action in cell.actions if action in WORKS]
        if is_final(cell.state):
            assert works == []
            assert cell.actions[-1] is Action.RECORD
        else:
            assert works == [cell.actions[-1]]


def test_an_event_that_cannot_happen_is_a_fault() -> None:
    with pytest.raises(KeyError):
        step("succeeded", Event.PASSED)


def test_an_update_begins_again_where_a_cut_leaves_it() -> None:
    assert resume_action("queued") is Action.CHECK
    assert resume_action("soaking") is Action.SOAK
