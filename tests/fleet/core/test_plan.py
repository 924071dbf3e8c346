"""Plans: what is accepted, who gets into which stage, and that the order is stable."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.errors import UsageFault
from fleet.rollout.plan import assign, decode_plan, encode_plan, parse_plan

FLEET = [f"press-{number:02}" for number in range(20)]


def plan_of(*stages: str | list[str], **more: Any) -> dict[str, Any]:
    return {"model": "pump", "version": "1.0.0", "stages": [{"devices": stage} for stage in stages], **more}


@pytest.mark.parametrize(
    ("stages", "sizes"),
    [
        (("100%",), [20]),
        (("1", "100%"), [1, 19]),
        (("1", "25%", "100%"), [1, 4, 15]),
        (("1", "3", "50%", "100%"), [1, 2, 7, 10]),
        ((["press-03", "press-04"], "100%"), [2, 18]),
        (("1", ["press-03", "press-04"]), [1, 2]),
        (("0.1%", "100%"), [1, 19]),
    ],
)
def test_stages_are_cumulative(stages: tuple[str | list[str], ...], sizes: list[int]) -> None:
    made = assign(parse_plan(plan_of(*stages)), FLEET)
    named = [name for stage in made for name in stage]
    assert [len(stage) for stage in made] == sizes
    assert len(set(named)) == len(named)


def test_the_rest_falls_away_when_nobody_is_left() -> None:
    assert assign(parse_plan(plan_of("1", "100%")), ["press-00"]) == [["press-00"]]


def test_the_same_salt_chooses_the_same_canaries_however_the_fleet_is_listed() -> None:
    plan = parse_plan(plan_of("3", "100%"))
    assert assign(plan, FLEET) == assign(plan, reversed(FLEET))
    assert assign(plan, FLEET)[0] != assign(parse_plan(plan_of("3", "100%", salt="other")), FLEET)[0]


def test_a_new_device_moves_nobody_to_an_earlier_stage() -> None:
    plan = parse_plan(plan_of("5", "100%"))
    before = set(assign(plan, FLEET)[0])
    after = set(assign(plan, [*FLEET, "press-20"])[0])
    assert after - before <= {"press-20"}


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({}, "model"),
        (plan_of(), "stages"),
        (plan_of("1"), "last stage"),
        (plan_of("some", "100%"), "count"),
        (plan_of("120%", "100%"), "count"),
        (plan_of("100%", soak_s=-1), "soak_s"),
        (plan_of("100%", max_bad_ratio=2), "max_bad_ratio"),
        (plan_of("100%", on_fail="pray"), "on_fail"),
        (plan_of("100%", stagse=1), "stagse"),
        (plan_of("100%", model="Pump!"), "model"),
        (plan_of("100%", version="one"), "version"),
        (plan_of(["Not An Id"]), "device"),
        ([1], "object"),
    ],
)
def test_an_unusable_plan_is_refused_with_the_reason(document: Any, word: str) -> None:
    with pytest.raises(UsageFault, match=word):
        parse_plan(document)


@pytest.mark.parametrize(
    ("stages", "fleet", "reason"),
    [
        (("100%",), [], "empty_target"),
        (("1", "2", "100%"), ["press-00"], "empty_stage"),
        (("5", "25%", "100%"), FLEET, "empty_stage"),
        ((["ghost"],), FLEET, "unknown_device"),
    ],
)
def test_a_stage_that_nobody_matches_is_refused(stages: tuple[Any, ...], fleet: list[str], reason: str) -> None:
    with pytest.raises(UsageFault) as caught:
        assign(parse_plan(plan_of(*stages)), fleet)
    assert caught.value.reason == reason


def test_a_plan_survives_the_database() -> None:
    plan = parse_plan(plan_of("1", ["press-03"], soak_s=5, target={"tags": {"site": "north"}}))
    assert decode_plan(encode_plan(plan)) == plan
