"""Nothing about a model leaves the engineer's machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SESSION_FILE = ".ses"


@pytest.mark.parametrize(("first", "told"), [("", True), ("import convert; ", False)], ids=["alone", "with convert"])
def test_the_runtime_opens_no_telemetry_session(tmp_path: Path, first: str, *, told: bool) -> None:
    # "alone" is the control: without us, the runtime leaves its session file. It is quiet by itself where a CI service
    # has set its variables, so that the child is given what it needs to start and nothing else.
    environ = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH") if name in os.environ}
    code = f"{first}import onnxruntime"
    subprocess.run([sys.executable, "-c", code], env=environ | {"TMPDIR": str(tmp_path)}, check=True)
    assert (tmp_path / SESSION_FILE).exists() is told
