"""Typing a command as a user would: a process of its own, in a folder of its own, judged from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NOWHERE = "http://127.0.0.1:1"

Make = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """`words` typed after `make` prepared the folder; the sentence on standard error holds all of `says`."""

    words: str
    code: int
    says: tuple[str, ...]
    make: Make = lambda folder: None
    environ: tuple[tuple[str, str], ...] = ()


def type_in(folder: Path, words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `edgekit …` in `folder`, without a terminal and without the variables of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGEKIT_")}
    command = [sys.executable, "-m", "edgekit", *words.split()]
    return subprocess.run(
        command, cwd=folder, env=kept | environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )


def listing(folder: Path) -> dict[str, int]:
    """Every file and folder in it, and when it was last changed."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def check(case: Case, folder: Path, **environ: str) -> None:
    """Type the words; the fault must be one sentence with its exit code, and nothing may have changed in the folder."""
    case.make(folder)
    before = listing(folder)
    done = type_in(folder, case.words, **(environ | dict(case.environ)))
    assert done.returncode == case.code, done.stderr
    told = done.stderr
    assert [line for line in told.splitlines() if line.lower().startswith("error")] == told.splitlines()[-1:], told
    assert all(words in told.splitlines()[-1] for words in case.says), told
    assert "Traceback" not in told
    assert done.stdout == ""
    assert listing(folder) == before
