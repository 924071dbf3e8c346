"""The gate as a table: devices by state in, verdict out."""

from __future__ import annotations

import pytest

from fleet.rollout.gates import Limits, judge, promoted, wilson_lower

LIMITS = Limits(max_bad_ratio=0.05, min_reported_ratio=0.9)

# name, counts, last look?, outcome (None: wait), reason
CASES = [
    ("one canary that ended badly", {"failed": 1}, False, "fail", "too_many_bad"),
    ("one canary that rolled back", {"rolled_back": 1}, False, "fail", "too_many_bad"),
    ("one canary that refused", {"rejected": 1}, False, "fail", "too_many_bad"),
    ("one canary that fell silent", {"lost": 1}, False, "fail", "too_many_bad"),
    ("one canary that ended well", {"succeeded": 1}, False, "pass", "within_limit"),
    ("one canary that had it already", {"already_installed": 1}, False, "pass", "within_limit"),
    ("one canary under way", {"soaking": 1}, False, None, None),
    ("one canary not heard yet", {"offered": 1}, False, None, None),
    ("one canary never heard", {"timed_out": 1}, True, "inconclusive", "too_few_reported"),
    ("one canary still under way at the end", {"downloading": 1}, True, "inconclusive", "too_few_reported"),
    ("one canary whose owner canceled", {"canceled": 1}, False, "inconclusive", "too_few_reported"),
    ("one bad of two fails while the other is under way", {"failed": 1, "soaking": 1}, False, "fail", "too_many_bad"),
    ("one bad of four may be chance", {"failed": 1, "succeeded": 3}, False, "inconclusive", "cannot_tell"),
    ("one bad of four, others under way", {"failed": 1, "soaking": 3}, False, None, None),
    ("one bad of twenty is within the limit", {"failed": 1, "succeeded": 19}, False, "pass", "within_limit"),
    ("the first three of a thousand, all bad", {"failed": 3, "soaking": 997}, False, "fail", "too_many_bad"),
    ("the first two of a thousand, both bad", {"failed": 2, "soaking": 998}, False, None, None),
    ("five bad of a hundred and the rest well", {"failed": 5, "succeeded": 95}, False, "pass", "within_limit"),
    ("nine of ten reported is enough", {"succeeded": 9, "offered": 1}, False, "pass", "within_limit"),
    ("eight of ten reported is not", {"succeeded": 8, "offered": 2}, False, None, None),
    ("eight of ten at the end", {"succeeded": 8, "timed_out": 2}, True, "inconclusive", "too_few_reported"),
    ("nine of ten and one still at it", {"succeeded": 9, "downloading": 1}, False, None, None),
    ("nine of ten and one still at it, at the end", {"succeeded": 9, "downloading": 1}, True, "pass", "within_limit"),
    ("nobody ended", {"offered": 10}, False, None, None),
]


@pytest.mark.parametrize(
    ("counts", "last_look", "outcome", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_stage_is_judged(counts: dict[str, int], last_look: bool, outcome: str | None, reason: str | None) -> None:
    verdict = judge(counts, LIMITS, last_look=last_look)
    assert (verdict and verdict.outcome, verdict and verdict.reason) == (outcome, reason)


def test_the_bound_is_wilsons() -> None:
    # Published values: 1 of 1 has the 95 % interval (0.2065, 1); 10 of 100 has (0.0552, 0.1744).
    assert wilson_lower(1, 1, 1.96) == pytest.approx(0.2065, abs=5e-5)
    assert wilson_lower(10, 100, 1.96) == pytest.approx(0.0552, abs=5e-5)
    assert wilson_lower(0, 50, 1.96) == wilson_lower(0, 0, 1.96) == 0.0


def test_the_verdict_carries_the_numbers_behind_it() -> None:
    verdict = judge({"failed": 1, "lost": 1, "succeeded": 2, "canceled": 1, "timed_out": 1}, LIMITS, last_look=True)
    assert verdict is not None
    assert (verdict.members, verdict.ended, verdict.good) == (6, 5, 2)
    assert verdict.bad == {"failed": 1, "lost": 1}
    assert verdict.bad_ratio == 0.5
    assert verdict.lower_bound == pytest.approx(wilson_lower(2, 4, 1.96))


def test_a_ratio_without_an_interval_would_stop_a_good_release() -> None:
    """The control: one bad device among ten is 10 %, twice the limit, yet likely enough at a true rate of 1 %."""
    counts = {"failed": 1, "soaking": 9}
    assert LIMITS.max_bad_ratio < 1 / 10
    verdict = judge(counts, LIMITS, last_look=False)
    assert verdict is None


def test_a_promoted_stage_passes_whatever_the_numbers_say() -> None:
    verdict = promoted({"failed": 3}, LIMITS)
    assert (verdict.outcome, verdict.reason, verdict.bad) == ("pass", "promoted", {"failed": 3})
