"""The demo's hands: one folder, the `edgekit` command, processes that never outlive the demo."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EDGEKIT = Path(sys.executable).parent / "edgekit"
_READY_WITHIN_S = 30.0
_STOP_WITHIN_S = 8.0


class DemoFailed(Exception):
    """Something did not go as promised. The message says what."""


@dataclass
class Workshop:
    """Runs commands inside `folder`; `environ` reaches every one of them."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def edgekit(self, *words: str | Path, expect: int = 0) -> Any:
        """Run `edgekit … --json`, check the exit code, return the last JSON line of its output (None if empty)."""
        return self.run([EDGEKIT, *words, "--json"], expect=expect)

    def example(self, script: str, *words: str | Path) -> Any:
        """Run one of the example scripts with --json."""
        return self.run([sys.executable, ROOT / "examples" / script, *words, "--json"], expect=0)

    def run(self, words: Sequence[str | Path], *, expect: int) -> Any:
        """Run a command to its end."""
        done = subprocess.run(
            [str(word) for word in words],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != expect:
            spelled = " ".join(Path(word).name if isinstance(word, Path) else word for word in words)
            raise DemoFailed(f"{spelled} ended with {done.returncode}, not {expect}: {done.stderr.strip()[-800:]}")
        lines = done.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines else None

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What commands see."""
        return {**os.environ, **self.environ, **(more or {})}


class Process:
    """A long-running `edgekit` command that prints a ready line; restarted when it dies, as systemd would do it."""

    def __init__(self, shop: Workshop, name: str, words: Sequence[str | Path], more: Mapping[str, str]) -> None:
        self.name = name
        self.ready: dict[str, Any] = {}
        self.deaths = 0
        self._command = [str(EDGEKIT), *(str(word) for word in words), "--json"]
        self._environment = shop.environment(more)
        self._folder = shop.folder
        self._log = shop.folder / f"{name}.log"
        self._stopping = False
        self._starting = threading.Lock()  # whoever stops it waits until a process that is being started can be seen
        self._is_ready = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._keeper = threading.Thread(target=self._keep, name=f"keep-{name}", daemon=True)

    def start(self) -> None:
        """Start and wait for the ready line. Raises DemoFailed with the end of its log."""
        self._keeper.start()
        if not self._is_ready.wait(_READY_WITHIN_S):
            raise DemoFailed(f"{self.name} did not start: {self._log.read_text()[-800:]}")

    @property
    def pid(self) -> int:
        """Process id of the present incarnation."""
        return 0 if self._process is None else self._process.pid

    def stop(self) -> None:
        """End it for good: SIGTERM, then SIGKILL."""
        with self._starting:
            self._stopping = True
            process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._keeper.join(_STOP_WITHIN_S)

    def _keep(self) -> None:
        while (process := self._launch()) is not None:
            self._read(process)
            if not self._stopping:
                self.deaths += 1
                if not self._is_ready.is_set():
                    return

    def _launch(self) -> subprocess.Popen[str] | None:
        with self._starting:
            if self._stopping:
                return None
            with self._log.open("a") as log:
                self._process = subprocess.Popen(
                    self._command,
                    cwd=self._folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,  # Ctrl-C reaches the demo alone; the demo stops its processes
                )
            return self._process

    def _read(self, process: subprocess.Popen[str]) -> None:
        with process:  # closes the pipe and waits for the end
            for line in process.stdout or ():
                try:
                    document = json.loads(line)
                except ValueError:
                    continue
                if isinstance(document, dict) and document.get("event") == "ready":
                    self.ready = document
                    self._is_ready.set()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has. An agent keeps its port over restarts, so it is chosen beforehand."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
