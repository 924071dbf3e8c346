"""Real agent processes: started, killed, stopped, and asked over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgekit.errors import EdgekitError
from edgekit.http import Api
from edgekit.join import Join, to_toml

# Short waits everywhere, so that tests of retries take no longer than what they wait for.
_TOML = """
join = "join.toml"
[http]
port = 0
[health]
interval_s = 0.5
[link]
retry_min_s = 0.1
retry_max_s = 0.5
[update]
chunk_timeout_s = 0.4
retry_min_s = 0.2
retry_max_s = 0.5
metadata_timeout_s = 2.0
max_trial_boots = 2
"""


class AgentProcess:
    """`edgekit agent run` on a folder of its own, which a restart finds again."""

    def __init__(self, folder: Path, join: Join) -> None:
        self.folder = folder
        self.config = folder / "agent.toml"
        self.config.write_text(_TOML)
        (folder / "join.toml").write_text(to_toml(join))
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def data_dir(self) -> Path:
        """What it keeps."""
        return self.folder / "edgekit-agent"

    def start(self) -> AgentProcess:
        """Start it and wait until it says that it serves. Its temporary files go to a folder of its own."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        words = [sys.executable, "-m", "edgekit", "agent", "run", "--config", str(self.config), "--json", "--verbose"]
        with (self.folder / "agent.log").open("a") as log:
            self._process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | {"TMPDIR": str(temporary)}
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the agent did not start: {self.log()[-2000:]}"
        ready = json.loads(line)
        assert ready["event"] == "ready"
        self.url = ready["http"]
        return self

    @property
    def running(self) -> bool:
        """True until it ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def wait(self, within_s: float) -> int:
        """Wait until it ends by itself; the exit code."""
        assert self._process is not None
        code = self._process.wait(within_s)
        self._close()
        return code

    def log(self) -> str:
        """What it logged."""
        return (self.folder / "agent.log").read_text()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `edgekit agent …` on its configuration."""
        line = [sys.executable, "-m", "edgekit", "agent", words[0], "--config", str(self.config), *words[1:]]
        return subprocess.run(line, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)

    def status(self) -> dict[str, Any]:
        """`GET /status`."""
        answer: dict[str, Any] = Api(self.url).get("/status")
        return answer

    def serving(self) -> dict[str, str]:
        """Version by model; empty while it does not answer."""
        try:
            serving: dict[str, str] = self.status()["serving"]
        except EdgekitError:
            return {}
        return serving

    def predict(self, row: dict[str, float]) -> dict[str, Any]:
        """`POST /predict`; raises OSError or HTTPException when it is away, AssertionError for another status."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=5)
        try:
            connection.request("POST", "/predict", json.dumps(row), {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        assert response.status == 200, content
        answer: dict[str, Any] = json.loads(content)
        return answer

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(10)
        self._close()
        return code

    def _close(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
