"""The demo's story, one function a chapter, in the order of the data's way."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from edgekit.http import Api
from examples.demo.screen import Screen
from examples.demo.traffic import AgentClient, HeldOut, Traffic, compare
from examples.demo.workshop import DemoFailed, Process, Workshop, free_port

MODEL = "shuttle"
DEVICES = ("press-1", "press-2", "press-3")
SOAK_S = 2.0
CRASH_SOAK_S = 20.0
ROLLOUT_WITHIN_S = 60.0
FLEET_TOML = """\
[server]
port = 0
data_dir = "server"

[broker]
mode = "embedded"
port = 0
"""


@dataclass
class Story:
    """What the chapters share. `facts` becomes the summary."""

    shop: Workshop
    screen: Screen
    processes: list[Process] = field(default_factory=list)
    agents: dict[str, Process] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    held_out: dict[str, HeldOut] = field(default_factory=dict)

    @property
    def addresses(self) -> dict[str, str]:
        """HTTP address of every agent."""
        return {name: agent.ready["http"] for name, agent in self.agents.items()}

    @property
    def api(self) -> Api:
        """The fleet server's API, with the operator's token."""
        return Api(self.shop.environ["EDGEKIT_SERVER"], self.shop.environ["EDGEKIT_TOKEN"])

    def bundle(self, version: str) -> Path:
        """The bundle file of a version."""
        return self.shop.folder / f"{MODEL}-{version}.edgekit"


def tell(story: Story) -> None:
    """The whole story."""
    train_and_convert(story, "1.0.0")
    serve(story)
    release(story, "1.0.0")
    join(story)
    first_rollout(story)
    second_rollout(story)
    wrong_answers(story)
    crash(story)


def train_and_convert(story: Story, version: str) -> None:
    """Train a pipeline on the Shuttle sensor data, convert it, and keep scikit-learn's answers for comparison."""
    story.screen.chapter(f"train and convert {MODEL} {version}")
    trained = story.shop.example("train.py", "--variant", version, "--out", f"model-{version}")
    folder = story.shop.folder / f"model-{version}"
    story.held_out[version] = HeldOut.read(folder / "heldout.csv", trained["features"])
    story.screen.say(f"trained {trained['estimator']} on {trained['rows']} rows")
    started = time.monotonic()
    words: list[str | Path] = ["convert", folder / "model.joblib", "--trust-pickle", "--data", folder / "train.csv"]
    words += ["--target", "anomaly", "--name", MODEL, "--model-version", version, "-o", story.bundle(version)]
    words += ["--max-label-change", "0"]  # an exact form, for every answer is compared below
    story.shop.edgekit(*words)
    inspected = story.shop.edgekit("inspect", story.bundle(version))
    size = story.bundle(version).stat().st_size
    story.facts[f"bundle_bytes_{version}"] = size
    story.facts[f"convert_s_{version}"] = round(time.monotonic() - started, 1)
    parity = inspected["manifest"]["parity"]
    story.screen.say(f"{story.bundle(version).name}: {size:,} bytes, {parity['label_changes']} label changes "
                     f"in {parity['rows']} rows")  # fmt: skip


def serve(story: Story) -> None:
    """Make the server's keys and token, start the server with its broker, make the release repository."""
    shop = story.shop
    story.screen.chapter("fleet server")
    (shop.folder / "fleet.toml").write_text(FLEET_TOML)
    config: list[str | Path] = ["--config", shop.folder / "fleet.toml"]
    shop.edgekit("fleet", "migrate", *config)
    shop.edgekit("fleet", "keys", "init", *config, "-o", shop.folder / "server-keys.json")
    made = shop.edgekit("fleet", "token", "create", *config, "--role", "admin", "--name", "demo")
    shop.environ["EDGEKIT_TOKEN"] = made["token"]
    shop.edgekit("release", "init", "--server-keys", shop.folder / "server-keys.json", "--unencrypted-keys")
    server = Process(shop, "fleet-server", ["fleet", "serve", *config], {})
    story.processes.append(server)
    server.start()
    shop.environ["EDGEKIT_SERVER"] = server.ready["api"]
    story.screen.say(f"serving {server.ready['api']}, broker {server.ready['broker']}")


