"""Reads a fitted scikit-learn model from whatever holds it.

A pickle runs code of whoever made it, so it is opened only when the caller says so; a skops file is opened when every
type in it is known to be harmless. A model saved by another minor version of scikit-learn is refused: it may load and
answer differently, and parity with such an answer proves nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import sklearn
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted

from convert.read.mlflow import find_model
from convert.wording import cause
from edgekit.errors import ModelFault, UsageFault

# Types inside scikit-learn's own models that skops does not vouch for, because garbled state could crash the process.
# None of them runs code when loaded.
_HARMLESS = frozenset(
    {
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
    }
)


@dataclass(frozen=True)
class LoadedModel:
    """A fitted estimator (of a search: the best one), where it came from, and remarks for people."""

    estimator: Any
    origin: str
    notes: tuple[str, ...] = ()


def read_model(model: Any, *, trust_pickle: bool) -> LoadedModel:
    """The fitted estimator behind a path or a live object. Raises UsageFault or ModelFault."""
    if not isinstance(model, str | Path):
        return _checked(_live(model))
    path = Path(model)
    if not path.exists():
        raise UsageFault(f"model {path} does not exist: check the path", reason="model_missing")
    file = find_model(path) if path.is_dir() else path
    loaded = _load_skops(file) if _is_skops(file) else _load_pickle(file, trusted=trust_pickle)
    return _checked(LoadedModel(loaded.estimator, path.stem, loaded.notes))


def _live(model: Any) -> LoadedModel:
    if isinstance(model, type):
        raise ModelFault(
            f"the model given is the class {model.__name__}, not a fitted object of it: "
            "give the estimator on which fit() was called",
            reason="not_a_model",
        )
    return LoadedModel(model, type(model).__name__)


def _is_skops(file: Path) -> bool:
    return file.suffix == ".skops"


def _load_skops(file: Path) -> LoadedModel:
    import skops.io  # a quarter of the time that all imports take, for one kind of file

    try:
        unknown = sorted(set(skops.io.get_untrusted_types(file=file)) - _HARMLESS)
        if not unknown:
            return LoadedModel(skops.io.load(file, trusted=sorted(_HARMLESS)), file.stem)
    except Exception as error:
        raise _unreadable(file, error) from error
    raise ModelFault(
        f"{file} holds types that are not known to be harmless ({', '.join(unknown[:5])}): "
        "save a model without custom classes, or save it with joblib and convert with --trust-pickle",
        reason="untrusted_types",
    )


def _load_pickle(file: Path, *, trusted: bool) -> LoadedModel:
    if not trusted:
        raise UsageFault(
            f"{file} is a pickle, and loading a pickle runs code of whoever made it: "
            "add --trust-pickle if you trust its origin, or save the model with skops",
            reason="pickle_untrusted",
        )
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator = joblib.load(file)
    except ModuleNotFoundError as error:
        raise ModelFault(
            f"{file} needs the Python module {error.name!r}, which is not installed here: install it and try again",
            reason="model_unreadable",
        ) from error
    except AttributeError as error:
        raise _lost_class(file, error) from error
    except Exception as error:
        raise _unreadable(file, error) from error
    return LoadedModel(estimator, file.stem, _version_notes(file, caught))


def _lost_class(file: Path, error: AttributeError) -> ModelFault:
    """A pickle holds no code, only where to find it: what a script defined itself is found nowhere else."""
    if "__main__" not in str(error):
        return _unreadable(file, error)
    return ModelFault(
        f"{file} uses something that the script which saved it had defined itself ({cause(error)}): "
        "move it into a module that can be imported here, and save the model again",
        reason="model_unreadable",
    )


def _unreadable(file: Path, error: Exception) -> ModelFault:
    return ModelFault(
        f"{file} is not a readable model ({cause(error)}): save the model again",
        reason="model_unreadable",
    )


def _version_notes(file: Path, caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    skews = [line.message for line in caught if isinstance(line.message, InconsistentVersionWarning)]
    saved = sorted({str(skew.original_sklearn_version) for skew in skews})
    if not saved:
        return ()
    here = sklearn.__version__
    if any(_minor(version) != _minor(here) for version in saved):
        raise ModelFault(
            f"{file} was saved with scikit-learn {', '.join(saved)} and {here} is installed here, which may answer "
            f"differently: install scikit-learn {saved[0]} beside edgekit, or save the model again with {here}",
            reason="version_skew",
        )
    return (f"saved with scikit-learn {', '.join(saved)}, converted with {here}",)


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _checked(loaded: LoadedModel) -> LoadedModel:
    estimator = getattr(loaded.estimator, "best_estimator_", loaded.estimator)
    if not (hasattr(estimator, "fit") and hasattr(estimator, "get_params")):
        raise ModelFault(
            f"{loaded.origin} is a {type(estimator).__name__}, which is no scikit-learn estimator: "
            "give the fitted estimator or pipeline itself",
            reason="not_a_model",
        )
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError) as error:
        raise ModelFault(
            f"{loaded.origin} ({type(estimator).__name__}) is not fitted: call fit() before saving it",
            reason="not_fitted",
        ) from error
    return LoadedModel(estimator, loaded.origin, loaded.notes)
