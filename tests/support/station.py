"""A small honest fleet server for the agent's tests: real signed metadata, real signed documents, a real connection.

What it retains it publishes again on every connection, as the real server does; reports it acknowledges after it kept
them. Tests that need a dishonest server publish what they like with `retain`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from edgekit import messages
from edgekit.chunks import index_of
from edgekit.join import BrokerAccess, Join, TrustAnchor, to_toml
from edgekit.messages import Ack, Desired, DesiredModel, Event, Health, Presence, Reported, ServerPresence, Want
from edgekit.times import rfc3339, utc_now
from edgekit.topics import Topics
from edgekit.trust import desired
from edgekit.trust.releases import Release, Repository
from tests.support.broker import Broker
from tests.support.waiting import wait_for

TENANT = "default"


class Signing:
    """Keys and metadata of a fleet: the offline repository and the server's online half."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = {role: CryptoSigner.generate_ed25519() for role in ("snapshot", "timestamp", "desired")}
        self.repository = Repository(folder / "repo")
        self.repository.init({role: key.public_key for role, key in self.keys.items()}, utc_now())
        self.versions = {"snapshot": 0, "timestamp": 0}

    @property
    def root(self) -> str:
        """The first root, which devices pin."""
        return self.repository.metadata_files()["1.root.json"].decode()

    def add(self, bundle: bytes, *, min_counter: int | None = None) -> Release:
        """Sign a bundle as a release."""
        path = self.folder / "to-add.edgekit"
        path.write_bytes(bundle)
        return self.repository.add(path, utc_now(), min_counter=min_counter)

    def metadata(self, *, expires: datetime | None = None) -> dict[str, bytes]:
        """All metadata by published name, with a new snapshot and timestamp."""
        ends = (expires or utc_now() + timedelta(days=7)).replace(microsecond=0)
        files = self.repository.metadata_files()
        meta = {
            f"{name.split('.', 1)[1]}": MetaFile(int(name.split(".", 1)[0]))
            for name in files
            if not name.endswith(".root.json")
        }
        self.versions = {role: version + 1 for role, version in self.versions.items()}
        snapshot = Metadata(Snapshot(version=self.versions["snapshot"], expires=ends, meta=meta))
        snapshot.sign(self.keys["snapshot"])
        timestamp = Metadata(
            Timestamp(version=self.versions["timestamp"], expires=ends, snapshot_meta=MetaFile(snapshot.signed.version))
        )
        timestamp.sign(self.keys["timestamp"])
        return files | {
            f"{snapshot.signed.version}.snapshot.json": snapshot.to_bytes(),
            "timestamp.json": timestamp.to_bytes(),
        }

    def document(self, device: str, seq: int, models: list[DesiredModel], **changes: object) -> Desired:
        """An unsigned desired document that names the present metadata."""
        now = utc_now()
        fields: dict[str, object] = {
            "tenant": TENANT,
            "device": device,
            "seq": seq,
            "issued": rfc3339(now),
            "expires": rfc3339(now + timedelta(days=7)),
            "meta": messages.MetadataVersions(root=1, **self.versions),
            "models": models,
        }
        return Desired(**(fields | changes))  # type: ignore[arg-type]

    def sign(self, document: Desired) -> bytes:
        """The envelope."""
        return desired.sign(document, self.keys["desired"])


def model_of(release: Release, rollout: str = "r1", soak_s: float = 0.0) -> DesiredModel:
    """How a desired document asks for a release."""
    return DesiredModel(
        name=release.model,
        version=release.version,
        sha256=release.sha256,
        bytes=release.bytes,
        counter=release.counter,
        rollout=rollout,
        soak_s=soak_s,
    )


@dataclass
class Received:
    """What devices sent, oldest first."""

    events: list[Event] = field(default_factory=list)
    health: list[Health] = field(default_factory=list)
    reported: list[Reported] = field(default_factory=list)
    presence: list[Presence] = field(default_factory=list)
    wants: list[Want] = field(default_factory=list)


