"""A bundle used in one's own process, without an agent: the same checks, the same answers."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from edge_agent.serve.answers import Answer, Answers, Shares, spell_class
from edge_agent.serve.given import plain_rows
from edge_agent.serve.inference import Predictor
from edge_agent.serve.rows import RowsRefused
from edge_agent.serve.selftest import run_golden
from edgekit import bundle as bundles
from edgekit import golden, packing
from edgekit.bundle import Bundle
from edgekit.errors import BundleError, UsageFault
from edgekit.manifest import ClassValue, FileRole, Manifest

if TYPE_CHECKING:
    from edge_agent.serve.explain.explainer import Explainer, Explanation


class LocalModel:
    """A verified model. Safe to use from several threads; a context manager that closes itself.

    Rows may be given as

    - a mapping of feature name → value (one row), or a list of such mappings;
    - a list or tuple of values in the manifest's order (one row), or a list of such lists;
    - a numpy array of shape [features] (one row) or [rows, features], columns in the manifest's order, of dtype float,
      int, bool, str or object. An array has one dtype for all columns, so whole floats stand for integers, and 0 and 1
      for false and true. A structured array has shape [rows] (or is one record), and its fields are found by name;
    - a pandas DataFrame or what behaves like one (`columns`, `isna`): columns are found by name, their order means
      nothing; category dtype is read as its values; whole floats, 0 and 1 stand as in an array. A Series is one row.

    A missing value is None, NaN, `pandas.NA` or `NaT`. Numpy's scalars are welcome wherever Python's are. Every feature
    must be there unless it may be missing, and nothing else may: what does not fit is named in the error.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._open: Predictor | None = predictor
        self._explainer: Explainer | None = None
        self._lock = threading.Lock()

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

    def close(self) -> None:
        """Give the model's memory back once the calls under way have ended. Closing twice does no harm."""
        self._open, self._explainer = None, None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def manifest(self) -> Manifest:
        """Name, version, inputs, outputs and what was measured. Raises UsageFault once closed, as all below do."""
        return self._predictor.manifest

    def predict(self, rows: object) -> list[Answer]:
        """One prediction per row, as plain Python values: the label (a list when there are several targets); of a
        regression the value (a float, or a list of floats); of a clustering the cluster's number; of a transformation
        the list of transformed values; of a detector without labels the score. One row gives a list of one.

        Raises RowsRefused (a UsageFault), whose `problems` name each feature at fault.
        """
        return _answers(self._predictor, rows).predictions()

    def probabilities(self, rows: object) -> list[Shares]:
        """Class → probability, one mapping per row; classes as they are spelled in JSON, of a clustering the numbers of
        its clusters. Raises RowsRefused, also when the model gives no probabilities or answers several targets.
        """
        predictor = self._predictor
        shares = _answers(predictor, rows).probabilities()
        if shares is None:
            raise RowsRefused(f"{predictor.label} gives no probabilities of one target: use predict")
        return shares

    def target_probabilities(self, rows: object) -> list[list[Shares]]:
        """Of a model that answers several targets: class → probability, per row a list of one mapping for each target.
        Raises RowsRefused, also when the model gives no such probabilities.
        """
        predictor = self._predictor
        shares = _answers(predictor, rows).target_probabilities()
        if shares is None:
            raise RowsRefused(f"{predictor.label} gives no probabilities of several targets: use predict")
        return shares

    def explain(
        self,
        rows: object,
        *,
        label: ClassValue | None = None,
        target: int | None = None,
        scale: Literal["probability", "log_odds", "value", "score"] | None = None,
        samples: int | None = None,
    ) -> list[Explanation]:
        """What each feature contributed to each row's answer: Shapley values against the bundle's reference rows, whose
        features are taken as independent. One explanation per row, contributions by feature name; they add up to
        `output − base`. Exact for linear models, sampled otherwise, with standard errors; the same row always gets the
        same explanation. docs/explaining.md tells what is explained and how far to trust it.

        Parameters
        ----------
        rows: as for `predict`. Each row asks the model about some thousands of others.
        label: the class to explain; None: the predicted one.
        target: which target or value to explain, from 0, where the model answers several.
        scale: for classifiers `probability` or `log_odds` (linear models only); None: log-odds where those are exact.
        samples: permutations to walk, an even number from 16 to 4096; None: 256, fewer for more than 128 features.

        Raises RowsRefused; ExplanationRefused (a UsageFault) for a question that makes no sense or costs too much;
        BundleError when the reference is damaged; DeviceFault when the runtime fails.
        """
        from edge_agent.serve.explain.question import Question

        predictor = self._predictor
        asked = Question(
            samples=samples, label=None if label is None else spell_class(label), target=target, scale=scale
        )
        packed = predictor.rows.from_values(plain_rows(rows, predictor.manifest)).rows
        return self._explaining(predictor).explain(predictor, packed, predictor.run(packed).predictions(), asked)

    @property
    def _predictor(self) -> Predictor:
        predictor = self._open
        if predictor is None:
            raise UsageFault("this model is closed: open its bundle again", reason="closed")
        return predictor

    def _explaining(self, predictor: Predictor) -> Explainer:
        from edge_agent.serve.explain.explainer import Explainer

        with self._lock:
            if self._explainer is None:
                self._explainer = Explainer.of(predictor)
            return self._explainer


def _answers(predictor: Predictor, rows: object) -> Answers:
    return predictor.run(predictor.rows.from_values(plain_rows(rows, predictor.manifest)).rows)


def _laid_out(bundle: Bundle, folder: Path) -> Path:
    """The manifest and the entries as files: onnxruntime needs less memory to load from a path."""
    roles: tuple[FileRole, ...] = ("model", "reference")
    (folder / bundles.MANIFEST_PATH).write_bytes(bundle.manifest_bytes)
    for role in roles:
        (folder / packing.EXPANDED_NAMES[role]).write_bytes(packing.expand(bundle, role))
    return folder
