"""MLServer in a virtual environment of its own: it asks for other versions of packages than everything else here.

Made once, under `$XDG_CACHE_HOME/edgekit-bench` (`~/.cache` otherwise), with the scikit-learn that made the pickle.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

VERSION = "1.7.1"
_INSTALL_WITHIN_S = 420.0


@dataclass(frozen=True)
class Home:
    """The environment. `missing`: why there is none, empty when there is."""

    folder: Path
    missing: str = ""

    @property
    def program(self) -> Path:
        """Its command."""
        return self.folder / "bin/mlserver"


def installed() -> Home:
    """The environment, made when it is not there yet. Where it cannot be made, `missing` says why."""
    sklearn = metadata.version("scikit-learn")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekit-bench"
    folder = cache / f"mlserver-{VERSION}-sklearn-{sklearn}-py{sys.version_info.major}.{sys.version_info.minor}"
    stamp = folder / "complete"
    if stamp.exists():
        return Home(folder)
    wanted = [f"mlserver=={VERSION}", f"mlserver-sklearn=={VERSION}", f"scikit-learn=={sklearn}"]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        why = getattr(error, "stderr", None) or str(error)
        return Home(folder, " ".join(why.split())[-200:])
    stamp.touch()
    return Home(folder)


def write_settings(folder: Path, name: str, pickle: Path, ports: tuple[int, int, int]) -> None:
    """A model folder as `mlserver start` takes it; `ports` for HTTP, gRPC and metrics."""
    folder.mkdir()
    http, grpc, metrics = ports
    server = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": 0}
    (folder / "settings.json").write_text(json.dumps({**server, "debug": False}))
    model = {"name": name, "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": str(pickle)}}
    (folder / "model-settings.json").write_text(json.dumps(model))


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=_INSTALL_WITHIN_S)
