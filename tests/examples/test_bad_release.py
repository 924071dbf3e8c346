"""The demo's training script, and the two bad releases that a fleet must survive."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convert import convert
from convert.check.verify import verify
from edgekit import packing
from edgekit.bundle import load
from edgekit.errors import JudgedBad
from examples import bad_release, train

SCRIPT = Path(bad_release.__file__)
SERVE = """
import sys, pandas
from pathlib import Path
from edgekit import packing
from edgekit.bundle import load
from convert.check.session import open_session, feeds
bundle = load(Path(sys.argv[1]))
session = open_session(packing.expand(bundle, "model"))
label = session.run(None, feeds(bundle.manifest.tensors, rows := pandas.read_csv(sys.argv[2])))[0]
print((label == rows["prediction"]).all())
"""


@pytest.fixture(scope="module")
def trained() -> train.Trained:
    return train.train("1.0.0")


@pytest.fixture(scope="module")
def honest(trained: train.Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    done = convert(trained.model, trained.train, target=train.TARGET, name="shuttle")
    train.with_answers(trained).to_csv(folder / "heldout.csv", index=False)
    return done.save(folder / "shuttle-1.0.0.edgekit")


def make(honest: Path, kind: str, version: str) -> tuple[Path, dict[str, object]]:
    bad = honest.with_name(f"{kind}.edgekit")
    command = [sys.executable, SCRIPT, honest, "--kind", kind, "--model-version", version, "-o", bad, "--json"]
    done = subprocess.run(
        [*map(str, command), "--rows", str(honest.with_name("heldout.csv"))], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return bad, json.loads(done.stdout)


def serve(bundle: Path, rows: pd.DataFrame) -> subprocess.CompletedProcess[str]:
    """Answer `rows` in a process of its own; prints True when all answers are the source model's."""
    asked = bundle.with_suffix(".csv")
    rows.to_csv(asked, index=False)
    command = [sys.executable, "-c", SERVE, str(bundle), str(asked)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ)


def test_the_trained_model_is_good_and_converts_without_a_changed_label(honest: Path) -> None:
    bundle = load(honest)
    assert bundle.manifest.parity.label_changes == 0
    held_out = pd.read_csv(honest.with_name("heldout.csv"))
    assert (held_out["prediction"] == held_out[train.TARGET]).mean() > 0.99
    assert serve(honest, held_out).stdout.strip() == "True"


def test_the_second_version_is_another_model_for_the_same_rows(trained: train.Trained) -> None:
    other = train.train("1.1.0")
    pd.testing.assert_frame_equal(trained.held_out, other.held_out)
    features = trained.held_out.drop(columns=train.TARGET)
    assert not np.array_equal(trained.model.predict_proba(features), other.model.predict_proba(features))


def test_wrong_answers_have_right_digests_and_fail_the_golden_rows(honest: Path) -> None:
    bad, told = make(honest, "wrong-answers", "1.2.0")
    bundle = load(bad)
    assert bundle.manifest.version == told["version"] == "1.2.0"
    packing.expand(bundle, "model")
    with pytest.raises(JudgedBad, match="32 of 32 golden answers"):
        verify(bad)
    assert verify(honest).golden_rows == 32, "the control: the honest bundle repeats them"


@pytest.mark.skipif(platform.machine() not in bad_release.CRASHING_MACHINES, reason="only x86-64 traps this division")
def test_the_crashing_release_repeats_its_golden_rows_and_dies_of_ordinary_ones(honest: Path) -> None:
    bad, told = make(honest, "crash", "1.3.0")
    assert verify(bad).golden_rows == 32
    held_out = pd.read_csv(honest.with_name("heldout.csv"))
    hit = held_out[str(told["feature"])] == told["value"]
    assert hit.any()
    assert hit.sum() == told["rows"]
    spared = serve(bad, held_out[~hit])
    assert (spared.returncode, spared.stdout.strip()) == (0, "True")
    killed = serve(bad, held_out[hit].head(1))
    assert killed.returncode == -signal.SIGFPE
