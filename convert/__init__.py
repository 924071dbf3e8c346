"""A fitted scikit-learn model in, a verified bundle out: `from convert import convert`.

Importing this package is light; the libraries of the extra `[convert]` are loaded by the first call.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from convert.options import Options, OptionWords

if TYPE_CHECKING:
    from typing import Any

    from pandas import DataFrame

    from convert.conversion import Conversion

# onnxruntime's wheels (1.32 at least) tell their maker what is loaded, over the network, unless this is set before the
# import. A model is its owner's business.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = ["Options", "convert"]


def convert(model: Any, data: DataFrame | Path | str, **options: Unpack[OptionWords]) -> Conversion:
    """Convert a fitted scikit-learn model and judge the result against it.

    `model` is a fitted estimator, or the path of a skops file, an MLflow model folder or (with `trust_pickle=True`) a
    joblib or pickle file. `data` holds rows with the features as columns, and the target where `target` names it: a
    DataFrame, or the path of a CSV, Parquet, NPY or NPZ file. `options` are described at `convert.options.Options`.

    Nothing is written: `Conversion.save(path)` and `Conversion.save_report(folder)` do that.

    Raises UsageFault (wrong question), ModelFault (model or rows unusable, or no ONNX form of it exists) and JudgedBad
    (the ONNX form answers differently from the model beyond the budget).
    """
    from convert import pipeline

    return pipeline.convert(model, data, Options(**options))
