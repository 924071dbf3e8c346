"""Whole updates of real agent processes over a real broker."""

from __future__ import annotations

import base64
import http.client
import json
import platform
import re
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from edgekit import bundle as bundles
from edgekit import messages
from edgekit.http import Api
from edgekit.messages import CHUNK_BYTES, Envelope
from edgekit.times import utc_now
from edgekit.trust.releases import Release
from examples.bad_release import CRASHING_MACHINES, Trigger, crash_on, repack
from tests.support.agent import AgentProcess
from tests.support.broker import Broker
from tests.support.models import make_bundle
from tests.support.station import Station, model_of
from tests.support.waiting import wait_for

ROW = {"pressure": 0.1, "flow": -0.3, "heat": 3.0}
DEADLY_ROW = ROW | {"heat": 77.0}


def install(station: Station, agent: AgentProcess, version: str = "1.0.0", shift: float = 0.0) -> Release:
    """Start the agent and bring it to serve a good release."""
    release = station.release(make_bundle(version=version, shift=shift))
    if not agent.running:
        agent.start()
    station.desire(model_of(release, f"install-{version}"))
    wait_for(lambda: station.event(version, "succeeded"), 30, f"{version} to be installed")
    return release


def wait_for_refusal(agent: AgentProcess, reason: str) -> None:
    """Wait until a desired document was not followed for that reason."""

    def refused() -> bool:
        found = agent.status()["desired_refused"]
        return bool(found) and found["reason"] == reason

    wait_for(refused, 20, f"the document to be refused as {reason}")


def test_a_release_is_fetched_tested_served_and_reported(agent: AgentProcess, station: Station) -> None:
    release = station.release(make_bundle(padding_bytes=300_000))
    agent.start()
    station.desire(model_of(release, soak_s=0.5))
    wait_for(lambda: station.event("1.0.0", "succeeded"), 20, "the update to succeed")
    assert station.states("1.0.0") == [
        "queued",
        "downloading",
        "verifying",
        "testing",
        "activating",
        "soaking",
        "succeeded",
    ]
    assert agent.predict(ROW)["model"] == "pump:1.0.0"
    assert Api(agent.url).get("/health")["models"] == {"pump": "1.0.0"}
    reported = wait_for(
        lambda: [each for each in station.received.reported if each.models and each.models[0].state == "serving"],
        10,
        "the device's account",
    )[-1]
    assert (reported.models[0].sha256, reported.applied_seq) == (release.sha256, 1)
    assert station.received.presence[-1].online


# ---- cuts -------------------------------------------------------------------------------------------------------


