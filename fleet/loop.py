"""Threads that do one kind of work again and again: when woken, when there is more, and at every tick."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_PAUSE_S = 2.0


class Loop:
    """Calls `step` until `stop`. `step` returns True when there may be more to do at once."""

    def __init__(self, name: str, step: Callable[[], bool], *, tick_s: float) -> None:
        self._step = step
        self._tick_s = tick_s
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There may be something to do. Never waits."""
        self._woken.set()

    def ask_to_stop(self) -> None:
        """Have the thread end after its present step."""
        self._stopping.set()
        self._woken.set()

    def join(self, timeout_s: float) -> None:
        """Wait until it ended."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, timeout_s))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                more = self._step()
            except Exception:  # the top of a thread: the work is tried again, and must not end with one fault
                log.exception("%s failed; it is tried again", self._thread.name)
                self._stopping.wait(_PAUSE_S)
                more = False
            if not more:
                self._woken.wait(self._tick_s)


class Loops:
    """All loops of a server: started, woken and stopped together."""

    def __init__(self) -> None:
        self._loops: list[Loop] = []

    def add(self, name: str, step: Callable[[], bool], *, tick_s: float) -> None:
        """One more, before `start`."""
        self._loops.append(Loop(name, step, tick_s=tick_s))

    def start(self) -> None:
        """Begin."""
        for loop in self._loops:
            loop.start()

    def wake(self) -> None:
        """Something changed: all look at once. Never waits."""
        for loop in self._loops:
            loop.wake()

    def stop(self, timeout_s: float) -> None:
        """End them, each after its present step."""
        for loop in self._loops:
            loop.ask_to_stop()
        deadline = time.monotonic() + timeout_s
        for loop in self._loops:
            loop.join(deadline - time.monotonic())
