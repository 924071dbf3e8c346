"""A real server without broker or controller: database, catalogue, keys and API, with a clock the test moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import msgspec
from sqlalchemy import update

from edgekit import golden as goldens
from edgekit import messages as m
from edgekit import packing
from edgekit.join import BrokerAccess
from edgekit.manifest import FileRole
from edgekit.times import rfc3339
from edgekit.trust.releases import Release, Repository
from fleet.api.app import create_app
from fleet.config import FleetConfig, KeysSection, ServerSection
from fleet.release import signers
from fleet.release.catalogue import Catalogue
from fleet.server import Server
from fleet.store import reports, schema, tokens
from fleet.store.database import Database
from fleet.store.moments import stored
from fleet.store.tokens import Role
from tests.support import documents
from tests.support.web import WebServer

ACCESS = BrokerAccess(url="mqtt://127.0.0.1:1883", username="fleet", password="broker-secret")


def bundle_of(model: str, version: str, content: bytes = b"model bytes") -> bytes:
    """A small honest bundle."""
    manifest = msgspec.structs.replace(documents.manifest(), name=model, version=version)
    contents: dict[FileRole, bytes] = {
        "model": content,
        "golden": goldens.encode(documents.golden_rows()),
        "reference": goldens.encode(documents.reference()),
    }
    return packing.build(manifest, contents)


@dataclass
class Bench:
    """The server, a release repository made for it, and clients with tokens of each role."""

    folder: Path
    now: datetime = documents.NOW
    wakes: int = 0
    heard: int = 0
    secrets: dict[Role, str] = field(default_factory=dict)
    clients: list[httpx.Client] = field(default_factory=list)

    def __post_init__(self) -> None:
        data, keys = self.folder / "data", self.folder / "keys"
        self.config = FleetConfig(server=ServerSection(data_dir=str(data)), keys=KeysSection(dir=str(keys)))
        self.database = Database(self.config.database_url)
        self.database.migrate()
        self.signers, _ = signers.init(keys)
        self.catalogue = Catalogue(data / "artifacts")
        self.catalogue.open()
        self.server = Server(self.config, self.database, lambda: self.now, self._wake, self.catalogue, lambda: ACCESS)
        self.web = WebServer(create_app(self.server))
        with self.database.begin() as connection:
            for role in Role:
                _, secret = tokens.create(connection, name=role.name.lower(), role=role, now_ms=stored(self.now))
                self.secrets[role] = secret
        self.repository = self.new_repository("repo")

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.web.close()
        self.database.close()

    def new_repository(self, name: str) -> Repository:
        """Another release repository made for this server's keys."""
        repository = Repository(self.folder / name)
        repository.init(self.signers.public(), self.now)
        return repository

    def client(self, role: Role | None = Role.ADMIN) -> httpx.Client:
        """An HTTP client with a token of that role."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.secrets[role]}"}
        client = httpx.Client(base_url=self.web.url, headers=headers, trust_env=False, timeout=20)
        self.clients.append(client)
        return client

    def sign(self, model: str, version: str, repository: Repository | None = None) -> Release:
        """A release made and signed offline."""
        path = self.folder / f"{model}-{version}.edgekit"
        path.write_bytes(bundle_of(model, version))
        return (repository or self.repository).add(path, self.now)

    def files(self, repository: Repository | None = None) -> dict[str, str]:
        """What `release push` would send."""
        content = (repository or self.repository).metadata_files()
        return {name: text.decode() for name, text in content.items()}

    def push(self) -> dict[str, object]:
        """Upload every bundle and the metadata, as `release push` does."""
        client = self.client()
        for release in self.repository.releases():
            content = self.repository.bundle_path(release.sha256).read_bytes()
            assert client.put(f"/api/v1/artifacts/{release.sha256}", content=content).status_code == 200
        answer = client.post("/api/v1/metadata", json={"files": self.files()})
        assert answer.status_code == 200, answer.text
        document: dict[str, object] = answer.json()
        return document

    def hear_of(self, device: str, *, version: str, ok: int = 0, server_error: int = 0, model: str = "pump") -> None:
        """What a device says of itself, stored as the receiving side stores it."""
        self.heard += 1
        now_ms, sha = stored(self.now), documents.SHA256
        reported = m.Reported(
            device=device,
            boot_id="b1",
            agent_version="0",
            applied_seq=1,
            time=rfc3339(self.now),
            models=[m.ReportedModel(name=model, version=version, sha256=sha, state="serving")],
            hardware=m.Hardware(arch="x86_64", cpu_count=2, memory_total_bytes=1 << 30),
            disk_free_bytes=1 << 30,
            memory_available_bytes=1 << 29,
        )
        counts = m.ModelHealth(
            name=model,
            version=version,
            sha256=sha,
            requests=m.Requests(ok=ok, server_error=server_error, rows=ok),
            latency=m.Latency(n=ok, sum_us=100 * ok),
        )
        system = m.SystemHealth(
            rss_bytes=60_000_000, memory_available_bytes=1 << 29, disk_free_bytes=1 << 30, load1=0.1, uptime_s=60.0
        )
        data = m.HealthData(
            device=device,
            epoch="e1",
            seq=self.heard,
            boot_id="b1",
            interval_s=60.0,
            models=[counts],
            system=system,
            outbox=m.OutboxHealth(queued=0, merged=0),
        )
        health = m.Health(source=f"/devices/{device}", id=f"e1-{self.heard}", time=rfc3339(self.now), data=data)
        with self.database.begin() as connection:
            reports.store_presence(connection, {device: m.Presence(online=True, boot_id="b1")}, now_ms=now_ms)
            reports.store_reported(connection, {device: reported}, now_ms=now_ms)
            hour_ms = now_ms - now_ms % 3_600_000
            reports.store_health(connection, [(health, hour_ms, m.encode(health))], now_ms=now_ms)
            reports.store_heard(connection, [device], now_ms=now_ms)

    def end_rollout(self, rollout: str, state: str) -> None:
        """Write an end as the controller would have: the controller's own tests show that it gets there."""
        with self.database.begin() as connection:
            ended = update(schema.rollout).where(schema.rollout.c.id == rollout)
            connection.execute(ended.values(state=state))

    def pass_time(self, **spans: float) -> None:
        """Move the clock."""
        self.now += timedelta(**spans)

    def _wake(self) -> None:
        self.wakes += 1
