"""Reads rows from CSV, Parquet, NPY, NPZ or a DataFrame, and refuses what a device could never send.

Every column is afterwards of one plain kind: float, integer, bool, or object holding strings and NaN. Arrays without
column names get the names `x0`, `x1`, …
"""

from __future__ import annotations

import csv
import difflib
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet

from convert.read.given import Given, as_frame, as_target, complete, is_path
from convert.wording import cause
from edgekit.errors import ModelFault, UsageFault

MAX_ROWS_BYTES = 4 << 30
_EXACT = 1 << 53


@dataclass(frozen=True)
class Rows:
    """A table of features and the target column where one was named.

    `named`: the columns carry names of their own (not invented here). `digest`: SHA-256 of the file, if it was one.
    """

    frame: pd.DataFrame
    target: pd.Series | pd.DataFrame | None
    named: bool
    origin: str
    digest: str | None = None


def read_rows(data: Given | pd.DataFrame | Path | str, target: str | None) -> Rows:
    """The rows that were given, or that lie behind a path. Raises UsageFault or ModelFault."""
    given = data if isinstance(data, Given) else Given(data)
    rows = _from_file(Path(given.x)) if is_path(given.x) else _from_memory(given.x)
    checked = _checked(rows, target)
    answers = as_target(given.y, len(checked.frame), target)
    return checked if answers is None else replace(checked, target=answers)


def _from_memory(x: Any) -> Rows:
    frame, origin = as_frame(x)
    return Rows(frame, None, _has_names(frame), origin)


def _from_file(path: Path) -> Rows:
    reader = _READERS.get(path.suffix.lower().removesuffix(".gz") or _inner_suffix(path))
    if reader is None:
        raise UsageFault(f"rows {path} are of an unknown kind: give .csv, .csv.gz, .parquet, .npy or .npz")
    if not path.is_file():
        raise UsageFault(f"rows {path} do not exist: check the path", reason="rows_missing")
    if path.stat().st_size > MAX_ROWS_BYTES:
        raise UsageFault(f"rows {path} are larger than {MAX_ROWS_BYTES >> 30} GiB: give a sample of them")
    frame, named = _read(reader, path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Rows(frame, None, named, str(path), digest)


def _inner_suffix(path: Path) -> str:
    return Path(path.stem).suffix.lower()


def _read(reader: Callable[[Path], tuple[pd.DataFrame, bool]], path: Path) -> tuple[pd.DataFrame, bool]:
    try:
        return reader(path)
    except UnicodeDecodeError as error:
        raise ModelFault(f"rows {path} are no UTF-8 text: save the file as UTF-8", reason="rows_unreadable") from error
    except (OSError, ValueError, EOFError, csv.Error, pyarrow.ArrowException) as error:
        raise ModelFault(
            f"rows {path} cannot be read ({cause(error)}): check the file",
            reason="rows_unreadable",
        ) from error


def _read_csv(path: Path) -> tuple[pd.DataFrame, bool]:
    head = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False)
    names = [str(name) for name in head.iloc[0]]
    _refuse_duplicates(names, str(path))
    _refuse_other_delimiter(names, path)
    return pd.read_csv(path), True


def _refuse_other_delimiter(names: list[str], path: Path) -> None:
    delimiter = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
    if delimiter is not None:
        raise ModelFault(
            f"rows {path} seem to be separated by {delimiter!r}: save the file with commas, or read it in Python by "
            f"pandas.read_csv(…, sep={delimiter!r}) and give the DataFrame",
            reason="rows_delimiter",
        )


def _read_parquet(path: Path) -> tuple[pd.DataFrame, bool]:
    _refuse_duplicates(list(pyarrow.parquet.read_schema(path).names), str(path))
    return pd.read_parquet(path), True


def _read_npy(path: Path) -> tuple[pd.DataFrame, bool]:
    return _matrix(np.load(path, allow_pickle=False), str(path)), False


def _read_npz(path: Path) -> tuple[pd.DataFrame, bool]:
    with np.load(path, allow_pickle=False) as arrays:
        lines = {name: arrays[name] for name in arrays.files}
    flat = {name: array for name, array in lines.items() if array.ndim == 1}
    matrices = {name: array for name, array in lines.items() if array.ndim != 1}
    if not matrices:
        return pd.DataFrame(flat), True
    if len(matrices) > 1:
        raise ValueError(f"it holds several matrices ({', '.join(matrices)}): keep one matrix of features")
    (matrix,) = matrices.values()
    return pd.concat([_matrix(matrix, str(path)), pd.DataFrame(flat)], axis=1), False


_READERS: dict[str, Callable[[Path], tuple[pd.DataFrame, bool]]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npy": _read_npy,
    ".npz": _read_npz,
}


def _matrix(array: np.ndarray[Any, Any], origin: str) -> pd.DataFrame:
    if array.ndim != 2:
        raise ValueError(f"{origin} holds an array of {array.ndim} dimensions: features need rows and columns")
    return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])


def _has_names(frame: pd.DataFrame) -> bool:
    return all(isinstance(name, str) for name in frame.columns)


