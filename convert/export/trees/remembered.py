"""The categories of pandas columns that LightGBM and XGBoost models remember from the frame that they were fitted on.

LightGBM keeps a list of categories for each category column, and does not say which columns these are: they are those
that it splits by sets, and those of texts (ordered categories, which it compares as numbers). XGBoost (from 3.1) keeps
the categories with their columns. Models of older XGBoost keep codes only, whose meaning lay in the frame.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.refusal import NotExportable

_PLAIN_COLUMNS = "put an OrdinalEncoder or OneHotEncoder before it in a pipeline, and fit that on plain columns"


@dataclass(frozen=True)
class Remembered:
    """`marked`: the features that are split by sets. `values`: of each category column, in the order of the features,
    its categories in the order of their codes: texts (objects), numbers or booleans. `closed`: a category that is none
    of them has no answer.
    """

    marked: tuple[int, ...]
    values: tuple[NDArray[Any], ...]
    closed: bool

    def columns(self, texts: Collection[int]) -> dict[int, NDArray[Any]]:
        """The categories of each category column, where the features `texts` arrive as texts. Raises NotExportable when
        the model does not tell which columns these are.
        """
        found = sorted({*self.marked, *texts})
        if len(found) != len(self.values):
            raise NotExportable(
                f"it was fitted on {len(self.values)} pandas category columns and does not tell which they are",
                instead=_PLAIN_COLUMNS,
            )
        return dict(zip(found, self.values, strict=True))


def remembered(model: Any) -> Remembered | None:
    """What a fitted model of the two libraries remembers; None of any other, and where it remembers no categories.

    Raises NotExportable for categories that it remembers wrongly.
    """
    if hasattr(model, "booster_"):
        return _light(model.booster_)
    if hasattr(model, "get_booster") and hasattr(model, "n_features_in_"):
        return _extreme(model.get_booster(), missing=float(model.missing))
    return None


def _light(booster: Any) -> Remembered | None:
    lists = getattr(booster, "pandas_categorical", None)
    if not lists:
        return None
    return Remembered(_marked(booster.model_to_string(num_iteration=1)), tuple(map(_array, lists)), closed=False)


def _marked(text: str) -> tuple[int, ...]:
    """The features that are categories to it, from the parameters that a LightGBM model is saved with."""
    line = next((line for line in text.splitlines() if line.startswith("[categorical_feature:")), "")
    words = line.strip("[]").partition(":")[2].replace(",", " ").split()
    return tuple(sorted(int(word) for word in words if word.isdigit()))


def _array(values: Sequence[Any]) -> NDArray[Any]:
    if any(isinstance(value, str) for value in values):
        if not all(isinstance(value, str) for value in values):
            raise NotExportable("some of its categories are texts and others numbers", instead=_PLAIN_COLUMNS)
        return np.array(values, dtype=object)
    return np.array(values, dtype=None if len(values) else np.float64)


def _extreme(booster: Any, missing: float) -> Remembered | None:
    ask = getattr(booster, "get_categories", None)
    if ask is None or "c" not in (booster.feature_types or []):
        return None
    found = ask(export_to_arrow=True).to_arrow()
    held = [(place, _from_arrow(values)) for place, (_, values) in enumerate(found) if values is not None]
    if not held:
        return None
    if missing in range(max(len(values) for _, values in held)):
        raise NotExportable(
            f"missing={missing:g} also means whichever category happens to have that code in a frame",
            instead="leave missing values NaN, and fit again",
        )
    return Remembered(tuple(place for place, _ in held), tuple(values for _, values in held), closed=True)


def _from_arrow(values: Any) -> NDArray[Any]:
    """XGBoost 3.2 cuts the texts of a column at the wrong places where one is not in ASCII: its bytes outnumber its
    letters.
    """
    try:
        listed = values.to_pylist()
    except UnicodeDecodeError:
        listed = ["\ufffd"]
    if not any(isinstance(value, str) for value in listed):
        return np.array(listed, dtype=values.type.to_pandas_dtype())
    if not all(value.isascii() for value in listed):
        raise NotExportable(
            "XGBoost confuses categories with one another where one is not written in ASCII letters",
            instead=f"rename the categories; or {_PLAIN_COLUMNS}",
        )
    return np.array(listed, dtype=object)
