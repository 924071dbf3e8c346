"""Finds the pickled scikit-learn model in an MLflow model folder, without mlflow and without a YAML library.

`MLmodel` is YAML, of which only nested `key: value` lines are understood here: that is all MLflow writes for the
`sklearn` flavour's file name.
"""

from __future__ import annotations

from pathlib import Path

from edgekit.errors import ModelFault
from edgekit.files import read_bounded

MAX_MLMODEL_BYTES = 1 << 20


def find_model(folder: Path) -> Path:
    """The file that holds the estimator. Raises ModelFault."""
    name = _sklearn_flavour(_read(folder)).get("pickled_model")
    if not name:
        raise ModelFault(
            f"{folder}/MLmodel has no scikit-learn flavour: log the model with mlflow.sklearn",
            reason="model_unreadable",
        )
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise ModelFault(f"{folder}/MLmodel names {name!r}, which is not in the folder", reason="model_unreadable")
    return file


def _read(folder: Path) -> list[str]:
    try:
        return read_bounded(folder / "MLmodel", MAX_MLMODEL_BYTES).decode().splitlines()
    except (OSError, ValueError) as error:
        raise ModelFault(
            f"{folder} is a folder without a readable MLmodel file: give a model file or an MLflow model folder",
            reason="model_unreadable",
        ) from error


def _sklearn_flavour(lines: list[str]) -> dict[str, str]:
    """The scalar entries below `flavors: sklearn:`."""
    path: list[tuple[int, str]] = []
    found: dict[str, str] = {}
    for line in lines:
        indent = len(line) - len(line.lstrip(" "))
        key, colon, value = line.strip().partition(":")
        if not colon:
            continue
        path = [step for step in path if step[0] < indent]
        if [name for _, name in path] == ["flavors", "sklearn"]:
            found[key] = value.strip().strip("'\"")
        path.append((indent, key))
    return found
