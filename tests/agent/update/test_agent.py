"""Whole updates of real agent processes over a real broker."""

from __future__ import annotations

from edgekit.http import Api
from tests.support.agent import AgentProcess
from tests.support.models import make_bundle
from tests.support.station import Station, model_of
from tests.support.waiting import wait_for

ROW = {"pressure": 0.1, "flow": -0.3, "heat": 3.0}


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
