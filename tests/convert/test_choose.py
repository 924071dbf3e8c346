"""The choice among forms, on plain figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convert.options import Objective
from convert.shrink.choose import Form, choose_form, pareto, too_slow
from convert.shrink.search import smallest, tree_forms
from convert.shrink.variants import Trim, parse_trim

EXACT = Form("exact", lossy=False, content=b"", changed=0.0, wire_bytes=1000, b1_us=10.0)
SMALL = Form("small", lossy=True, content=b"", changed=0.0005, wire_bytes=500, b1_us=10.5)
QUICK = Form("quick", lossy=True, content=b"", changed=0.0005, wire_bytes=900, b1_us=7.0)
SLOW = Form("slow", lossy=True, content=b"", changed=0.0, wire_bytes=300, b1_us=11.5)


@pytest.mark.parametrize(
    ("objective", "chosen"),
    [pytest.param("size", "slow"), pytest.param("latency", "quick"), pytest.param("balanced", "small")],
)
def test_the_objective_decides(objective: Objective, chosen: str) -> None:
    assert choose_form([EXACT, SMALL, QUICK, SLOW], objective).name == chosen


@pytest.mark.parametrize(("wire", "chosen"), [(801, "exact"), (800, "small")])
def test_rounding_has_to_save_a_fifth_of_the_bytes(wire: int, chosen: str) -> None:
    assert choose_form([EXACT, replace(SMALL, wire_bytes=wire)], "balanced").name == chosen


def test_times_within_five_percent_are_equal() -> None:
    assert choose_form([EXACT, replace(SMALL, b1_us=9.8, wire_bytes=2000)], "latency").name == "exact"


@pytest.mark.parametrize("objective", ["size", "latency", "balanced"])
def test_a_refused_form_is_never_chosen(objective: Objective) -> None:
    forms = [EXACT, *(replace(form, refused="over the budget") for form in (SMALL, QUICK, SLOW))]
    assert choose_form(forms, objective).name == "exact"


@pytest.mark.parametrize("objective", ["size", "latency", "balanced"])
def test_a_plain_export_ships_where_the_exact_form_is_too_slow(objective: Objective) -> None:
    plain = Form("plain", lossy=False, content=b"", changed=0.0, wire_bytes=9000, b1_us=8.0)
    slow = replace(EXACT, refused=too_slow(1.25))
    assert slow.refused is not None
    assert choose_form([slow, plain], objective).name == "plain"


@pytest.mark.parametrize(("times_plain", "fits"), [(0.4, True), (1.2, True), (1.21, False)])
def test_a_form_may_cost_a_fifth_more_time_than_the_plain_export(times_plain: float, fits: bool) -> None:
    assert (too_slow(times_plain) is None) is fits


def test_the_front_holds_what_nothing_else_beats() -> None:
    beaten = replace(SMALL, name="beaten", wire_bytes=600, b1_us=10.6)
    assert pareto([EXACT, SMALL, beaten, QUICK]) == {"exact", "small", "quick"}


def weighed(passing: set[str], tried: list[str]) -> list[str]:
    def weigh(name: str) -> Form | None:
        tried.append(name)
        return Form(name, lossy=True, content=b"x", refused=None if name in passing else "over the budget")

    return [form.name for form in tree_forms(weigh, fewer=False) if form.refused is None]


def test_the_coarsest_forms_within_the_budget_are_found_and_joined() -> None:
    tried: list[str] = []
    bits, most = (
        {f"{value}-bit leaves" for value in (10, 11, 12, 16)},
        {f"{value} thresholds" for value in (255, 383, 511, 767, 1023)},
    )
    found = weighed(bits | most | {"383 thresholds, 10-bit leaves"}, tried)
    assert {"10-bit leaves", "255 thresholds", "383 thresholds, 10-bit leaves"} <= set(found)
    assert "63 thresholds" not in tried, "coarser than a refused one"
    assert len(tried) <= 11


def test_a_mild_form_that_changes_nothing_leads_on_to_coarser_ones() -> None:
    def weigh(name: str) -> Form | None:
        return Form(name, lossy=True, content=b"x") if name == "5-bit leaves" else None

    assert [form.name for form in tree_forms(weigh, fewer=False)] == ["5-bit leaves"]


def test_only_the_coarsest_of_large_forms_are_packed() -> None:
    names = ["fp16 weights", "12-bit leaves", "8-bit leaves", "1023 thresholds", "1023 thresholds, 8-bit leaves"]
    assert smallest(names) == {"fp16 weights", "1023 thresholds, 8-bit leaves"}


@pytest.mark.parametrize("trim", [Trim(255), Trim(bits=8), Trim(63, 10), Trim(percent=50), Trim(127, 8, 25)])
def test_a_trim_is_known_by_its_name(trim: Trim) -> None:
    assert parse_trim(trim.name) == trim


@pytest.mark.parametrize("name", ["", "half the trees", "8-bit", "255 thresholds 8-bit leaves please"])
def test_an_unknown_name_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="no form"):
        parse_trim(name)
