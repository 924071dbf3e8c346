"""A child of the agent does not outlive it: what the next agent sweeps away and makes anew, it must find unattended.

Only the standard library: this is the first thing that a child does.
"""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1  # prctl(2): a signal for this process when the thread that started it ends


def die_with_parent() -> None:
    """Be killed when the agent is, even by kill -9. A parent that is gone already shows as the end of input."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
