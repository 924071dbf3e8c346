"""The whole command: `edgekit convert` of a forest of 100 trees, from a pickle and 50,000 rows to the bundle."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
from sklearn.ensemble import RandomForestClassifier

from benchmarks.converting import sets
from benchmarks.measurement import Row

ROWS, LIMIT_S = 50_000, 60.0


def rows() -> list[Row]:
    """The command's wall-clock time; its goal is for a machine that does nothing else."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        source = sets.flights().first(ROWS)
        model = RandomForestClassifier(100, min_samples_leaf=10, random_state=0, n_jobs=1)
        joblib.dump(model.fit(source.shown, source.answers), folder / "model.joblib")
        source.shown.assign(late=source.answers).to_csv(folder / "rows.csv", index=False)
        words = [
            "convert",
            "model.joblib",
            "--trust-pickle",
            "--data",
            "rows.csv",
            "--target",
            "late",
            "-o",
            "m.edgekit",
        ]
        command = [sys.executable, "-W", "ignore", "-m", "edgekit", *words]
        started = time.monotonic()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        seconds = time.monotonic() - started
        size = (folder / "m.edgekit").stat().st_size if done.returncode == 0 else 0
    detail = f"{size:,} bytes" if size else f"exit {done.returncode}: {done.stderr.strip()[-200:]}"
    name = f"edgekit convert, 100 trees, {ROWS:,} rows"
    return [Row(name, round(seconds, 1), "s", None, LIMIT_S, done.returncode == 0 and seconds < LIMIT_S, detail)]
