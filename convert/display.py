"""Shows on a terminal how far a conversion is: what is done, what is at work, and for how long. Silent elsewhere.

A line for every stage that ended stays; the last line, redrawn ten times a second by a thread of its own (the work
itself may spend minutes inside a library), is wiped whatever happens. Written by hand because it is one line: a library
for it would be the converter's only reason to install one.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from convert.progress import Step

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"
_INTERVAL_S = 0.1
_WIPE = "\r\x1b[2K"
_BAR = 12
_NARROWEST = 20
Columns = Callable[[], int]


class Display:
    """A context: call it with every `Step`. Nothing but the lines of finished stages is left behind at its end."""

    def __init__(self, stream: TextIO, *, shown: bool, columns: Columns, clock: Callable[[], float]) -> None:
        self._stream, self._shown, self._columns, self._clock = stream, shown, columns, clock
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._step: Step | None = None
        self._since = clock()
        self._turn = 0
        self._thread = threading.Thread(target=self._spin, name="progress", daemon=True)

    def __enter__(self) -> Display:
        if self._shown:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if not self._shown:
            return
        self._thread.join()
        self._wipe(None if kind is not None else self._step)

    def __call__(self, step: Step) -> None:
        """The conversion has come to this step."""
        with self._lock:
            before, self._step = self._step, step
            if before is None or before.stage != step.stage:
                if self._shown and before is not None:
                    self._stream.write(_WIPE + self._done(before) + "\n")
                self._since = self._clock()
        self.draw()

    def draw(self) -> None:
        """Draw the last line anew."""
        if not self._shown:
            return
        with self._lock:
            if self._step is None or self._ended.is_set():
                return
            frames = _FRAMES if _speaks_unicode(self._stream) else _PLAIN_FRAMES
            self._turn += 1
            line = busy_line(self._step, self._clock() - self._since, frames[self._turn % len(frames)], self._columns())
            self._stream.write(_WIPE + line)
            self._stream.flush()

    def _spin(self) -> None:
        while not self._ended.wait(_INTERVAL_S):
            self.draw()

    def _wipe(self, done: Step | None) -> None:
        with self._lock:
            self._stream.write(_WIPE if done is None else f"{_WIPE}{self._done(done)}\n")
            self._stream.flush()

    def _done(self, step: Step) -> str:
        sign = "✓" if _speaks_unicode(self._stream) else "+"
        return _fit(f"{sign} {step.stage.value}", elapsed(self._clock() - self._since), self._columns())


def busy_line(step: Step, seconds: float, frame: str, columns: int) -> str:
    """What is at work on one line shorter than `columns`: on some terminals the last column would wrap."""
    bar = f" {_bar(step)}" if step.total and columns >= 60 else f" {step.done}/{step.total}" if step.total else ""
    detail = f": {step.detail}" if step.detail else ""
    return _fit(f"{frame} {step.stage.value}{bar}{detail}", elapsed(seconds), columns)


def _bar(step: Step) -> str:
    filled = min(_BAR, round(_BAR * step.done / step.total))
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {step.done}/{step.total}"


def _fit(text: str, right: str, columns: int) -> str:
    room = max(columns, _NARROWEST) - 1 - len(right) - 1
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f"{plain if len(plain) <= room else plain[: room - 1] + '…':<{room}} {right}"


def elapsed(seconds: float) -> str:
    """Time for people: `4.2 s`, `1 min 05 s`."""
    whole = int(seconds)
    return f"{seconds:.1f} s" if seconds < 60 else f"{whole // 60} min {whole % 60:02} s"


def _speaks_unicode(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


def for_terminal(*, as_json: bool) -> Display:
    """The display of a command: on standard error, if that is a terminal that can redraw, and JSON was not asked."""
    able = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    shown = able and not as_json
    return Display(sys.stderr, shown=shown, columns=lambda: shutil.get_terminal_size().columns, clock=time.monotonic)
