"""One call of skl2onnx, with what it needs to work with today's libraries.

- Operator sets are pinned: with its default, IsolationForest has no form and the result depends on versions.
- protobuf 7 refuses the bools and numpy integers that skl2onnx puts into attribute lists (every
  HistGradientBoosting model): they are made plain integers on the way.
- For a tree that splits on missing values (an infinite threshold), its search for a float64 threshold never ends: that
  plan is given up instead.
- ZipMap (a list of dictionaries per call) is switched off where the converter knows that option.
- The graph gets a fixed name: skl2onnx would draw a random one.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx.helper
import skl2onnx
import skl2onnx.common._container as container
from onnx import AttributeProto, ModelProto
from skl2onnx.common import tree_ensemble
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.base import is_classifier

from convert.export.frame import Frame
from convert.export.parts import answering, unwrapped
from convert.export.refusal import NotExportable
from convert.wording import cause


@dataclass(frozen=True)
class Converter:
    """How skl2onnx is given a converter: it calls `write(scope, operator, container)` after `declare(operator)`."""

    write: Callable[[Any, Any, Any], None]
    declare: Callable[[Any], None]


Converters = Mapping[type[Any], Converter]

OPSETS = {"": 18, "ai.onnx.ml": 3}
_GRAPH_NAME = "edgekit"
_DECISION = {"zipmap": False, "raw_scores": True}
_NAMED_TYPE = re.compile(r"<class '(?:\w+\.)*(\w+)'>")
_make_attribute = onnx.helper.make_attribute
_sklearn_threshold = tree_ensemble.sklearn_threshold


def export(
    estimator: Any, inputs: list[tuple[str, Any]], own: Converters | None = None, decided: Any = None
) -> ModelProto:
    """The ONNX form of a fitted estimator, by edgekit's own converters for the types in `own`. Raises NotExportable.

    `decided`: an estimator whose decision function skl2onnx has to give in place of probabilities.
    """
    try:
        with warnings.catch_warnings(), _mended():
            warnings.simplefilter("ignore")
            return _convert(unwrapped(estimator), inputs, own or {}, decided)
    except NotExportable:
        raise
    except (MissingConverter, MissingShapeCalculator) as error:
        raise NotExportable(_unknown_step(error)) from error
    except Exception as error:
        raise NotExportable(cause(error)) from error


def _unknown_step(error: Exception) -> str:
    """Names the step: skl2onnx does so too, but in a paragraph."""
    named = _NAMED_TYPE.search(str(error))
    return cause(error) if named is None else f"skl2onnx knows no converter for {named[1]}"


def _convert(estimator: Any, inputs: list[tuple[str, Any]], own: Converters, decided: Any) -> ModelProto:
    words: dict[str, Any] = {"name": _GRAPH_NAME, "initial_types": inputs, "target_opset": OPSETS}
    words["custom_conversion_functions"] = {kind: converter.write for kind, converter in own.items()}
    if own:
        words["custom_parsers"] = Frame(own.keys()).parsers
    words["custom_shape_calculators"] = {kind: converter.declare for kind, converter in own.items()}
    model: ModelProto
    if not is_classifier(estimator):
        model = skl2onnx.convert_sklearn(estimator, **words)
        return model
    if decided is not None:
        model = skl2onnx.convert_sklearn(estimator, **words, options={id(decided): _DECISION})
        return model
    last = answering(estimator)
    try:
        model = skl2onnx.convert_sklearn(estimator, **words, options={id(last): {"zipmap": False}})
    except NameError:  # "Option 'zipmap' not in …": LinearSVC and its like have none
        model = skl2onnx.convert_sklearn(estimator, **words, options={id(last): {}})
    return model


@contextmanager
def _mended() -> Iterator[None]:
    """skl2onnx with the replacements below, for the time of one call."""
    replaced: tuple[tuple[Any, str, Any], ...] = (
        (onnx.helper, "make_attribute", _attribute),
        (container, "make_attribute", _attribute),
        (tree_ensemble, "sklearn_threshold", _threshold),
    )
    originals = [(place, name, getattr(place, name)) for place, name, _ in replaced]
    for place, name, replacement in replaced:
        setattr(place, name, replacement)
    try:
        yield
    finally:
        for place, name, original in originals:
            setattr(place, name, original)


def _attribute(key: str, value: Any, *rest: Any, **words: Any) -> AttributeProto:
    if isinstance(value, list | tuple | np.ndarray):
        value = [int(item) if isinstance(item, bool | np.bool_ | np.integer) else item for item in value]
    return _make_attribute(key, value, *rest, **words)


def _threshold(value: float, dtype: type[Any], mode: str) -> Any:
    if dtype == np.float64 and not np.isfinite(value):
        raise NotExportable("a tree that splits on missing values has no float64 form")
    return _sklearn_threshold(value, dtype, mode)
