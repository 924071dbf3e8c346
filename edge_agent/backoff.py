"""How long to wait before trying again: doubling, bounded, with jitter, so that a fleet does not act in step."""

from __future__ import annotations

import math
import random

_MAX_DOUBLINGS = 20


def backoff_s(attempt: int, first_s: float, longest_s: float) -> float:
    """Seconds before attempt number `attempt` + 1: between half of and all of `first_s` × 2^attempt, at most
    `longest_s`.
    """
    ceiling = min(longest_s, math.ldexp(first_s, min(attempt, _MAX_DOUBLINGS)))
    return random.uniform(0.5, 1.0) * ceiling  # noqa: S311 - jitter, not a secret
