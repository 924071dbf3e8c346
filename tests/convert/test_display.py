"""The progress display: lines that fit, silence where nobody looks, and a clean terminal whatever happens."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from convert.display import Display, busy_line, elapsed
from convert.progress import Stage, Step

WIPE = "\r\x1b[2K"
FIRST = Stage.READ.value


class Clock:
    """Time that passes when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def display(stream: io.StringIO, clock: Clock, *, shown: bool = True, columns: int = 80) -> Display:
    return Display(stream, shown=shown, columns=lambda: columns, clock=clock)


@pytest.mark.parametrize("columns", [10, 24, 40, 60, 80, 200])
@pytest.mark.parametrize("detail", ["", "own, float32 matrix", "n" * 300, "温度\nbreak\x1b[31m"])
@pytest.mark.parametrize("total", [0, 7])
def test_the_busy_line_fits_whatever_it_says(columns: int, detail: str, total: int) -> None:
    line = busy_line(Step(Stage.EXPORT, detail, 3, total), 75.2, "|", columns)
    assert len(line) < max(columns, 20)
    assert line.isprintable()
    assert line.endswith("1 min 15 s")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (725, "12 min 05 s")]
)
def test_time_is_told_as_people_do(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text


def test_each_stage_leaves_a_line_with_its_time() -> None:
    stream, clock = io.StringIO(), Clock()
    with display(stream, clock) as shown:
        for stage in (Stage.READ, Stage.EXPORT, Stage.EXPORT, Stage.PACK):
            shown(Step(stage))
            clock.now += 2
    kept = [line.rpartition(WIPE)[2] for line in stream.getvalue().split("\n")[:-1]]
    assert [re.sub(r"\s+", " ", line) for line in kept] == [
        f"+ {FIRST} 2.0 s",
        f"+ {Stage.EXPORT.value} 4.0 s",
        f"+ {Stage.PACK.value} 2.0 s",
    ]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_finds_a_clean_line(error: type[BaseException]) -> None:
    stream = io.StringIO()

    def fail() -> None:
        with display(stream, Clock()) as shown:
            shown(Step(Stage.READ))
            raise error

    with pytest.raises(error):
        fail()
    assert stream.getvalue().endswith(WIPE)
    assert "\n" not in stream.getvalue()


def test_where_it_is_not_shown_it_writes_nothing() -> None:
    stream = io.StringIO()
    with display(stream, Clock(), shown=False) as shown:
        shown(Step(Stage.READ))
        shown(Step(Stage.PACK))
    assert stream.getvalue() == ""


# ---- the command on a terminal ----------------------------------------------------------------------------------


@contextmanager
def terminal(folder: Path, *words: str | Path, columns: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`edgekit …` with a terminal of so many columns for all it prints."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = os.environ | {"TERM": "xterm", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-m", "edgekit", *map(str, words)]
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment, process_group=0
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(ours: int, done: Callable[[str], bool]) -> str:
    """What the terminal was sent, until that is enough or nobody is left to write."""
    text, deadline = b"", time.monotonic() + 120
    while not done(text.decode(errors="replace")):
        assert time.monotonic() < deadline, text
        if select.select([ours], [], [], 1)[0]:
            try:
                text += os.read(ours, 1 << 16)
            except OSError:  # Linux says EIO when the other end is closed
                break
    return text.decode(errors="replace")


def screen(text: str) -> list[str]:
    """What is left to see: a wiped line is gone."""
    return [line.rpartition(WIPE)[2].rstrip() for line in text.replace("\r\n", "\n").split("\n")]


def test_on_a_narrow_terminal_nothing_is_wider_than_it(fitted: Path, measured: Path) -> None:
    words = (
        "convert",
        "model.joblib",
        "--data",
        "rows.csv",
        "--trust-pickle",
        "--measured",
        measured,
        "-o",
        "a.edgekit",
    )
    with terminal(fitted, *words, columns=60) as (process, ours):
        lines = screen(read_until(ours, lambda text: False))
        assert process.wait(10) == 0
    assert any(FIRST in line and line.startswith("✓") for line in lines)
    digest = re.compile(r"[0-9a-f]{40}")
    assert all(len(line) <= 60 for line in lines if not digest.search(line))
    assert lines[-2].endswith("a.report/report.html") or "report.html" in lines[-2]


def test_an_interrupt_ends_with_130_a_clean_line_and_nothing_written(fitted: Path) -> None:
    before = sorted(fitted.iterdir())
    with terminal(fitted, "convert", "model.joblib", "--data", "rows.csv", "--trust-pickle", columns=80) as (
        process,
        ours,
    ):
        text = read_until(ours, lambda text: FIRST in text)
        os.killpg(process.pid, signal.SIGINT)
        text += read_until(ours, lambda text: False)
        assert process.wait(10) == 130
    lines = screen(text)
    assert [line for line in lines if line and not line.startswith("✓")] == ["interrupted"]
    assert sorted(fitted.iterdir()) == before