def release(story: Story, version: str) -> None:
    """Sign the bundle offline and push it."""
    added = story.shop.edgekit("release", "add", story.bundle(version))
    story.shop.edgekit("release", "push")
    story.screen.say(f"signed and pushed {MODEL} {version} (release counter {added['counter']})")


def join(story: Story) -> None:
    """Three agents as processes of their own, each with nothing but its join file."""
    story.screen.chapter(f"{len(DEVICES)} devices")
    for device in DEVICES:
        file = story.shop.folder / f"{device}.join.toml"
        story.shop.edgekit("fleet", "devices", "add", device, "-o", file)
        settings = {
            "EDGEKIT_HTTP_PORT": str(free_port()),
            "EDGEKIT_AGENT_DATA_DIR": str(story.shop.folder / device),
            "EDGEKIT_HEALTH_INTERVAL_S": "2",
        }
        agent = Process(story.shop, device, ["agent", "run", "--config", file], settings)
        story.agents[device] = agent
        story.processes.append(agent)
        agent.start()
    story.screen.say(", ".join(f"{name} at {address}" for name, address in story.addresses.items()))


def first_rollout(story: Story) -> None:
    """1.0.0 to a canary, then to the rest; every held-out row is compared with scikit-learn on every device."""
    story.screen.chapter("rollout of 1.0.0")
    story.facts["rollout_s_1.0.0"] = _roll_out(story, "1.0.0", "completed")
    _compare_all(story, "1.0.0")


def second_rollout(story: Story) -> None:
    """1.1.0 the same way, while a client keeps predicting on every device: no request may fail."""
    train_and_convert(story, "1.1.0")
    release(story, "1.1.0")
    story.screen.chapter("rollout of 1.1.0 under traffic")
    with Traffic(story.addresses, story.held_out["1.1.0"].rows) as traffic:
        story.facts["rollout_s_1.1.0"] = _roll_out(story, "1.1.0", "completed")
    failed, answered = traffic.failed.total(), traffic.answered.total()
    story.facts["requests_during_1.1.0"] = {"answered": answered, "failed": failed}
    story.screen.say(f"{answered} requests answered during the rollout, {failed} failed")
    if failed or not answered:
        raise DemoFailed(f"{failed} requests failed during the rollout of 1.1.0")
    _compare_all(story, "1.1.0")


def wrong_answers(story: Story) -> None:
    """1.2.0 is signed, but its answers differ from its golden rows: the canary refuses it, nobody else sees it."""
    story.screen.chapter("1.2.0: signed, but it answers wrongly")
    _make_bad(story, "wrong-answers", "1.2.0")
    release(story, "1.2.0")
    story.facts["stopped_s_1.2.0"] = _roll_out(story, "1.2.0", "rolled_back")
    _check_stopped(story, "1.2.0", "rejected")


def crash(story: Story) -> None:
    """1.3.0 passes its golden rows and kills the process that serves it: the canary rolls back by itself."""
    story.screen.chapter("1.3.0: passes its golden rows, kills its process")
    if platform.machine() != "x86_64":
        story.screen.say("left out here: the model dies of an integer division that only x86-64 processors trap")
        return
    made = _make_bad(story, "crash", "1.3.0")
    release(story, "1.3.0")
    name, value = made["feature"], made["value"]
    story.screen.say(f"it will die of every row with {name} = {value}")
    rows = story.held_out["1.1.0"].rows
    trigger = [row for row in rows if row[name] == value][:1]
    with Traffic(story.addresses, rows[:20] + trigger):
        story.facts["stopped_s_1.3.0"] = _roll_out(story, "1.3.0", "rolled_back", soak_s=CRASH_SOAK_S)
    story.facts["canary_deaths"] = sum(agent.deaths for agent in story.agents.values())
    _check_stopped(story, "1.3.0", "rolled_back")


