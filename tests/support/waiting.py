"""Waiting for a condition with a deadline: the only kind of waiting that tests do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
_STEP_S = 0.02


def wait_for(condition: Callable[[], Found | None], within_s: float, what: str) -> Found:
    """The first truthy value of `condition`. Fails with `what` when it does not come within `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(_STEP_S)
    raise AssertionError(f"waited {within_s:g} s for {what}")
