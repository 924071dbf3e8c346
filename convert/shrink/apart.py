"""Makes the plain export of a large model in a process of its own, while this one is at work.

skl2onnx takes twenty seconds and more for a forest of forty megabytes, and zstd as long again. Run as
`python -m convert.shrink.apart FOLDER`, this is that process: it reads what was written for it and leaves `plain.onnx`,
then `packed`, the number of bytes of its zstd-19 frame. What is not there in time is told as absent.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

import zstandard

from convert.export.candidates import write_model
from convert.export.plans import plain_plan
from convert.read.columns import Column
from convert.read.source import Source
from edgekit import wire
from edgekit.files import write_atomic

# A smaller model is exported here in less time than a process takes to begin.
_LEAST_BYTES = 4 << 20
_MOST_S = 40.0
_PAUSE_S = 0.05
_GIVEN, _MADE, _PACKED = "given.pickle", "plain.onnx", "packed"


class Apart:
    """The process, if there is one: `begin` starts it, leaving the context ends it."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = 0.0

    def __enter__(self) -> Apart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def begun(self) -> bool:
        """There is a process: the model is large."""
        return self._process is not None

    @property
    def late(self) -> bool:
        """The process still works when its time is over."""
        return self._process is not None and self._process.poll() is None

    def begin(self, source: Source, columns: tuple[Column, ...]) -> None:
        """Start the process for a model that is large and can be written down."""
        try:
            given = pickle.dumps((source, columns))
        except Exception:  # noqa: BLE001 - an estimator's parts may refuse in any way; there is no yardstick then
            return
        if len(given) < _LEAST_BYTES:
            return
        self._folder = tempfile.TemporaryDirectory(prefix="edgekit-plain-")
        Path(self._folder.name, _GIVEN).write_bytes(given)
        self._deadline = time.monotonic() + _MOST_S
        # Its modules may lie where only this process looks.
        path = {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        command = [sys.executable, "-W", "ignore", "-m", "convert.shrink.apart", self._folder.name]
        self._process = subprocess.Popen(
            command,
            env=os.environ | path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def content(self) -> bytes | None:
        """The plain export, waited for until its time is over; None when it was not made."""
        return self._wait_for(_MADE)

    def packed_bytes(self) -> int | None:
        """The bytes of its zstd-19 frame, likewise."""
        found = self._wait_for(_PACKED)
        return None if found is None else int(found)

    def _wait_for(self, name: str) -> bytes | None:
        if self._process is None or self._folder is None:
            return None
        file = Path(self._folder.name, name)
        while not file.exists() and self._process.poll() is None and time.monotonic() < self._deadline:
            time.sleep(_PAUSE_S)
        return file.read_bytes() if file.exists() else None


def _make(folder: Path) -> None:
    source, columns = pickle.loads((folder / _GIVEN).read_bytes())  # noqa: S301 - written by the process that waits
    plan = plain_plan(source, columns)
    if plan is None:
        return
    content = write_model(source, plan, columns).SerializeToString()
    write_atomic(folder / _MADE, content)
    packed = len(zstandard.ZstdCompressor(level=wire.LEVEL).compress(content))
    write_atomic(folder / _PACKED, str(packed).encode())


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
