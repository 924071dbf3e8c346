"""A whole server with a real broker and devices that speak MQTT."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from edgekit import messages as m
from edgekit.errors import Conflict, TrustError
from edgekit.join import BrokerAccess
from edgekit.messages import CHUNK_BYTES, ChunkIndex, DesiredModel, decode
from edgekit.times import utc_now
from edgekit.trust import desired as trust
from fleet.config import BrokerSection, FleetConfig
from fleet.store import devices, schema
from tests.fleet.core.device import Device
from tests.fleet.core.rig import TOPICS, Rig
from tests.fleet.core.running import (
    AnyBroker,
    Running,
    config_of,
    external,
    rig_of_today,
    serving,
    start_broker,
    wait_for,
)

KINDS = ["iotcore", "mosquitto"]


@pytest.fixture
def rig(tmp_path: Path, database_url: str) -> Iterator[Rig]:
    made = rig_of_today(tmp_path, database_url)
    made.release("pump", "1.0.0", random.Random(1).randbytes(150_000))  # several chunks, however it is compressed
    made.add("press-1", "press-2", broker=False)
    yield made
    made.database.close()


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyBroker]:
    made = start_broker(request.param, tmp_path)
    yield made
    made.stop()


@pytest.fixture
def config(rig: Rig, broker: AnyBroker, tmp_path: Path) -> FleetConfig:
    return config_of(rig, external(broker.access, tmp_path))


def install(device: Device, version: str, *, first_seq: int) -> DesiredModel:
    """What an agent does when all goes well: walk through the update, then say what it runs."""
    (model,) = device.wait_for_version(version).models
    states: tuple[m.UpdateState, ...] = ("downloading", "soaking", "succeeded")
    for seq, state in enumerate(states, first_seq):
        device.event(model, seq, state)
    device.report(device.runs(model))
    return model


def is_retained(access: BrokerAccess, topic: str) -> bool:
    """Does the broker hold something there?"""
    probe = Device(access, "probe")
    probe.subscribe(topic)
    probe.subscribe(TOPICS.index("00" * 32))  # answered after what was retained
    found = topic in probe.kept
    probe.close()
    return found


def test_a_rollout_travels_through_the_broker_and_back(rig: Rig, config: FleetConfig, broker: AnyBroker) -> None:
    with serving(config):
        canary, other = Device(broker.access, "press-1"), Device(broker.access, "press-2")
        rollout = rig.start(["press-1"], "100%", soak_s=2)
        document = canary.wait_for_version("1.0.0")
        assert (document.device, document.models[0].rollout, document.models[0].soak_s) == ("press-1", rollout, 2)
        keys = {rig.signers.desired.public_key.keyid: rig.signers.desired.public_key}
        content = canary.kept[TOPICS.device("press-1", "desired")]
        trust.verify(content, keys, tenant="default", device="press-1", above_seq=0, now=utc_now())
        canary.wait(lambda: TOPICS.metadata("timestamp.json") in canary.kept)
        assert TOPICS.metadata(f"{document.meta.snapshot}.snapshot.json") in canary.kept
        assert TOPICS.metadata("1.root.json") in canary.kept

        model = install(canary, "1.0.0", first_seq=1)
        canary.wait(lambda: sorted(canary.acked()) == [1, 2, 3])
        install(other, "1.0.0", first_seq=1)
        wait_for(lambda: rig.view(rollout).state == "completed")
        assert rig.states(rollout) == {"press-1": "succeeded", "press-2": "succeeded"}
        index = TOPICS.index(model.sha256)
        wait_for(lambda: not is_retained(broker.access, index))
        assert not is_retained(broker.access, TOPICS.chunk(model.sha256, 0))
        canary.vanish()
        wait_for(lambda: online(rig) == {"press-1": False, "press-2": True})
        other.close()


def online(rig: Rig) -> dict[str, bool]:
    with rig.database.read() as connection:
        return {row.id: row.online for row in connection.execute(select(schema.device.c.id, schema.device.c.online))}


def test_the_artifact_at_the_broker_is_the_signed_one(rig: Rig, config: FleetConfig, broker: AnyBroker) -> None:
    with serving(config):
        device = Device(broker.access, "press-1")
        rig.start("100%")
        (model,) = device.wait_for_version("1.0.0").models
        topic = TOPICS.index(model.sha256)
        wait_for(lambda: is_retained(broker.access, topic))
        device.subscribe(topic)
        device.wait(lambda: topic in device.kept)
        index = decode(device.kept[topic], ChunkIndex)
        topics = [TOPICS.chunk(model.sha256, number) for number in range(-(-index.bytes // CHUNK_BYTES))]
        assert len(topics) > 1
        for chunk in topics:
            device.subscribe(chunk)
        device.wait(lambda: all(chunk in device.kept for chunk in topics))
        content = b"".join(device.kept[chunk] for chunk in topics)
        assert hashlib.sha256(content).hexdigest() == model.sha256
        device.close()


def test_a_bad_release_stops_at_the_canary_and_the_others_never_see_it(
    rig: Rig, config: FleetConfig, broker: AnyBroker
) -> None:
    with serving(config):
        canary, other = Device(broker.access, "press-1"), Device(broker.access, "press-2")
        first = rig.start("100%")
        install(canary, "1.0.0", first_seq=1)
        install(other, "1.0.0", first_seq=1)
        wait_for(lambda: rig.view(first).state == "completed")
        rig.release("pump", "1.1.0", b"bad model")
        rollout = rig.start(["press-1"], "100%", version="1.1.0")
        (bad,) = canary.wait_for_version("1.1.0").models
        canary.event(bad, 9, "failed")
        canary.wait_for_version("1.0.0")
        wait_for(lambda: rig.view(rollout).state == "rolled_back")
        seen = [trust.peek(content) for topic, content in other.log if topic.endswith("/desired")]
        assert {item.version for document in seen for item in document.models} == {"1.0.0"}
        canary.close()
        other.close()


def test_everything_is_published_again_when_the_broker_forgot_it(
    rig: Rig, config: FleetConfig, broker: AnyBroker
) -> None:
    with serving(config):
        device = Device(broker.access, "press-1")
        rig.start("100%")
        (model,) = device.wait_for_version("1.0.0").models
        before = device.desired()
        wait_for(lambda: is_retained(broker.access, TOPICS.index(model.sha256)))
        device.kept.clear()
        broker.restart()
        expected = {
            TOPICS.device("press-1", "desired"),
            TOPICS.server_presence(),
            TOPICS.metadata("timestamp.json"),
            TOPICS.metadata("1.root.json"),
        }
        device.wait(lambda: expected <= device.kept.keys())
        assert device.desired() == before, "the same document: no seq is spent on a broker's restart"
        wait_for(lambda: is_retained(broker.access, TOPICS.index(model.sha256)))
        device.event(model, 1, "downloading")
        device.wait(lambda: device.acked() == [1])
        device.close()


def test_a_server_that_was_away_goes_on_where_it_was(rig: Rig, tmp_path: Path) -> None:
    config = config_of(rig, BrokerSection(port=0))
    running = Running(config)
    access = accesses(rig)
    device = Device(access, "press-1")
    device.wait(lambda: TOPICS.server_presence() in device.kept)
    assert running.stop() < 5
    rollout = rig.start("100%")
    with serving(config) as again:
        assert again.ready.broker == access.url, "devices know only this address"
        install(device, "1.0.0", first_seq=1)
        wait_for(lambda: rig.states(rollout)["press-1"] == "succeeded")
        device.close()


def accesses(rig: Rig) -> BrokerAccess:
    """How a device logs in to the embedded broker."""
    state = json.loads((rig.config.data_dir / "broker.json").read_text())
    return BrokerAccess(url=f"mqtt://127.0.0.1:{state['port']}", username="device", password=state["device_password"])


def test_the_server_says_good_bye(rig: Rig, config: FleetConfig, broker: AnyBroker) -> None:
    running = Running(config)
    device = Device(broker.access, "press-1")
    topic = TOPICS.server_presence()

    def is_online() -> bool | None:
        return decode(device.kept[topic], m.ServerPresence).online if topic in device.kept else None

    device.wait(lambda: is_online() is True)
    running.stop()
    device.wait(lambda: is_online() is False)
    device.close()


def test_a_wanted_artifact_that_is_unknown_is_gone_and_a_known_one_comes(
    rig: Rig, config: FleetConfig, broker: AnyBroker
) -> None:
    with rig.database.read() as connection:
        known = connection.execute(select(schema.release.c.sha256)).scalar_one()
    with serving(config):
        device = Device(broker.access, "press-1")
        for sha256 in ("ab" * 32, known):
            device.subscribe(TOPICS.index(sha256))
            device.say("want", m.encode(m.Want(sha256=sha256)))
        device.wait(lambda: {TOPICS.index("ab" * 32), TOPICS.index(known)} <= device.kept.keys())
        assert decode(device.kept[TOPICS.index("ab" * 32)], ChunkIndex).gone == "unknown"
        assert decode(device.kept[TOPICS.index(known)], ChunkIndex).gone is None
        device.close()


def test_an_artifact_larger_than_the_broker_may_hold_is_gone(rig: Rig, broker: AnyBroker, tmp_path: Path) -> None:
    section = external(broker.access, tmp_path)
    small = BrokerSection(
        **{name: getattr(section, name) for name in section.__struct_fields__} | {"retained_max_bytes": 100}
    )
    with serving(config_of(rig, small)):
        device = Device(broker.access, "press-1")
        rig.start("100%")
        (model,) = device.wait_for_version("1.0.0").models
        device.subscribe(TOPICS.index(model.sha256))
        device.wait(lambda: TOPICS.index(model.sha256) in device.kept)
        assert decode(device.kept[TOPICS.index(model.sha256)], ChunkIndex).gone == "too_large_for_broker"
        device.close()


def test_a_retired_device_loses_its_document(rig: Rig, config: FleetConfig, broker: AnyBroker) -> None:
    with serving(config):
        device = Device(broker.access, "press-1")
        device.wait_for_version(None)
        with rig.database.begin() as connection:
            devices.retire(connection, "press-1", now_ms=1)
        device.wait(lambda: TOPICS.device("press-1", "desired") not in device.kept)
        device.close()


# ---- starting and stopping ------------------------------------------------------------------------------------


def test_a_second_server_on_the_same_sqlite_database_is_refused(rig: Rig) -> None:
    if not rig.database.is_sqlite:
        pytest.skip("PostgreSQL takes any number of servers")
    config = config_of(rig, BrokerSection(port=0))
    with serving(config), pytest.raises(Conflict, match="PostgreSQL") as caught:
        Running(config)
    assert caught.value.reason == "database_in_use"


def test_a_server_without_keys_says_how_to_make_them(rig: Rig) -> None:
    (rig.config.keys_dir / "desired.pem").unlink()
    with pytest.raises(TrustError, match="keys init"):
        Running(config_of(rig, BrokerSection(port=0)))


def test_a_process_that_is_terminated_ends_cleanly_and_leaves_nothing_running(rig: Rig, tmp_path: Path) -> None:
    if not rig.database.is_sqlite:
        pytest.skip("the second server is refused on SQLite only")
    toml = tmp_path / "fleet.toml"
    toml.write_text('[server]\nport = 0\ndata_dir = "data"\n[broker]\nport = 0\n[keys]\ndir = "keys"\n')
    command = [sys.executable, "-m", "edgekit", "fleet", "serve", "--config", str(toml), "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    ready = json.loads(server.stdout.readline())
    assert ready["event"] == "ready"
    assert ready["api"].startswith("http://127.0.0.1:")
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "another fleet server runs" in second.stderr
    device = Device(accesses(rig), "press-1")
    server.send_signal(signal.SIGTERM)
    assert server.wait(5) == 0
    server.stdout.close()
    device.close()
    with pytest.raises(ConnectionRefusedError):
        Device(accesses(rig), "press-2")
