"""Verifies a bundle as a device would: expand everything, load the model, repeat the golden rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convert.check import session as sessions
from convert.check.parity import Answers, Tolerance, compare
from convert.wording import cause
from edgekit import bundle as bundles
from edgekit import packing
from edgekit.bundle import Bundle
from edgekit.errors import BundleError, JudgedBad
from edgekit.golden import Golden, decode_golden, decode_reference
from edgekit.manifest import Dtype, Manifest, Output

_ELEMENTS: dict[str, Dtype] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(string)": "string",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True)
class Verified:
    """A bundle that holds what it says: its golden rows were repeated with at most `max_absolute` difference."""

    bundle: Bundle
    golden_rows: int
    max_absolute: float


def verify(path: Path) -> Verified:
    """Verify a bundle file. Raises BundleError, or JudgedBad when golden answers are not repeated."""
    bundle = bundles.load(path)
    model = packing.expand(bundle, "model")
    golden = decode_golden(packing.expand(bundle, "golden"))
    decode_reference(packing.expand(bundle, "reference"))
    answers = _run(bundle.manifest, model, golden)
    return Verified(bundle, len(golden.rows), _repeat(bundle.manifest, golden, answers))


def _run(manifest: Manifest, model: bytes, golden: Golden) -> Answers:
    frame = pd.DataFrame(golden.rows, columns=golden.features)
    try:
        session = sessions.open_session(model)
        _fits_manifest(manifest, session)
        return sessions.run(session, manifest.tensors, manifest.outputs, frame)
    except BundleError:
        raise
    except Exception as error:
        raise BundleError(
            f"its model does not run ({cause(error)}): make it again",
            reason="model_unusable",
        ) from error


def _fits_manifest(manifest: Manifest, session: Any) -> None:
    declared = {tensor.name: tensor.dtype for tensor in manifest.tensors}
    declared |= {output.name: output.dtype for output in manifest.outputs}
    actual = {line.name: _ELEMENTS.get(line.type) for line in (*session.get_inputs(), *session.get_outputs())}
    if declared != actual:
        raise BundleError(
            "its model takes or gives other tensors than its manifest says: make it again", reason="model_unusable"
        )


def _repeat(manifest: Manifest, golden: Golden, answers: Answers) -> float:
    expected = sessions.as_answers(manifest.outputs, [_expected(golden, output) for output in manifest.outputs])
    agreement = compare(expected, answers, Tolerance(golden.absolute, golden.relative))
    if not agreement.exact:
        raise JudgedBad(
            f"its model does not repeat {int(agreement.bad.sum())} of {agreement.rows} golden answers "
            f"(first in row {int(np.argmax(agreement.bad))}): do not ship it, convert the model again",
            reason="golden_mismatch",
        )
    return agreement.max_absolute


def _expected(golden: Golden, output: Output) -> np.ndarray[Any, Any]:
    answers = golden.expected.get(output.role)
    if answers is None:
        raise BundleError(f"its golden rows have no {output.role}: make it again", reason="golden_malformed")
    return np.asarray(answers, dtype=object if output.dtype == "string" else None)
