"""Finds the part of a model that is somebody's own Python code: a device has no Python that would know it."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator

_LIBRARIES = frozenset({"sklearn", "lightgbm", "xgboost", "skl2onnx"})


def own_code(estimator: Any) -> str | None:
    """The first part made of a class or function outside the libraries known here, in words; None without any."""
    for name, part in {"": estimator, **estimator.get_params(deep=True)}.items():
        where = "" if not name else f" (step {name!r})"
        if isinstance(part, BaseEstimator) and _foreign(type(part)):
            return f"the class {type(part).__name__} of {type(part).__module__}{where}"
        if callable(part) and not isinstance(part, type) and _foreign(part) and hasattr(part, "__qualname__"):
            return f"the function {part.__qualname__} of {part.__module__}{where}"
    return None


def _foreign(part: Any) -> bool:
    module = getattr(part, "__module__", None)
    return module is not None and module.partition(".")[0] not in _LIBRARIES | {"numpy", "scipy", "builtins"}
