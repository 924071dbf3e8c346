"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """`repeats` of every load, each `load_s` seconds; `starts` of every server for memory and cold start."""

    repeats: int
    load_s: float
    starts: int
    soak_requests: int


FULL = Plan(repeats=5, load_s=1.0, starts=5, soak_requests=2_000_000)
QUICK = Plan(repeats=3, load_s=0.3, starts=3, soak_requests=50_000)
