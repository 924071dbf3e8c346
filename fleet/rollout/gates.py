"""Is a stage good enough? Pure: counts of its devices go in; pass, fail, inconclusive or "wait" comes out.

The share of bad devices is judged by the lower end of its Wilson score interval (E. B. Wilson, JASA 22, 1927;
https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval), so that chance alone
seldom stops a good release. The rule, in this order:

1. *fail*, surely: even if every device still under way ends well, the lower bound (z = 1.96) is above the limit.
   One bad device of one fails at a limit of 0.05 (lower bound 0.206).
2. *fail*, early: at least 3 bad ones, and the lower bound (z = 3, for we look many times) over those that ended is
   above the limit.
3. *pass*: every device that took the offer ended, enough of all devices ended, and the share of bad ones is within
   the limit. At the last look, those still under way no longer hold it up.
4. *inconclusive*: nothing more can come, or this is the last look.
5. otherwise wait.

Offline devices that never took the offer are not bad; devices that were canceled or superseded count as ended only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from fleet.rollout.states import BAD, GOOD, NEUTRAL, UNDER_WAY

Z_FINAL = 1.96
Z_EARLY = 3.0
EARLY_BAD = 3


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a stage was judged and by which numbers. `bad`: counts by cause; `lower_bound`: Wilson, of the bad share."""

    outcome: Literal["pass", "fail", "inconclusive"]
    reason: str
    members: int
    ended: int
    good: int
    bad: dict[str, int]
    bad_ratio: float
    lower_bound: float
    limit: float


@dataclass(frozen=True)
class Limits:
    """What the plan allows."""

    max_bad_ratio: float
    min_reported_ratio: float


def wilson_lower(bad: int, n: int, z: float) -> float:
    """Lower end of the Wilson score interval of bad/n; 0 when n is 0."""
    if n == 0 or bad == 0:
        return 0.0
    p, zz = bad / n, z * z
    centre = p + zz / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + zz / (4 * n * n))
    return (centre - spread) / (1 + zz / n)


def judge(counts: Mapping[str, int], limits: Limits, *, last_look: bool) -> Verdict | None:
    """The verdict over a stage's devices by state, or None: wait. `last_look`: `wait_max_s` has passed."""
    tally = _Tally.of(counts)
    surely = wilson_lower(tally.bad, tally.possible, Z_FINAL)
    if surely > limits.max_bad_ratio:
        return _verdict("fail", "too_many_bad", counts, limits, surely)
    early = wilson_lower(tally.bad, tally.judged, Z_EARLY)
    if tally.bad >= EARLY_BAD and early > limits.max_bad_ratio:
        return _verdict("fail", "too_many_bad", counts, limits, early)
    settled = tally.under_way == 0
    enough = tally.judged > 0 and tally.ended >= tally.members * limits.min_reported_ratio - 1e-9
    if enough and (settled or last_look) and tally.bad <= tally.judged * limits.max_bad_ratio + 1e-9:
        return _verdict("pass", "within_limit", counts, limits, surely)
    if last_look or (settled and tally.offered == 0):
        reason = "cannot_tell" if enough else "too_few_reported"
        return _verdict("inconclusive", reason, counts, limits, surely)
    return None


def promoted(counts: Mapping[str, int], limits: Limits) -> Verdict:
    """The verdict of an operator who goes on regardless."""
    tally = _Tally.of(counts)
    return _verdict("pass", "promoted", counts, limits, wilson_lower(tally.bad, tally.possible, Z_FINAL))


@dataclass(frozen=True)
class _Tally:
    members: int
    offered: int
    under_way: int
    good: int
    bad: int
    ended: int

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> _Tally:
        def total(states: frozenset[str]) -> int:
            return sum(counts.get(state, 0) for state in states)

        good, bad = total(GOOD), total(BAD)
        return cls(
            members=sum(counts.values()),
            offered=total(frozenset({"pending", "offered"})),
            under_way=total(UNDER_WAY),
            good=good,
            bad=bad,
            ended=good + bad + total(NEUTRAL),
        )

    @property
    def judged(self) -> int:
        return self.good + self.bad

    @property
    def possible(self) -> int:
        """Devices that were judged or may still be."""
        return self.judged + self.under_way + self.offered


def _verdict(
    outcome: Literal["pass", "fail", "inconclusive"],
    reason: str,
    counts: Mapping[str, int],
    limits: Limits,
    lower_bound: float,
) -> Verdict:
    tally = _Tally.of(counts)
    return Verdict(
        outcome=outcome,
        reason=reason,
        members=tally.members,
        ended=tally.ended,
        good=tally.good,
        bad={state: counts[state] for state in sorted(BAD) if counts.get(state)},
        bad_ratio=tally.bad / tally.judged if tally.judged else 0.0,
        lower_bound=lower_bound,
        limit=limits.max_bad_ratio,
    )
