"""Category columns: which of the rows' columns a LightGBM or XGBoost model knows as pandas categories.

Rows come as plain texts and numbers; such a model answers a DataFrame of pandas' category type only. Here the columns
get that type back, with the categories that the model remembers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convert.check.comparisons import views
from convert.export.refusal import NotExportable
from convert.export.trees.remembered import Remembered, remembered
from convert.read.known import Known
from edgekit.errors import ModelFault

CODES_ONLY = "it keeps only their codes, which depend on the frame that it was fitted with"
_HINT = "put an OrdinalEncoder or OneHotEncoder before it in a pipeline, and fit that on plain columns"


@dataclass(frozen=True)
class Booster:
    """A model that remembers categories, and which column of the rows each of its features is (-1: none)."""

    remembered: Remembered
    places: tuple[int, ...]

    def known(self, frame: pd.DataFrame) -> dict[str, Known]:
        """The categories of the columns that it knows as categories. Raises NotExportable where it does not tell."""
        texts = [
            feature for feature, place in enumerate(self.places) if place >= 0 and frame.dtypes.iloc[place].kind == "O"
        ]
        found = self.remembered.columns(() if self.remembered.closed else texts)
        if any(self.places[feature] < 0 for feature in found):
            raise NotExportable("its category columns are made by a step before it")
        return {
            str(frame.columns[self.places[feature]]): Known(values, self.remembered.closed)
            for feature, values in found.items()
        }


def boosters_in(estimator: Any, names: list[str]) -> tuple[Booster, ...]:
    """The models in an estimator that remember categories. Raises ModelFault for one that remembers them wrongly."""
    try:
        return tuple(_boosters(estimator, names))
    except NotExportable as refusal:
        raise cannot_serve(type(estimator).__name__, str(refusal), refusal.instead) from refusal


def forgets_categories(estimator: Any) -> bool:
    """True of an XGBoost model that splits by sets of codes and remembers no categories."""
    if not hasattr(estimator, "get_booster") or not hasattr(estimator, "n_features_in_"):
        return False
    return "c" in (estimator.get_booster().feature_types or []) and remembered(estimator) is None


def _boosters(estimator: Any, names: list[str]) -> Iterator[Booster]:
    for part, view in views(estimator, names):
        found = remembered(part)
        if found is not None:
            untouched = (view.scale == 1) & (view.offset == 0)
            yield Booster(found, tuple(np.where(untouched, view.place, -1).tolist()))


def known_in(boosters: tuple[Booster, ...], frame: pd.DataFrame) -> dict[str, Known]:
    """The categories of all columns that some model knows as categories. Raises NotExportable."""
    found: dict[str, Known] = {}
    for booster in boosters:
        for name, known in booster.known(frame).items():
            found[name] = known.beside(found[name]) if name in found else known
    return found


def restored(frame: pd.DataFrame, known: Mapping[str, Known]) -> pd.DataFrame:
    """The rows with these columns of pandas' category type. Raises ValueError for a category without an answer."""
    return frame.assign(**{name: _restored(frame[name], one) for name, one in known.items()})


def _restored(column: pd.Series, known: Known) -> pd.Categorical:
    values, keys = _comparable(column, known)
    codes = pd.Index(keys).get_indexer(values)
    others = pd.unique(values[(codes < 0) & column.notna().to_numpy()])
    if len(others) == 0:
        return pd.Categorical.from_codes(codes, categories=known.values)
    if known.closed:
        raise ValueError(f"column {column.name!r} holds the category {others[0]!r}, which the model never saw")
    listed = [*known.values.tolist(), *others.tolist()]
    places = pd.Index(others).get_indexer(values)
    return pd.Categorical.from_codes(np.where((codes < 0) & (places >= 0), len(keys) + places, codes), listed)


def _comparable(column: pd.Series, known: Known) -> tuple[NDArray[Any], NDArray[Any]]:
    """A column's values and its categories, of one kind."""
    if known.texts:
        return column.to_numpy(dtype=object), known.values
    return column.to_numpy(dtype=np.float64), known.values.astype(np.float64)


def refuse_codes(kind: str, estimator: Any, given: pd.DataFrame) -> None:
    """Refuse a category column for a model that was fitted on such and knows codes only. Raises ModelFault."""
    for part, view in views(estimator, list(map(str, given.columns))):
        if not forgets_categories(part):
            continue
        for feature in np.flatnonzero(np.array(part.get_booster().feature_types) == "c").tolist():
            place = int(view.place[feature])
            if place >= 0 and isinstance(given.dtypes.iloc[place], pd.CategoricalDtype):
                raise cannot_serve(kind, CODES_ONLY)


def check(kind: str, boosters: tuple[Booster, ...], given: pd.DataFrame, plain: pd.DataFrame) -> None:
    """Refuse rows whose columns cannot be the category columns of a model of this kind. `given`, `plain`: the rows as
    they came, and as they are read. Raises ModelFault.
    """
    try:
        known = known_in(boosters, plain)
    except NotExportable as refusal:
        raise cannot_serve(kind, str(refusal), refusal.instead) from refusal
    seen = {place for booster in boosters for place in booster.places}
    for place, (name, dtype) in enumerate(given.dtypes.items()):
        if isinstance(dtype, pd.CategoricalDtype) and place in seen and str(name) not in known:
            raise cannot_serve(kind, f"it does not tell whether {str(name)!r} is one of them")
    for name, one in known.items():
        why = _unlike(plain[name], one)
        if why:
            shown = ", ".join(map(repr, one.values[:3].tolist()))
            raise ModelFault(
                f"column {name!r} holds {why}, and {kind} was fitted on its categories {shown}, …: "
                "give rows like those it was trained on",
                reason="category_columns",
            )


def _unlike(column: pd.Series, known: Known) -> str:
    """What is wrong with a column that should hold these categories; empty where nothing is."""
    present = column.dropna()
    if len(present) == 0 or len(known.values) == 0:
        return ""
    if known.texts != (column.dtype.kind == "O"):
        return "numbers" if known.texts else "texts"
    values, keys = _comparable(present, known)
    return "" if pd.Index(keys).isin(values).any() else "no known category"


def cannot_serve(kind: str, why: str, instead: str = "") -> ModelFault:
    """The refusal of a model that was fitted on category columns."""
    return ModelFault(
        f"{kind} was fitted on pandas category columns that no device could fill in ({why}): {instead or _HINT}",
        reason="category_columns",
    )
