"""Golden files of what the sides keep and read: agent state, configuration, the server's schema, release metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from sqlalchemy import create_engine, text

import edge_agent.config
import fleet.config
from edge_agent.update import state as states
from edgekit.trust.releases import Repository
from fleet.store.database import Database
from tests.support import documents

GOLDEN = Path(__file__).parent / "golden"
DOCS = Path(__file__).parents[1] / "docs"


def _state() -> states.State:
    slot = states.Slot(sha256="ab" * 32, version="1.3.0", manifest_sha256="cd" * 32, counter=3, rollout="pump-1-3-0-a")
    trial = states.Trial(
        sha256="ef" * 32,
        version="1.4.0",
        manifest_sha256="01" * 32,
        counter=4,
        rollout="pump-1-4-0-a1b2",
        soak_s=60.0,
        activated="2026-11-22T12:00:00.000Z",
        boots=1,
    )
    outcome = states.Outcome(
        sha256="23" * 32,
        version="1.2.0",
        rollout="pump-1-2-0-z",
        state="rejected",
        time="2026-11-21T12:00:00.000Z",
        reason="golden_mismatch",
    )
    return states.State(
        generation=7,
        applied_seq=12,
        trusted_time="2026-11-22T12:00:00.000Z",
        floors={"pump": 2},
        models={"pump": states.ModelState(current=slot, trial=trial, outcomes=[outcome])},
    )


def test_yesterday_s_state_file_reads_and_is_still_written_so() -> None:
    content = (GOLDEN / "state.json").read_bytes()
    raw, found = states.decode(content)
    assert found == _state()
    assert states.encode(raw) == content
    assert states.encode(msgspec.to_builtins(_state())) == content


def test_the_golden_agent_configuration_names_every_setting(tmp_path: Path) -> None:
    for name in ("agent.toml", "join.toml"):
        (tmp_path / name).write_bytes((GOLDEN / name).read_bytes())
    found = edge_agent.config.load(tmp_path / "agent.toml", {})
    assert (found.join.device, found.data_dir) == ("press-7", tmp_path / "edgekit-agent")
    for section in (found.http, found.health, found.mqtt, *found.mqtt.inference, found.link, found.update):
        _all_named(section, GOLDEN / "agent.toml", DOCS / "configuration.md")


def test_the_golden_server_configuration_names_every_setting(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_bytes((GOLDEN / "fleet.toml").read_bytes())
    found = fleet.config.load(tmp_path / "fleet.toml")
    assert found.broker.ca_file == str(tmp_path / "broker-ca.pem")
    for section in (found.server, found.database, found.broker, found.keys):
        _all_named(section, GOLDEN / "fleet.toml", DOCS / "configuration.md")


def _all_named(section: msgspec.Struct, *files: Path) -> None:
    for path in files:
        words = set(re.findall(r"\w+", path.read_text()))
        assert set(section.__struct_fields__) <= words, path.name


def _tables(folder: Path) -> Iterator[str]:
    database = Database(f"sqlite:///{folder / 'fleet.db'}")
    database.migrate()
    engine = create_engine(f"sqlite:///{folder / 'fleet.db'}")
    with engine.connect() as connection:
        query = (
            "select sql from sqlite_master where sql is not null and name not like 'alembic%' order by type desc, name"
        )
        for (statement,) in connection.execute(text(query)):
            yield f"{statement};\n"
    engine.dispose()


def test_the_server_s_first_schema_is_what_its_migration_makes(tmp_path: Path) -> None:
    assert "".join(_tables(tmp_path)) == (GOLDEN / "schema.sql").read_text()


def _release_metadata(folder: Path) -> dict[str, bytes]:
    """A repository with fixed keys and one release, at a fixed time."""
    (folder / "keys").mkdir(parents=True)
    for seed, role in enumerate(("root", "targets"), 20):
        pem = documents.fixed_signer(seed)._private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "keys" / f"{role}.pem").write_bytes(pem)
    server_keys = {
        role: documents.fixed_signer(seed).public_key for seed, role in enumerate(("snapshot", "timestamp", "desired"))
    }
    repository = Repository(folder)
    repository.init(server_keys, documents.NOW)
    repository.add(GOLDEN / "pump-1.4.0.edgekit", documents.NOW)
    return repository.metadata_files()


@pytest.mark.parametrize("name", ["1.root.json", "2.targets.json", "1.pump.json"])
def test_release_metadata_is_still_signed_so(tmp_path: Path, name: str) -> None:
    assert _release_metadata(tmp_path)[name] == (GOLDEN / name).read_bytes()
