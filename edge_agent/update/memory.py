"""Does one more model fit? What the loaded ones take, the budget they share, and what the machine has left.

A refusal is cheap; the kernel's way to refuse is to end the process that predicts. The word is `memory_short`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgekit.errors import DeviceFault

REASON = "memory_short"


def shortage(need_bytes: int, available_bytes: int, left_bytes: int | None) -> str | None:
    """Why a model that takes `need_bytes` while it is loaded must not be; None when it may.

    `left_bytes`: what is left of the budget (None: no budget is set, and what is available decides alone).
    """
    if need_bytes > available_bytes:
        return f"loading takes {_mib(need_bytes)} and {_mib(available_bytes)} are free"
    if left_bytes is not None and need_bytes > left_bytes:
        return f"loading takes {_mib(need_bytes)} and {_mib(left_bytes)} are left of the models' memory budget"
    return None


@dataclass
class Ledger:
    """`budget_bytes`: what all models may take together, 0 when only the machine and its control group limit them;
    `available`: free memory now. `taken`: what each loaded model was measured to take here, by name.
    """

    budget_bytes: int
    available: Callable[[], int]
    taken: dict[str, int] = field(default_factory=dict)

    def left_bytes(self, name: str) -> int | None:
        """What `name` may take of the budget: all that the others do not. It takes the place of its own old version."""
        if not self.budget_bytes:
            return None
        return self.budget_bytes - sum(size for other, size in self.taken.items() if other != name)

    def check(self, name: str, need_bytes: int) -> None:
        """Raises DeviceFault (`memory_short`) when the model does not fit."""
        why = shortage(need_bytes, self.available(), self.left_bytes(name))
        if why is not None:
            raise DeviceFault(f"{name} does not fit into memory: {why}", reason=REASON)


def _mib(size: int) -> str:
    return f"{size >> 20} MiB"