class Station:
    """Connects to `broker` and serves one device. Close it when done."""

    def __init__(self, folder: Path, broker: Broker, device: str = "pump-1") -> None:
        self.signing = Signing(folder)
        self.device, self.topics, self.access = device, Topics(TENANT), broker.access
        self.received = Received()
        self.acknowledges = True
        self._broker_port = broker.port
        self._retained: dict[str, bytes] = {}
        self._seq = 0
        self._lock = threading.Lock()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="station")
        self._client.username_pw_set(self.access.username, self.access.password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        offline = messages.encode(ServerPresence(online=False))
        self._client.will_set(self.topics.server_presence(), offline, qos=1, retain=True)

    def start(self) -> Station:
        """Connect, and wait for it."""
        self.retain(self.topics.server_presence(), messages.encode(ServerPresence(online=True, session="s1")))
        self._client.connect("127.0.0.1", self._broker_port)
        self._client.loop_start()
        wait_for(self._client.is_connected, 10, "the station to connect")
        return self

    def close(self) -> None:
        """Go away."""
        self._client.disconnect()
        self._client.loop_stop()

    def join(self) -> Join:
        """What the device needs."""
        return Join(tenant=TENANT, device=self.device, broker=self.access, trust=TrustAnchor(root=self.signing.root))

    # ---- what it says ---------------------------------------------------------------------------------------

    def retain(self, topic: str, payload: bytes) -> None:
        """Publish and keep publishing on every connection; empty removes it."""
        with self._lock:
            self._retained[topic] = payload
        if self._client.is_connected():
            self._client.publish(topic, payload, qos=1, retain=True).wait_for_publish(10)

    def release(self, bundle: bytes, *, chunks: Iterable[int] | None = None, min_counter: int | None = None) -> Release:
        """Sign a bundle, publish its metadata, and its chunks (all, or those numbered) with the index last."""
        release = self.signing.add(bundle, min_counter=min_counter)
        self.publish_metadata()
        self.publish_chunks(bundle, chunks)
        self.retain(self.topics.index(release.sha256), messages.encode(index_of(bundle)))
        return release

    def publish_metadata(self, *, expires: datetime | None = None) -> None:
        """A new snapshot and timestamp, and everything they name."""
        for name, content in self.signing.metadata(expires=expires).items():
            self.retain(self.topics.metadata(name), content)

    def publish_chunks(self, bundle: bytes, numbers: Iterable[int] | None = None) -> None:
        """Publish chunks of an artifact."""
        sha256 = index_of(bundle).sha256
        for number in range(-(-len(bundle) // messages.CHUNK_BYTES)) if numbers is None else numbers:
            start = number * messages.CHUNK_BYTES
            self.retain(self.topics.chunk(sha256, number), bundle[start : start + messages.CHUNK_BYTES])

    def desire(self, *models: DesiredModel) -> None:
        """Tell the device what to run."""
        self._seq += 1
        self.send_envelope(self.signing.sign(self.signing.document(self.device, self._seq, list(models))))

    def send_envelope(self, envelope: bytes) -> None:
        """Publish any bytes as the device's desired document."""
        self.retain(self.topics.device(self.device, "desired"), envelope)

    # ---- what it hears --------------------------------------------------------------------------------------

    def states(self, version: str, rollout: str | None = None) -> list[str]:
        """The states of the updates to `version`, each once, in the order of the device's sequence numbers."""
        events = sorted(
            {(event.epoch, event.seq): event for event in self.received.events}.values(), key=lambda event: event.seq
        )
        return [event.state for event in events if event.version == version and rollout in (None, event.rollout)]

    def event(self, version: str, state: str) -> Event | None:
        """The latest event of that kind."""
        matching = [event for event in self.received.events if (event.version, event.state) == (version, state)]
        return matching[-1] if matching else None

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        for leaf in ("event", "health", "reported", "presence", "want"):
            client.subscribe(self.topics.all_devices(leaf), qos=1)
        with self._lock:
            retained = dict(self._retained)
        for topic, payload in retained.items():
            client.publish(topic, payload, qos=1, retain=True)

    def _on_message(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        parsed = self.topics.parse_device(message.topic)
        if parsed is None:
            return
        leaf, payload, received = parsed[1], bytes(message.payload), self.received
        if leaf == "event":
            event = messages.decode(payload, Event)
            received.events.append(event)
            self._acknowledge(event.epoch, event.seq)
        elif leaf == "health":
            health = messages.decode(payload, Health)
            received.health.append(health)
            self._acknowledge(health.data.epoch, health.data.seq)
        elif leaf == "reported":
            received.reported.append(messages.decode(payload, Reported))
        elif leaf == "presence":
            received.presence.append(messages.decode(payload, Presence))
        elif leaf == "want":
            received.wants.append(messages.decode(payload, Want))

    def _acknowledge(self, epoch: str, seq: int) -> None:
        if self.acknowledges:
            ack = messages.encode(Ack(epoch=epoch, seqs=[seq]))
            self._client.publish(self.topics.device(self.device, "ack"), ack, qos=1)


def write_join(folder: Path, station: Station, access: BrokerAccess | None = None) -> Path:
    """A `join.toml` for the station's device."""
    join = station.join()
    if access is not None:
        join = Join(tenant=join.tenant, device=join.device, broker=access, trust=join.trust)
    path = folder / "join.toml"
    path.write_text(to_toml(join))
    return path