def _refuse_duplicates(names: list[str], origin: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ModelFault(
            f"{origin} has the column {twice[0]!r} more than once: rename or drop one of them",
            reason="duplicate_columns",
        )


def _refuse_names(names: list[str], origin: str) -> None:
    _refuse_duplicates(names, origin)
    if "" in names:
        raise ModelFault(
            f"column {names.index('') + 1} of {origin} has an empty name, under which no device can send it: name it, "
            "and train the model with that name",
            reason="column_name",
        )


def _checked(rows: Rows, target: str | None) -> Rows:
    frame = rows.frame if rows.named else rows.frame.rename(columns=_invented_name)
    _refuse_names([str(name) for name in frame.columns], rows.origin)
    if len(frame) == 0:
        raise ModelFault(f"{rows.origin} has no rows: give rows like those the model was trained on", reason="no_rows")
    answers = None
    if target is not None:
        answers = _target(frame, target, rows.origin)
        frame = frame.drop(columns=[target])
    return Rows(frame, answers, rows.named, rows.origin, rows.digest)


def _invented_name(name: Any) -> str:
    return name if isinstance(name, str) else f"x{name}"


def _target(frame: pd.DataFrame, target: str, origin: str) -> pd.Series:
    if target not in frame.columns:
        raise UsageFault(
            f"target {target!r} is no column of {origin}{meant(target, frame.columns)}: it has {some(frame.columns)}",
            reason="target_missing",
        )
    return complete(frame[target], f"target {target!r} of {origin}")


def some(names: Iterable[Any]) -> str:
    """The first dozen of these names."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:12]) + (", …" if len(listed) > 12 else "")


def meant(name: str, names: Iterable[Any]) -> str:
    """The name that was probably meant, in words; nothing when none is close."""
    close = difflib.get_close_matches(name, [str(known) for known in names], 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def plain_columns(frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    """The same rows with every column as float, integer, bool, or object of strings and NaN. Raises ModelFault."""
    return pd.DataFrame({name: _plain(frame[name], origin) for name in frame.columns})


def _plain(column: pd.Series, origin: str) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        # Whole numbers with missing ones among them have no type of their own: `_inferred` finds them one.
        column = column.astype(object if column.isna().any() else column.cat.categories.dtype)
    if isinstance(column.dtype, pd.SparseDtype):
        column = column.sparse.to_dense()
    if pd.api.types.is_object_dtype(column.dtype):
        column = _inferred(column)
    if pd.api.types.is_bool_dtype(column.dtype) and not column.isna().any():
        return column.astype(bool)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return _finite(_exact(_plain_number(column), origin), origin)
    if pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype):
        return _plain_text(column, origin)
    raise ModelFault(
        f"column {column.name!r} of {origin} has the type {column.dtype}, which a device cannot send: "
        "make it a number, a boolean or a text",
        reason="column_type",
    )


def _inferred(column: pd.Series) -> pd.Series:
    """A column of Python objects as what it holds, where that is numbers or booleans alone."""
    held = pd.api.types.infer_dtype(column, skipna=True)
    if held == "boolean" and not column.isna().any():
        return column.astype(bool)
    return column.astype("float64") if held in ("boolean", "floating", "integer", "mixed-integer-float") else column


def _plain_number(column: pd.Series) -> pd.Series:
    known = isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiu"
    if known and column.dtype == np.float16:
        return column.astype("float32")  # exact, and its neighbours and extremes can be tried
    return column if known and column.dtype.itemsize <= 8 else column.astype("float64")


def _exact(column: pd.Series, origin: str) -> pd.Series:
    """Whole numbers must survive as float64: rounded on the way, two identifiers would become one unnoticed."""
    if column.dtype.kind not in "iu" or column.dtype.itemsize < 8:
        return column
    numbers = column.to_numpy()
    beyond = (numbers > _EXACT) if column.dtype.kind == "u" else (numbers > _EXACT) | (numbers < -_EXACT)
    if beyond.any():
        raise ModelFault(
            f"column {column.name!r} of {origin} has whole numbers beyond 2^53 (first in row {int(beyond.argmax())}), "
            "which neither JSON nor float64 carries exactly: make an identifier a text, a time or a count float64",
            reason="integers_too_large",
        )
    return column


def _finite(column: pd.Series, origin: str) -> pd.Series:
    infinite = np.isinf(column.to_numpy(dtype=np.float64))
    if infinite.any():
        raise ModelFault(
            f"column {column.name!r} of {origin} has {int(infinite.sum())} infinite values "
            f"(first in row {int(infinite.argmax())}): JSON cannot carry them; drop or replace them",
            reason="infinite_values",
        )
    return column


def _plain_text(column: pd.Series, origin: str) -> pd.Series:
    plain = column.astype(object).where(column.notna(), np.nan)
    others = sorted({type(value).__name__ for value in plain[column.notna()] if not isinstance(value, str)})
    if others:
        beside = "text beside " if any(isinstance(value, str) for value in plain) else ""
        raise ModelFault(
            f"column {column.name!r} of {origin} holds {beside}values of type {', '.join(others[:3])}: "
            "make it all numbers, all booleans or all text",
            reason="column_type",
        )
    return plain
