"""A bundle used in one's own process, without an agent: the same checks, the same answers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.serve.answers import Answer, Answers, Shares
from edge_agent.serve.inference import Predictor
from edge_agent.serve.rows import RowsRefused
from edge_agent.serve.selftest import run_golden
from edgekit import bundle as bundles
from edgekit import golden, packing
from edgekit.bundle import Bundle
from edgekit.errors import BundleError
from edgekit.manifest import Manifest


class LocalModel:
    """A verified model. Safe to use from several threads.

    Rows may be given as

    - a mapping of feature name → value (one row), or a list of such mappings;
    - a list of values in the manifest's order (one row), or a list of such lists;
    - a numpy array of shape [features] (one row) or [rows, features], columns in the manifest's order, dtype float,
      int, bool, str or object; whole floats stand for integers, because an array has one dtype for all columns;
    - a pandas DataFrame (or what behaves like one): columns are found by name, their order means nothing.

    A missing value is None, NaN or, in a DataFrame, anything that `isna()` says is missing.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    @classmethod
    def open(cls, path: str | Path) -> LocalModel:
        """Open an `.edgekit` bundle: check every digest, load the model, run its golden rows.

        Raises BundleError when the bundle is damaged, or does not answer as its source model did
        (`golden_mismatch`); DeviceFault when this machine cannot run it. Signatures are not checked here: use
        `edgekit verify` on bundles of unknown origin.
        """
        bundle = bundles.load(Path(path))
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            predictor = Predictor.open(_laid_out(bundle, Path(folder)), sha256=bundle.sha256)
        result = run_golden(predictor, golden.decode_golden(packing.expand(bundle, "golden")))
        if not result.passed:
            raise BundleError(
                f"{path}: the model does not answer here as its source model did ({result.detail}): "
                "do not use it, convert the model again",
                reason="golden_mismatch",
            )
        return cls(predictor)

    @property
    def manifest(self) -> Manifest:
        """Name, version, inputs, outputs and what was measured."""
        return self._predictor.manifest

    def predict(self, rows: object) -> list[Answer]:
        """One prediction per row, as plain Python values: the label (a list when there are several targets); of a
        regression the value (a float, or a list of floats); of a clustering the cluster's number; of a transformation
        the list of transformed values; of a detector without labels the score. One row gives a list of one.

        Raises RowsRefused (a UsageFault), whose `problems` name each feature at fault.
        """
        return self._answers(rows).predictions()

    def probabilities(self, rows: object) -> list[Shares]:
        """Class → probability, one mapping per row; classes as they are spelled in JSON, of a clustering the numbers of
        its clusters. Raises RowsRefused, also when the model gives no probabilities or answers several targets.
        """
        shares = self._answers(rows).probabilities()
        if shares is None:
            raise RowsRefused(f"{self._predictor.label} gives no probabilities of one target: use predict")
        return shares

    def target_probabilities(self, rows: object) -> list[list[Shares]]:
        """Of a model that answers several targets: class → probability, per row a list of one mapping for each target.
        Raises RowsRefused, also when the model gives no such probabilities.
        """
        shares = self._answers(rows).target_probabilities()
        if shares is None:
            raise RowsRefused(f"{self._predictor.label} gives no probabilities of several targets: use predict")
        return shares

    def _answers(self, rows: object) -> Answers:
        return self._predictor.run(self._predictor.rows.from_values(self._plain(rows)).rows)

    def _plain(self, rows: object) -> object:
        """Python values without a trace of numpy or pandas."""
        if hasattr(rows, "columns") and hasattr(rows, "isna"):
            return _frame_rows(rows)
        if isinstance(rows, np.ndarray):
            return self._array_rows(rows)
        return _plain_cells(rows)

    def _array_rows(self, array: NDArray[Any]) -> list[list[object]]:
        if array.ndim not in (1, 2):
            raise RowsRefused(f"an array of rows has shape [rows, features], not {list(array.shape)}")
        whole = [feature.dtype == "int64" for feature in self.manifest.inputs]
        return [
            [_integer(cell) if is_whole else cell for cell, is_whole in zip(row, whole, strict=True)]
            if len(row) == len(whole)
            else row
            for row in np.atleast_2d(array).tolist()
        ]


def _laid_out(bundle: Bundle, folder: Path) -> Path:
    """The manifest and the model as files: onnxruntime needs less memory to load from a path."""
    (folder / bundles.MANIFEST_PATH).write_bytes(bundle.manifest_bytes)
    (folder / packing.EXPANDED_NAMES["model"]).write_bytes(packing.expand(bundle, "model"))
    return folder


def _frame_rows(frame: Any) -> list[dict[object, object]]:
    """Rows of a DataFrame by column name, missing values as None."""
    names = list(frame.columns)
    columns: Iterable[list[object]] = (
        [None if missing else cell for cell, missing in zip(frame[name].tolist(), frame[name].isna(), strict=True)]
        for name in names
    )
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _plain_cells(rows: object) -> object:
    """numpy scalars and arrays inside lists and mappings become Python's own values."""
    if isinstance(rows, Mapping):
        return {name: _plain_cells(cell) for name, cell in rows.items()}
    if isinstance(rows, np.ndarray | np.generic):
        return rows.tolist()
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        return [_plain_cells(cell) for cell in rows]
    return rows


def _integer(cell: object) -> object:
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell
