"""Fills in the manifest from what a conversion found out. Pure."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import onnx
import skl2onnx
import sklearn

from convert.check.parity import Agreement
from convert.export.candidates import Export
from convert.pack.runtime import oldest_runtime
from convert.read.columns import Column
from convert.read.rows import Rows
from convert.read.source import Source
from edgekit import __version__
from edgekit.manifest import SCHEMA, Dtype, Feature, Manifest, Measured, Parity, Quality, Requires

ARCHITECTURES = ["aarch64", "x86_64"]
_MEBIBYTE = 1 << 20
_MEMORY_MARGIN = 1.25
_MEMORY_FLOOR_BYTES = 8 * _MEBIBYTE


@dataclass(frozen=True)
class Findings:
    """Everything a manifest is made of. `expanded_bytes`: of all entries together; `closed`: features that refuse
    unseen categories; `empties`: those whose empty text is another thing to the source model than a missing one.
    """

    name: str
    version: str
    source: Source
    rows: Rows
    columns: tuple[Column, ...]
    closed: frozenset[str]
    empties: frozenset[str]
    made: Export
    agreement: Agreement
    max_label_change: float
    quality: tuple[Quality, ...]
    measured: Measured
    expanded_bytes: int


def make_manifest(found: Findings) -> Manifest:
    """The manifest, but for its file list, which packing fills in."""
    return Manifest(
        schema=SCHEMA,
        name=found.name,
        version=found.version,
        created=found.measured.created,
        task=found.source.task,
        inputs=_features(found),
        tensors=found.made.tensors,
        outputs=found.made.outputs,
        onnx=found.made.onnx,
        requires=_requires(found),
        measured=found.measured,
        parity=_parity(found),
        plan=found.made.plan.name,
        files=[],
        quality=list(found.quality),
        source=_origin(found),
    )


def _features(found: Findings) -> list[Feature]:
    dtypes = {name: tensor.dtype for tensor in found.made.tensors for name in tensor.features}
    return [
        _feature(
            column,
            dtypes[column.name],
            closed=column.name in found.closed,
            refuses_empty=column.name in found.empties,
        )
        for column in found.columns
    ]


def _feature(column: Column, tensor_dtype: Dtype, *, closed: bool, refuses_empty: bool) -> Feature:
    """A client may send true and false for a boolean column even where the graph takes numbers."""
    dtype: Dtype = "bool" if column.kind == "bool" else tensor_dtype
    return Feature(
        name=column.name,
        dtype=dtype,
        nullable=column.missing,
        missing=("empty" if dtype == "string" else "nan") if column.missing else "error",
        range=None if column.low is None or column.high is None else (column.low, column.high),
        categories=None if column.categories is None else list(column.categories),
        closed=closed,
        refuses_empty=refuses_empty,
    )


def _requires(found: Findings) -> Requires:
    memory = max(int(found.measured.load_peak_bytes * _MEMORY_MARGIN), _MEMORY_FLOOR_BYTES)
    return Requires(
        onnxruntime_min=oldest_runtime(found.made.content),
        arch=ARCHITECTURES,
        free_memory_bytes=_whole_mebibytes(memory),
        # Stored and expanded form lie on the device side by side for a moment; stored is never the larger one.
        free_disk_bytes=_whole_mebibytes(2 * found.expanded_bytes),
    )


def _whole_mebibytes(size: int) -> int:
    return -(-size // _MEBIBYTE) * _MEBIBYTE


def _parity(found: Findings) -> Parity:
    return Parity(
        rows=found.agreement.rows,
        label_changes=found.agreement.label_changes,
        max_abs_difference=found.agreement.max_absolute,
        max_relative_difference=found.agreement.max_relative,
        max_label_change=found.max_label_change,
    )


def _origin(found: Findings) -> dict[str, str]:
    origin = {
        "edgekit": __version__,
        "model": found.source.kind,
        "onnx": onnx.__version__,
        "python": platform.python_version(),
        "scikit-learn": sklearn.__version__,
        "skl2onnx": skl2onnx.__version__,
    }
    return origin if found.rows.digest is None else origin | {"rows_sha256": found.rows.digest}
