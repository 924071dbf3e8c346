"""The short way for rows of numbers: buffers that onnxruntime reads and writes in place.

Rows are packed into one buffer, and answers are read from buffers beside it. What a run of so many rows needs is bound
when it is first met, over the same memory, and used again ever after. A lock makes the buffers one caller's at a time.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edge_agent.serve.answers import AnswerForm, Answers
from edge_agent.serve.rows import Row

BLOCK_ROWS = 64
_CODES = {np.float32: "f", np.float64: "d", np.int64: "q", np.bool_: "?"}


@dataclass(frozen=True)
class _Binding:
    """What a run of a certain number of rows needs. `kept` is the memory that onnxruntime only points to."""

    run: Callable[[], object]
    read: Callable[[], Answers]
    kept: tuple[Any, ...]


class BoundRows:
    """Runs of at most `BLOCK_ROWS` rows. `tensor`: name and numpy dtype of the graph's only input; `arrays`: what the
    graph gave for two rows.
    """

    def __init__(
        self, session: Any, tensor: tuple[str, Any], width: int, arrays: Sequence[NDArray[Any]], form: AnswerForm
    ) -> None:
        self._session, self._form = session, form
        self._name, dtype = tensor
        self._names = [output.name for output in form.outputs]
        self._taken: Any = np.zeros((BLOCK_ROWS, width), dtype=dtype)
        self._given = [np.zeros((BLOCK_ROWS, *array.shape[1:]), dtype=array.dtype) for array in arrays]
        row = struct.Struct(f"={width}{_CODES[dtype]}")
        self._pack, self._row_bytes = row.pack_into, row.size
        self._bindings: dict[int, _Binding] = {}
        self._lock = threading.Lock()

    @staticmethod
    def possible(dtype: Any, arrays: Sequence[NDArray[Any]]) -> bool:
        """True when the graph takes numbers and gives numbers, two rows of them for two rows."""
        return dtype in _CODES and all(array.dtype.kind in "fiub" and array.shape[:1] == (2,) for array in arrays)

    def run(self, rows: Sequence[Row]) -> Answers:
        """Answers to rows in packing order."""
        pack, taken, place = self._pack, self._taken, 0
        with self._lock:
            binding = self._bindings.get(len(rows)) or self._bind(len(rows))
            for row in rows:
                pack(taken, place, *row)
                place += self._row_bytes
            binding.run()
            return binding.read()

    def _bind(self, rows: int) -> _Binding:
        bound, given = self._session.io_binding(), [buffer[:rows] for buffer in self._given]
        values = tuple(map(onnxruntime.OrtValue.ortvalue_from_numpy, (self._taken[:rows], *given)))
        bound.bind_ortvalue_input(self._name, values[0])
        for name, value in zip(self._names, values[1:], strict=True):
            bound.bind_ortvalue_output(name, value)
        run = _run_of(self._session, bound)
        self._bindings[rows] = binding = _Binding(run, self._form.view(given), (bound, *values))
        return binding


def _run_of(session: Any, bound: Any) -> Callable[[], object]:
    """One run, without what the wrapper looks after on other hardware, and with options not made anew each time:
    together a quarter of a small model's run. The wrapper itself where a release has other insides.
    """
    run = getattr(getattr(session, "_sess", None), "run_with_iobinding", None)
    inside = getattr(bound, "_iobinding", None)
    if run is None or inside is None:
        return partial(session.run_with_iobinding, bound)
    return partial(run, inside, onnxruntime.RunOptions())
