"""Memory for large arrays that goes back to the system as soon as the array is dropped.

malloc keeps what is freed for later (glibc: up to 64 MiB once an array of that size was freed), which made a device's
peak half as large again as what was in use. Where the kernel has huge pages they are asked for: of the time to write
10 MiB of new memory page by page they leave a tenth.
"""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGE_BYTES = 1 << 20
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # shared memory, the default, takes half as long again


def empty(count: int, kind: Any) -> NDArray[Any]:
    """An array [count] to be filled. What is not written to takes no memory."""
    kind = np.dtype(kind)
    if count * kind.itemsize < _LARGE_BYTES:
        return np.empty(count, dtype=kind)
    memory = mmap.mmap(-1, count * kind.itemsize, flags=_PRIVATE)
    with contextlib.suppress(OSError):  # a kernel that was built without huge pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype=kind)
