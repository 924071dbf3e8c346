"""One example of every document of the contract, with fixed content: what `tests/golden` was written from."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from edgekit import golden as goldens
from edgekit import manifest as manifests
from edgekit import messages as m
from edgekit import packing
from edgekit.chunks import index_of
from edgekit.join import BrokerAccess, Join, TrustAnchor, to_toml
from edgekit.trust import desired
from edgekit.trust.keys import encode_server_keys

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SHA256 = "ab" * 32


def fixed_signer(seed: int = 1) -> CryptoSigner:
    """A key that is the same in every run; good for nothing but tests."""
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def manifest() -> manifests.Manifest:
    """A manifest with every optional field used. `files` is filled in by packing."""
    return manifests.Manifest(
        schema=manifests.SCHEMA,
        name="pump",
        version="1.4.0",
        created="2026-11-22T12:00:00.000Z",
        task="binary",
        inputs=[
            manifests.Feature(name="pressure", dtype="float32", range=(0.0, 9.5), unit="bar"),
            manifests.Feature(
                name="valve", dtype="string", nullable=True, missing="empty", categories=["open", "shut"]
            ),
        ],
        tensors=[
            manifests.Tensor(name="numbers", dtype="float32", features=["pressure"]),
            manifests.Tensor(name="valve", dtype="string", features=["valve"]),
        ],
        outputs=[
            manifests.Output(name="label", role="label", dtype="int64", classes=[0, 1]),
            manifests.Output(name="probabilities", role="probabilities", dtype="float32", width=2, classes=[0, 1]),
        ],
        onnx=manifests.Onnx(ir_version=10, opsets={"": 18, "ai.onnx.ml": 3}, producer="edgekit"),
        requires=manifests.Requires(
            onnxruntime_min="1.20", arch=["aarch64", "x86_64"], free_memory_bytes=64 << 20, free_disk_bytes=8 << 20
        ),
        measured=manifests.Measured(
            created="2026-11-22T12:00:00.000Z",
            host="x86_64, 2 cores",
            load_peak_bytes=12_000_000,
            p50_us=8.5,
            p99_us=20.25,
            onnxruntime="1.32.0",
            zstd="1.5.7",
        ),
        parity=manifests.Parity(
            rows=1000, label_changes=0, max_abs_difference=1e-07, max_relative_difference=2e-07, max_label_change=0.001
        ),
        plan="columns-float32",
        files=[],
        quality=[manifests.Quality(metric="accuracy", rows=1000, source=0.99, converted=0.99)],
        source={"sklearn": "1.9.1"},
    )


def golden_rows() -> goldens.Golden:
    """Two golden rows."""
    return goldens.Golden(
        schema=goldens.GOLDEN_SCHEMA,
        features=["pressure", "valve"],
        rows=[[1.5, "open"], [9.0, None]],
        expected={"label": [0, 1], "probabilities": [[0.75, 0.25], [0.125, 0.875]]},
        absolute=1e-5,
        relative=1e-4,
    )


def targets_manifest() -> manifests.Manifest:
    """The manifest of a model that answers two targets."""
    classes: list[list[manifests.ClassValue]] = [["off", "on"], ["low", "mid", "high"]]
    return msgspec.structs.replace(
        manifest(),
        task="multioutput",
        outputs=[
            manifests.Output(name="label", role="label", dtype="string", width=2, target_classes=classes),
            manifests.Output(
                name="probabilities", role="probabilities", dtype="float32", width=5, target_classes=classes
            ),
        ],
        quality=[],
    )


def targets_golden_rows() -> goldens.Golden:
    """Golden rows of that model."""
    expected: dict[str, list[goldens.Value | list[goldens.Value]]] = {
        "label": [["on", "low"], ["off", "high"]],
        "probabilities": [[0.25, 0.75, 0.5, 0.25, 0.25], [0.625, 0.375, 0.125, 0.125, 0.75]],
    }
    return msgspec.structs.replace(golden_rows(), expected=expected)


def reference() -> goldens.Reference:
    """Bins of both kinds."""
    return goldens.Reference(
        schema=goldens.REFERENCE_SCHEMA,
        rows=100,
        features=[
            goldens.NumericBins(name="pressure", edges=[1.0, 2.0], counts=[30, 40, 30], missing=0, low=0.0, high=9.5),
            goldens.CategoricalBins(name="valve", values=["open", "shut"], counts=[60, 30], other=5, missing=5),
        ],
        predicted={"0": 70, "1": 30},
    )


def bundle() -> bytes:
    """A bundle whose model is not ONNX: the container does not care."""
    contents: dict[manifests.FileRole, bytes] = {
        "model": b"model bytes " * 40,
        "golden": goldens.encode(golden_rows()),
        "reference": goldens.encode(reference()),
    }
    return packing.build(manifest(), contents)


def desired_document() -> m.Desired:
    """A desired document for one model."""
    model = m.DesiredModel(
        name="pump", version="1.4.0", sha256=SHA256, bytes=70_000, counter=4, rollout="pump-1-4-0-a1b2", soak_s=60.0
    )
    return m.Desired(
        tenant="default",
        device="press-7",
        seq=12,
        issued="2026-11-22T12:00:00.000Z",
        expires="2026-11-29T12:00:00.000Z",
        meta=m.MetadataVersions(root=1, timestamp=3, snapshot=3),
        models=[model],
    )


def _health() -> m.Health:
    model = m.ModelHealth(
        name="pump",
        version="1.4.0",
        sha256=SHA256,
        requests=m.Requests(ok=10, client_error=1, server_error=0, rows=12),
        latency=m.Latency(n=10, sum_us=900, max_us=200, buckets=[(40, 9), (50, 1)]),
    )
    data = m.HealthData(
        device="press-7",
        epoch="e1",
        seq=41,
        boot_id="b1",
        interval_s=60.0,
        models=[model],
        system=m.SystemHealth(
            rss_bytes=60_000_000,
            memory_available_bytes=900_000_000,
            disk_free_bytes=5_000_000_000,
            load1=0.25,
            uptime_s=3600.0,
        ),
        outbox=m.OutboxHealth(queued=2, merged=0),
    )
    return m.Health(source="/devices/press-7", id="e1-41", time="2026-11-22T12:00:00.000Z", data=data)


def wire_documents() -> dict[str, m.Document]:
    """Every message, by the name of its golden file."""
    return {
        "desired-payload": desired_document(),
        "reported": m.Reported(
            device="press-7",
            boot_id="b1",
            agent_version="0.1.0",
            applied_seq=12,
            time="2026-11-22T12:00:00.000Z",
            models=[m.ReportedModel(name="pump", version="1.4.0", sha256=SHA256, state="serving")],
            hardware=m.Hardware(arch="aarch64", cpu_count=4, memory_total_bytes=4_000_000_000),
            disk_free_bytes=5_000_000_000,
            memory_available_bytes=900_000_000,
        ),
        "presence": m.Presence(online=True, boot_id="b1"),
        "event": m.Event(
            device="press-7",
            epoch="e1",
            seq=40,
            time="2026-11-22T12:00:00.000Z",
            model="pump",
            version="1.4.0",
            sha256=SHA256,
            rollout="pump-1-4-0-a1b2",
            state="rejected",
            reason="golden_mismatch",
            detail="row 3",
        ),
        "health": _health(),
        "ack": m.Ack(epoch="e1", seqs=[40, 41]),
        "want": m.Want(sha256=SHA256),
        "server-presence": m.ServerPresence(online=True, session="s1"),
        "index": index_of(bytes(range(256)) * 300),
        "index-gone": m.ChunkIndex(sha256=SHA256, gone="no release names it"),
    }


def golden_files() -> dict[str, bytes]:
    """Content of every file in `tests/golden` that is made by the contract itself."""
    files = {f"{name}.json": m.encode(document) + b"\n" for name, document in wire_documents().items()}
    server_keys = {
        role: fixed_signer(seed).public_key for seed, role in enumerate(("snapshot", "timestamp", "desired"))
    }
    join = Join(
        tenant="default",
        device="press-7",
        broker=BrokerAccess(url="mqtt://127.0.0.1:1883", username="device", password="secret"),
        trust=TrustAnchor(root='{"signed": {}}'),
    )
    return files | {
        "manifest.json": manifests.encode(manifest()),
        "golden-rows.json": goldens.encode(golden_rows()) + b"\n",
        "targets-manifest.json": manifests.encode(targets_manifest()),
        "targets-golden-rows.json": goldens.encode(targets_golden_rows()) + b"\n",
        "reference.json": goldens.encode(reference()) + b"\n",
        "pump-1.4.0.edgekit": bundle(),
        "desired.json": desired.sign(desired_document(), fixed_signer()) + b"\n",
        "server-keys.json": encode_server_keys(server_keys),
        "join.toml": to_toml(join).encode(),
    }
