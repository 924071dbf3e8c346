"""Selectors: the columns that they keep."""

from __future__ import annotations

import numpy as np

from convert.export.writer import Writer


def select(writer: Writer) -> None:
    """Any selector with `get_support`."""
    writer.finish(0, selected(writer, np.asarray(writer.model.get_support(), dtype=bool)))


def selected(writer: Writer, kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> str:
    """These columns as floating numbers."""
    return writer.columns(writer.rows, np.flatnonzero(kept).tolist())
