"""Memory for large arrays that goes back to the system as soon as the array is dropped.

malloc keeps what is freed for later (glibc: up to 64 MiB once an array of that size was freed), which made a device's
peak half as large again as what was in use.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGE_BYTES = 1 << 20


def empty(count: int, kind: Any) -> NDArray[Any]:
    """An array [count] to be filled. What is not written to takes no memory."""
    kind = np.dtype(kind)
    if count * kind.itemsize < _LARGE_BYTES:
        return np.empty(count, dtype=kind)
    return np.frombuffer(mmap.mmap(-1, count * kind.itemsize), dtype=kind)
