"""A server's inside on a real SQLite database, without a broker: time is moved and devices are spoken for by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from edgekit import messages as m
from edgekit.join import BrokerAccess
from edgekit.messages import DesiredModel, decode
from edgekit.times import rfc3339
from edgekit.topics import Topics
from edgekit.trust.releases import Repository
from fleet.config import DatabaseSection, FleetConfig, KeysSection, ServerSection
from fleet.receive.ingest import Ingest, Outlets
from fleet.receive.link import Arrival, Message
from fleet.release import metadata, signers
from fleet.release.catalogue import Catalogue
from fleet.rollout import commands, views
from fleet.rollout.controller import Controller
from fleet.rollout.plan import parse_plan
from fleet.rollout.states import Action
from fleet.rollout.views import RolloutView
from fleet.server import Server
from fleet.store import desired, devices, releases
from fleet.store.database import Database
from fleet.store.desired import Sent
from fleet.store.moments import stored
from tests.fleet.front.bench import bundle_of
from tests.support import documents

TOPICS = Topics("default")


@dataclass
class Rig:
    """`posted`: what ingest sent; `wanted`: artifacts that devices asked for. `database_url`: other than SQLite."""

    folder: Path
    now: datetime = documents.NOW
    database_url: str = ""
    posted: list[Message] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    listening_since: datetime | None = documents.NOW - timedelta(days=1)

    def __post_init__(self) -> None:
        data, keys = self.folder / "data", self.folder / "keys"
        self.config = FleetConfig(
            server=ServerSection(data_dir=str(data)),
            database=DatabaseSection(url=self.database_url),
            keys=KeysSection(dir=str(keys)),
        )
        self.database = Database(self.config.database_url)
        self.database.migrate()
        self.signers, _ = signers.init(keys)
        self.catalogue = Catalogue(data / "artifacts")
        self.catalogue.open()
        access = BrokerAccess(url="mqtt://127.0.0.1:1")
        self.server = Server(self.config, self.database, lambda: self.now, lambda: None, self.catalogue, lambda: access)
        self.ingest = Ingest(
            self.database,
            TOPICS,
            lambda: self.now,
            Outlets(self.posted.append, lambda: None, self.wanted.append),
        )
        self.controller = Controller(self.database, lambda: self.now, lambda: self.listening_since)
        self.repository = Repository(self.folder / "repo")
        self.repository.init(self.signers.public(), self.now)
        self.seqs: dict[str, int] = {}

    def release(self, model: str, version: str, content: bytes = b"model bytes") -> str:
        """Sign a release, store its artifact and its metadata as a push does; its digest."""
        path = self.folder / f"{model}-{version}.edgekit"
        path.write_bytes(bundle_of(model, version, content))
        signed = self.repository.add(path, self.now)
        with self.catalogue.upload() as upload:
            upload.write(path.read_bytes())
            self.catalogue.keep(signed.sha256, upload)
        with self.database.begin() as connection:
            releases.add_artifact(connection, signed.sha256, signed.bytes, now_ms=stored(self.now))
            files = self.repository.metadata_files()
            metadata.accept(connection, files, self.catalogue, self.signers, self.now)
        return signed.sha256

    def add(self, *names: str, broker: bool = True) -> None:
        """Register devices. `broker`: their first, empty documents are out."""
        with self.database.begin() as connection:
            for name in names:
                devices.add(connection, name, {}, now_ms=stored(self.now))
        if broker:
            self.dispatch()

    def start(self, *stages: str | list[str], version: str = "1.0.0", **plan: Any) -> str:
        """Create a rollout of the model `pump`; its id."""
        document = {"model": "pump", "version": version, "stages": [{"devices": stage} for stage in stages], **plan}
        with self.database.begin() as connection:
            return commands.create(connection, parse_plan(document), by="test", now_ms=stored(self.now))

    def act(self, rollout: str, action: Action) -> None:
        """What an operator does."""
        with self.database.begin() as connection:
            commands.act(connection, rollout, action, by="test", now_ms=stored(self.now))

    def settle(self, *, broker: bool = True) -> None:
        """Decide and dispatch until nothing moves. `broker` False: the broker acknowledges nothing."""
        for _ in range(50):
            if not self.controller.step() and not (broker and self.dispatch()):
                return
        raise AssertionError("the controller never comes to rest")

    def dispatch(self) -> int:
        """What the dispatcher does, as if a broker acknowledged everything; the number of documents."""
        with self.database.begin() as connection:
            rows = desired.undispatched(connection, 1000)
            sent = [Sent(row.device, row.seq, b"signed", stored(self.now + timedelta(days=7)), 1) for row in rows]
            desired.dispatched(connection, sent)
        return len(rows)

    def desired(self, device: str) -> list[DesiredModel]:
        """What the device is to run."""
        with self.database.begin() as connection:
            return desired.lock(connection, [device])[device]

    def view(self, rollout: str) -> RolloutView:
        """The rollout as the API shows it."""
        with self.database.read() as connection:
            return views.view(connection, rollout)

    def states(self, rollout: str) -> dict[str, str]:
        """The rollout's devices and their states."""
        return {item.device: item.state for item in self.view(rollout).devices}

    def event(self, device: str, rollout: str, state: m.UpdateState, *, seq: int | None = None) -> Arrival:
        """A report of the device about the rollout's release."""
        self.seqs[device] = self.seqs.get(device, 0) + 1
        told = self.view(rollout)
        event = m.Event(
            device=device,
            epoch="e1",
            seq=self.seqs[device] if seq is None else seq,
            time=rfc3339(self.now),
            model=told.model,
            version=told.version,
            sha256=told.sha256,
            rollout=rollout,
            state=state,
        )
        return arrival(device, "event", m.encode(event))

    def say(self, device: str, rollout: str, *states: m.UpdateState) -> None:
        """The device reports these states, and the controller acts on them."""
        self.ingest.store([self.event(device, rollout, state) for state in states])
        self.settle()

    def breathe(self, *names: str) -> None:
        """A sign of life of each device."""
        presence = m.encode(m.Presence(online=True, boot_id="b1"))
        self.ingest.store([arrival(name, "presence", presence) for name in names])

    def pass_time(self, **spans: float) -> None:
        """Move the clock."""
        self.now += timedelta(**spans)

    def acked(self) -> list[tuple[str, int]]:
        """Every acknowledged (device, seq) so far."""
        return [
            (message.topic.split("/")[-2], seq)
            for message in self.posted
            for seq in decode(message.payload, m.Ack).seqs
        ]


def arrival(device: str, leaf: str, payload: bytes, *, retained: bool = False) -> Arrival:
    """A message as the link hands it over."""
    return Arrival(device, leaf, payload, retained)
