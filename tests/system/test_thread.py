"""The data's way, from `model.joblib` to the rollout's decision, with the real programs as separate processes."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edgekit import bundle, golden, packing
from edgekit.http import Api
from examples.demo.traffic import AgentClient
from examples.demo.workshop import ROOT, Process, Workshop, free_port
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system
FEATURES = ["temperature", "pressure", "speed"]
FLEET_TOML = '[server]\nport = 0\ndata_dir = "server"\n[broker]\nmode = "embedded"\nport = 0\n'


class Thread:
    """A running server with one device, made only through the command line."""

    def __init__(self, folder: Path) -> None:
        self.shop = Workshop(folder)
        self.processes: list[Process] = []

    def serve(self) -> None:
        config: list[str | Path] = ["--config", self.shop.folder / "fleet.toml"]
        (self.shop.folder / "fleet.toml").write_text(FLEET_TOML)
        self.shop.edgekit("fleet", "keys", "init", *config, "-o", "server-keys.json")
        self.shop.edgekit("release", "init", "--server-keys", "server-keys.json", "--unencrypted-keys")
        self.shop.edgekit("fleet", "migrate", *config)
        made = self.shop.edgekit("fleet", "token", "create", *config, "--role", "admin", "--name", "test")
        self.shop.environ["EDGEKIT_TOKEN"] = made["token"]
        ready = self.start("server", ["fleet", "serve", *config], {})
        self.shop.environ["EDGEKIT_SERVER"] = ready["api"]

    def start(self, name: str, words: list[str | Path], more: dict[str, str]) -> dict[str, Any]:
        process = Process(self.shop, name, words, more)
        self.processes.append(process)
        process.start()
        return process.ready

    @property
    def api(self) -> Api:
        return Api(self.shop.environ["EDGEKIT_SERVER"], self.shop.environ["EDGEKIT_TOKEN"])

    def release(self, path: Path) -> None:
        self.shop.edgekit("release", "add", path)
        self.shop.edgekit("release", "push")

    def roll_out(self, version: str) -> dict[str, Any]:
        created = self.shop.edgekit("fleet", "rollout", "create", "engine", version, "--stage", "100%", "--soak-s", "1")

        def ended() -> dict[str, Any] | None:
            rollout: dict[str, Any] = self.api.get(f"/api/v1/rollouts/{created['id']}")
            return rollout if rollout["state"] in ("completed", "rolled_back", "aborted", "paused") else None

        return wait_for(ended, 60, f"the rollout of {version} to end")


@pytest.fixture
def thread(tmp_path: Path) -> Iterator[Thread]:
    made = Thread(tmp_path)
    yield made
    for process in reversed(made.processes):
        process.stop()


def _train(folder: Path) -> tuple[Any, np.ndarray[Any, Any]]:
    random = np.random.default_rng(7)
    rows = random.normal(size=(1200, len(FEATURES))).round(4)
    labels = (rows[:, 0] * rows[:, 1] + 0.3 * random.normal(size=1200) > 0).astype(int)
    model = make_pipeline(StandardScaler(), RandomForestClassifier(20, max_depth=6, random_state=7))
    model.fit(pd.DataFrame(rows[:800], columns=FEATURES), labels[:800])
    joblib.dump(model, folder / "model.joblib")
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*FEATURES, "label"])
        writer.writerows([*row, label] for row, label in zip(rows[:800].tolist(), labels[:800].tolist(), strict=True))
    return model, rows[800:]


def _altered(honest: Path, version: str) -> bytes:
    """The honest bundle under another version, with golden rows that expect the opposite."""
    opened = bundle.load(honest)
    rows = golden.decode_golden(packing.expand(opened, "golden"))
    expected = rows.expected | {"label": [1 - int(str(label)) for label in rows.expected["label"]]}
    contents = {file.role: packing.expand(opened, file.role) for file in opened.manifest.files}
    contents["golden"] = golden.encode(msgspec.structs.replace(rows, expected=expected))
    return packing.build(msgspec.structs.replace(opened.manifest, version=version), contents)


def test_a_model_goes_from_joblib_to_the_rollout_s_decision(thread: Thread, tmp_path: Path) -> None:
    model, fresh = _train(tmp_path)
    honest = tmp_path / "engine-1.0.0.edgekit"
    words = [
        "--trust-pickle",
        "--data",
        "rows.csv",
        "--target",
        "label",
        "--name",
        "engine",
        "--model-version",
        "1.0.0",
    ]
    thread.shop.edgekit("convert", "model.joblib", *words, "-o", honest)
    thread.serve()
    thread.release(honest)
    thread.shop.edgekit("fleet", "devices", "add", "test-rig", "-o", "join.toml")
    settings = {"EDGEKIT_HTTP_PORT": str(free_port()), "EDGEKIT_AGENT_DATA_DIR": str(tmp_path / "device")}
    agent = thread.start("test-rig", ["agent", "run", "--config", tmp_path / "join.toml"], settings)

    done = thread.roll_out("1.0.0")

    assert done["state"] == "completed"
    decisions = thread.api.get(f"/api/v1/rollouts/{done['id']}/history")["decisions"]
    judged = [decision["detail"]["verdict"] for decision in decisions if decision["action"] == "judge_stage"]
    assert [(verdict["outcome"], verdict["good"]) for verdict in judged] == [("pass", 1)]
    rows = [dict(zip(FEATURES, row, strict=True)) for row in fresh.tolist()]
    with AgentClient(agent["http"]) as client:
        answers = client.predict(rows)
    assert answers["predictions"] == model.predict(pd.DataFrame(fresh, columns=FEATURES)).tolist()
    assert answers["model"] == "engine:1.0.0"

    bad = tmp_path / "engine-1.1.0.edgekit"
    bad.write_bytes(_altered(honest, "1.1.0"))
    thread.release(bad)
    stopped = thread.roll_out("1.1.0")

    assert stopped["state"] == "rolled_back"
    assert [(device["state"], device["reason"]) for device in stopped["devices"]] == [("rejected", "golden_mismatch")]
    with AgentClient(agent["http"]) as client:
        assert client.predict(rows[0])["model"] == "engine:1.0.0"


def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "examples.demo", "--folder", str(tmp_path / "demo"), "--json"]
    demo = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    family = psutil.Process(demo.pid)

    def an_agent_runs() -> bool:
        return (tmp_path / "demo/press-1.log").exists()

    children = wait_for(lambda: an_agent_runs() and family.children(recursive=True), 90, "the first agent to start")
    demo.send_signal(signal.SIGINT)
    assert demo.wait(30) == 130
    gone, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    assert gone
    assert demo.stdout is not None
    assert demo.stderr is not None
    demo.stdout.close()
    demo.stderr.close()