def test_kill_9_in_mid_download_and_a_restart_finish_the_same_update(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    bundle = make_bundle(version="1.1.0", shift=5.0, padding_bytes=12 * CHUNK_BYTES)
    chunks = -(-len(bundle) // CHUNK_BYTES)
    release = station.release(bundle, chunks=range(7))
    station.desire(model_of(release, "r2"))
    wait_for(lambda: agent.status()["updates"]["pump"]["chunks"]["fetched"] == 7, 20, "the first chunks")

    agent.kill()
    agent.start()

    assert agent.predict(ROW)["model"] == "pump:1.0.0", "the proven model serves before anything else happens"
    station.publish_chunks(bundle)
    done = wait_for(lambda: station.event("1.1.0", "succeeded"), 30, "the update to succeed")
    assert done.rollout == "r2"
    verifying = station.event("1.1.0", "verifying")
    assert verifying is not None
    assert verifying.detail == f"{chunks - 7} chunks fetched, 7 of {chunks} were there"
    assert agent.predict(ROW)["model"] == "pump:1.1.0"


def test_kill_9_during_the_soak_resumes_the_trial(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    station.desire(model_of(station.release(make_bundle(version="1.1.0", shift=5.0)), "r2", soak_s=1.5))
    wait_for(lambda: station.event("1.1.0", "soaking"), 30, "the trial")
    agent.kill()
    agent.start()
    assert agent.predict(ROW)["model"] == "pump:1.1.0"
    wait_for(lambda: station.event("1.1.0", "succeeded"), 30, "the trial to be proven")


def test_without_the_broker_it_predicts_and_delivers_its_reports_once_it_is_back(
    agent: AgentProcess, station: Station, broker: Broker
) -> None:
    install(station, agent)
    broker.stop()
    wait_for(lambda: not agent.status()["link"]["connected"], 10, "the link to be lost")
    for _ in range(20):
        assert agent.predict(ROW)["model"] == "pump:1.0.0"
    wait_for(lambda: agent.status()["outbox"]["queued"] >= 3, 10, "reports to queue up")
    before = len(station.received.health)

    broker.start()

    wait_for(lambda: agent.status()["outbox"]["queued"] <= 1, 20, "the reports to be delivered and acknowledged")
    late = {(each.data.epoch, each.data.seq): each for each in station.received.health[before:]}
    counted = sum(model.requests.ok for each in late.values() for model in each.data.models)
    assert counted == 20


def test_reports_that_are_not_acknowledged_are_kept(agent: AgentProcess, station: Station) -> None:
    station.acknowledges = False
    agent.start()
    wait_for(lambda: len(station.received.health) >= 2, 10, "reports to be published")
    assert agent.status()["outbox"]["queued"] >= 2
    agent.kill()
    station.acknowledges = True
    agent.start()
    wait_for(lambda: agent.status()["outbox"]["queued"] <= 1, 10, "the reports to be acknowledged")


def test_a_damaged_state_file_falls_back_and_the_device_serves(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    agent.stop()
    path = agent.data_dir / "state.json"
    path.write_bytes(path.read_bytes()[:-40])
    agent.start()
    assert agent.status()["state_recovered"] is True
    assert wait_for(agent.serving, 20, "a model to serve") == {"pump": "1.0.0"}


def test_a_damaged_model_on_disk_is_not_served_and_is_fetched_again(agent: AgentProcess, station: Station) -> None:
    old = install(station, agent)
    new = install(station, agent, "1.1.0", shift=5.0)
    agent.stop()
    model = agent.data_dir / "blobs" / new.sha256 / "model.onnx"
    model.write_bytes(model.read_bytes() + b"x")
    agent.start()
    assert agent.serving() == {"pump": old.version}
    wait_for(lambda: agent.serving() == {"pump": new.version}, 30, "the release to be fetched again")


# ---- bad releases -------------------------------------------------------------------------------------------------


def test_wrong_golden_answers_are_refused_and_the_proven_model_serves(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    bad = station.release(make_bundle(version="1.2.0", wrong_golden=True))
    station.desire(model_of(bad, "r2"))
    rejected = wait_for(lambda: station.event("1.2.0", "rejected"), 30, "the release to be refused")
    assert rejected.reason == "golden_mismatch"
    assert agent.predict(ROW)["model"] == "pump:1.0.0"
    assert not (agent.data_dir / "blobs" / bad.sha256).exists()
    station.desire(model_of(bad, "r2"))
    wait_for(lambda: agent.status()["applied_seq"] == 3, 10, "the repeated document")
    assert station.states("1.2.0").count("queued") == 1, "not tried again for the same rollout"


@pytest.mark.skipif(platform.machine() not in CRASHING_MACHINES, reason="this processor does not trap on the division")
def test_a_model_that_kills_its_process_is_rolled_back_after_a_few_starts(
    agent: AgentProcess, station: Station
) -> None:
    install(station, agent)
    honest = bundles.parse(make_bundle())
    deadly = Trigger("heat", DEADLY_ROW["heat"], 1)
    bad = station.release(repack(honest, "1.3.0", lambda model: crash_on(model, honest.manifest, deadly)))
    station.desire(model_of(bad, "r2", soak_s=60.0))
    wait_for(lambda: station.event("1.3.0", "soaking"), 30, "the trial")
    deaths = 0
    while agent.serving() == {"pump": "1.3.0"}:
        with pytest.raises((OSError, http.client.HTTPException)):
            agent.predict(DEADLY_ROW)
        assert agent.wait(10) < 0
        deaths += 1
        agent.start()
    assert deaths == 3, "max_trial_boots = 2: the trial and two starts with it"
    assert agent.predict(DEADLY_ROW)["model"] == "pump:1.0.0"
    rolled_back = wait_for(lambda: station.event("1.3.0", "rolled_back"), 20, "the report of the roll-back")
    assert rolled_back.reason == "crash_loop"
    assert not (agent.data_dir / "blobs" / bad.sha256).exists()


def test_going_back_to_the_previous_release_downloads_nothing(agent: AgentProcess, station: Station) -> None:
    old = install(station, agent)
    install(station, agent, "1.1.0", shift=5.0)
    for number in range(-(-old.bytes // CHUNK_BYTES)):
        station.retain(station.topics.chunk(old.sha256, number), b"")
    station.desire(model_of(old, "back"))
    wait_for(lambda: agent.serving() == {"pump": "1.0.0"}, 20, "the previous release")
    wait_for(lambda: "succeeded" in station.states("1.0.0", "back"), 10, "the report")
    assert station.states("1.0.0", "back") == ["queued", "activating", "soaking", "succeeded"]


def test_a_newer_document_supersedes_an_update_under_way(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    stuck = station.release(make_bundle(version="1.1.0", padding_bytes=4 * CHUNK_BYTES), chunks=range(1))
    station.desire(model_of(stuck, "r2"))
    wait_for(lambda: station.event("1.1.0", "downloading"), 20, "the download")
    station.desire(model_of(station.release(make_bundle(version="1.2.0", shift=5.0)), "r3"))
    wait_for(lambda: station.event("1.2.0", "succeeded"), 30, "the newer release")
    assert station.states("1.1.0")[-1] == "superseded"


def test_the_same_release_for_another_rollout_is_already_installed(agent: AgentProcess, station: Station) -> None:
    release = install(station, agent)
    station.desire(model_of(release, "r2"))
    told = wait_for(lambda: station.event("1.0.0", "already_installed"), 20, "the report")
    assert told.rollout == "r2"


def test_a_model_that_is_no_longer_mentioned_keeps_serving(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    station.desire()
    wait_for(lambda: agent.status()["applied_seq"] == 2, 20, "the empty document")
    assert agent.predict(ROW)["model"] == "pump:1.0.0"


# ---- bad documents ------------------------------------------------------------------------------------------------


def test_replayed_foreign_and_unsigned_documents_are_ignored_with_their_reason(
    agent: AgentProcess, station: Station
) -> None:
    install(station, agent)
    other = station.release(make_bundle(version="1.1.0", shift=5.0))
    signing, device = station.signing, station.device
    replayed = signing.sign(signing.document(device, 1, [model_of(other, "r9")]))
    foreign = signing.sign(signing.document("pump-2", 9, [model_of(other, "r9")]))
    unsigned = messages.encode(
        replace(
            messages.decode(signing.sign(signing.document(device, 9, [model_of(other, "r9")])), Envelope), signatures=[]
        )
    )
    for envelope, reason in (
        (replayed, "desired_replayed"),
        (foreign, "desired_wrong_device"),
        (unsigned, "desired_unsigned"),
        (base64.b64encode(b"rubbish"), "message_malformed"),
    ):
        station.send_envelope(envelope)
        wait_for_refusal(agent, reason)
    assert agent.status()["applied_seq"] == 1
    assert station.states("1.1.0") == []
    assert agent.predict(ROW)["model"] == "pump:1.0.0"


def test_expired_metadata_makes_the_update_wait_and_never_stops_predictions(
    agent: AgentProcess, station: Station
) -> None:
    install(station, agent)
    release = station.release(make_bundle(version="1.1.0", shift=5.0))
    station.publish_metadata(expires=utc_now() - timedelta(hours=1))
    station.desire(model_of(release, "r2"))
    waiting = wait_for(lambda: station.event("1.1.0", "waiting"), 20, "the update to wait")
    assert waiting.reason == "metadata_expired"
    assert agent.predict(ROW)["model"] == "pump:1.0.0"
    station.publish_metadata()
    wait_for(lambda: station.event("1.1.0", "succeeded"), 30, "the update to go on")


def test_a_release_below_the_floor_is_refused(agent: AgentProcess, station: Station) -> None:
    old = install(station, agent)
    new = station.release(make_bundle(version="1.1.0", shift=5.0), min_counter=2)
    station.desire(model_of(new, "r2"))
    wait_for(lambda: station.event("1.1.0", "succeeded"), 30, "the newer release")
    station.desire(model_of(old, "r3"))
    rejected = wait_for(lambda: station.event("1.0.0", "rejected"), 20, "the older one to be refused")
    assert rejected.reason == "below_floor"
    assert agent.predict(ROW)["model"] == "pump:1.1.0"


# ---- the process itself -------------------------------------------------------------------------------------------


def test_the_process_that_predicts_loads_no_signature_library(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    mapped = Path(f"/proc/{agent.pid}/maps").read_text()
    assert re.search(r"onnxruntime", mapped), "the control: what is loaded shows in the map"
    assert not re.search(r"cryptography|_rust\.abi3|_cffi_backend", mapped)
    unwanted = "('tuf', 'securesystemslib', 'cryptography')"
    code = f"import sys, edge_agent.runtime; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "[]"


def test_a_clean_stop_is_quick_and_says_goodbye(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    started = utc_now()
    assert agent.stop() == 0
    assert utc_now() - started < timedelta(seconds=3)
    last = wait_for(lambda: [p for p in station.received.presence if not p.online], 5, "the goodbye")[-1]
    assert last.clean


def test_a_killed_agent_is_told_offline_by_its_last_will(agent: AgentProcess, station: Station) -> None:
    agent.start()
    wait_for(lambda: station.received.presence, 10, "presence")
    agent.kill()
    last = wait_for(lambda: [p for p in station.received.presence if not p.online], 10, "the last will")[-1]
    assert not last.clean


def test_a_second_agent_on_the_same_folder_is_refused(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    second = agent.command("run", "--json")
    assert second.returncode == 1
    assert json.loads(second.stderr.splitlines()[-1])["error"]["reason"] == "already_running"
    assert agent.predict(ROW)["model"] == "pump:1.0.0"


def test_a_taken_port_is_one_sentence_and_is_not_held_against_a_trial(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    station.desire(model_of(station.release(make_bundle(version="1.1.0", shift=5.0)), "r2", soak_s=60.0))
    wait_for(lambda: station.event("1.1.0", "soaking"), 30, "the trial")
    agent.stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        text = agent.config.read_text().replace("port = 0", f"port = {taken.getsockname()[1]}")
        agent.config.write_text(text)
        for _ in range(4):
            refused = agent.command("run", "--json")
            assert refused.returncode == 1
            assert json.loads(refused.stderr.splitlines()[-1])["error"]["reason"] == "port_taken"
    agent.start()
    assert agent.serving() == {"pump": "1.1.0"}


def test_the_device_s_own_commands(agent: AgentProcess, station: Station) -> None:
    stopped = agent.command("status", "--json")
    assert stopped.returncode == 7
    assert "edgekit agent run" in json.loads(stopped.stderr)["error"]["message"]
    install(station, agent)
    assert json.loads(agent.command("status", "--json").stdout)["serving"] == {"pump": "1.0.0"}
    assert "current 1.0.0" in agent.command("status").stdout
    assert json.loads(agent.command("predict", "--json", json.dumps(ROW)).stdout)["prediction"] == 2
    assert agent.command("predict", json.dumps([ROW, ROW])).stdout == "2\n2\n"
    assert agent.command("predict", "not json").returncode == 2
    assert agent.command("predict", json.dumps({"flow": "x"})).returncode == 2
    latency = agent.status()["latency"]["pump"]
    assert latency["requests"] == 2
    assert 0 < latency["p50_us"] <= latency["p99_us"]
    assert "2 answered, p50" in agent.command("status").stdout
    assert "succeeded" in agent.command("history").stdout
    passed = [step["state"] for step in Api(agent.url).get("/models/pump/history")["history"]]
    assert (passed[0], passed[-1], "soaking" in passed) == ("succeeded", "queued", True)
    assert json.loads(agent.command("selftest", "--json").stdout)["pump"]["passed"] is True
    agent.kill()
    assert agent.command("status").returncode == 7