def _make_bad(story: Story, kind: str, version: str) -> Any:
    words: list[str | Path] = [
        story.bundle("1.1.0"),
        "--kind",
        kind,
        "--model-version",
        version,
        "-o",
        story.bundle(version),
    ]
    rows: list[str | Path] = ["--rows", story.shop.folder / "model-1.1.0/heldout.csv"] if kind == "crash" else []
    return story.shop.example("bad_release.py", *words, *rows)


def _roll_out(story: Story, version: str, expected: str, *, soak_s: float = SOAK_S) -> float:
    """Create a rollout in two stages, show it until it ends as expected; seconds it took."""
    started = time.monotonic()
    words = ["--stage", "1", "--stage", "100%", "--soak-s", str(soak_s), "--wait-max-s", str(ROLLOUT_WITHIN_S)]
    created = story.shop.edgekit("fleet", "rollout", "create", MODEL, version, *words)
    with story.screen.rollout() as show:
        ended = _watch(story, created["id"], lambda rollout: show(rollout, _versions(story)))
    if ended["state"] != expected:
        raise DemoFailed(f"the rollout of {version} ended as {ended['state']} ({ended['reason']}), not {expected}")
    seconds = round(time.monotonic() - started, 1)
    story.screen.say(f"rollout of {version} {expected} after {seconds} s")
    return seconds


def _watch(story: Story, rollout: str, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    deadline = time.monotonic() + ROLLOUT_WITHIN_S
    while time.monotonic() < deadline:
        found: dict[str, Any] = story.api.get(f"/api/v1/rollouts/{rollout}")
        show(found)
        if found["state"] in ("completed", "rolled_back", "aborted", "failed", "paused"):
            return found
        time.sleep(0.3)
    raise DemoFailed(f"rollout {rollout} did not end within {ROLLOUT_WITHIN_S:.0f} s")


def _versions(story: Story) -> dict[str, str]:
    page = story.api.get("/api/v1/devices")["devices"]
    return {device["id"]: next((m["version"] or "-" for m in device["models"]), "-") for device in page}


def _compare_all(story: Story, version: str) -> None:
    found = {device: compare(address, story.held_out[version]) for device, address in story.addresses.items()}
    rows = sum(comparison.rows for comparison in found.values())
    different = sum(comparison.different for comparison in found.values())
    worst = max(comparison.worst_probability for comparison in found.values())
    story.facts[f"compared_{version}"] = {"rows": rows, "different_labels": different, "worst_probability": worst}
    story.screen.say(
        f"{rows:,} answers compared with scikit-learn: {different} labels differ, worst probability {worst:.1e}"
    )
    if different or worst > 1e-4:
        raise DemoFailed(f"answers of {version} differ from scikit-learn's")


def _check_stopped(story: Story, version: str, canary_state: str) -> None:
    """The canary ended as expected and serves 1.1.0 again; the others never had the bad release on disk."""
    rollouts = story.api.get("/api/v1/rollouts")["rollouts"]
    rollout = story.api.get(f"/api/v1/rollouts/{next(r['id'] for r in rollouts if r['version'] == version)}")
    touched = {device["device"]: device for device in rollout["devices"] if device["state"] != "pending"}
    if len(touched) != 1:
        raise DemoFailed(f"{version} reached {sorted(touched)}")
    canary = next(iter(touched.values()))
    for device, address in story.addresses.items():
        with AgentClient(address) as client:
            answer = client.predict(story.held_out["1.1.0"].rows[0])
        if answer["model"] != f"{MODEL}:1.1.0":
            raise DemoFailed(f"{device} answers with {answer['model']} after {version}")
    story.facts[f"canary_{version}"] = {"device": canary["device"], "state": canary_state, "reason": canary["reason"]}
    story.screen.say(f"only {canary['device']} met {version} ({canary['reason']}); every device answers with 1.1.0")


def close(story: Story) -> None:
    """Sizes and memory for the summary, while everything still runs."""
    memory = [psutil.Process(agent.pid).memory_info().rss for agent in story.agents.values()]
    story.facts["agent_memory_mib"] = round(max(memory) / 2**20, 1)
    story.facts["server_memory_mib"] = round(psutil.Process(story.processes[0].pid).memory_info().rss / 2**20, 1)
    story.facts["cores"] = os.cpu_count()
