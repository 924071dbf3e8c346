"""One piece of work in a child of its own: what it opens is gone afterwards, and its crash or hang is a line."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")


class Lost(Exception):
    """The child raised, died or took too long; says which."""


def in_child(work: Callable[[], T], limit_s: float) -> T:
    """What `work` returns. Raises Lost."""
    context = multiprocessing.get_context("fork")
    answers, mine = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(mine, work))
    process.start()
    mine.close()
    try:
        if not answers.poll(limit_s):
            raise Lost(f"not done after {limit_s:.0f} s")
        said: T | _Raised = answers.recv()
    except EOFError as error:
        raise Lost("its process died") from error
    finally:
        process.kill()
        process.join()
        answers.close()
    if isinstance(said, _Raised):
        raise Lost(said.words)
    return said


class _Raised:
    def __init__(self, error: Exception) -> None:
        self.words = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _answer(answers: Connection, work: Callable[[], T]) -> None:
    warnings.simplefilter("ignore")
    try:
        answers.send(work())
    except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a line
        answers.send(_Raised(error))
