"""The server's tables (SQLAlchemy Core). Migrations under `fleet/store/migrations` create them; this module names them.

Times are integers, milliseconds since 1970 UTC (`_ms`): both databases compare and index them alike. JSON documents are
text, written and read by msgspec. The database is the truth; the broker only carries copies of it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_ID = String(63)
_VERSION = String(64)
_SHA256 = String(64)
# SQLite gives rowids (and autoincrement) only to INTEGER keys.
_SERIAL = BigInteger().with_variant(Integer, "sqlite")

device = Table(
    "device",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("retired_ms", BigInteger),
    Column("tags", Text, nullable=False, default="{}"),
    # what the device last said of itself; NULL until it did
    Column("reported", Text),
    Column("reported_ms", BigInteger),
    Column("applied_seq", BigInteger, nullable=False, default=0),
    Column("online", Boolean, nullable=False, default=False),
    Column("boot_id", String(64)),
    Column("presence_ms", BigInteger),
    Column("last_seen_ms", BigInteger),
)

device_model = Table(
    "device_model",
    metadata,
    Column("device", _ID, ForeignKey("device.id"), nullable=False),
    Column("model", _ID, nullable=False),
    Column("version", _VERSION),
    Column("sha256", _SHA256),
    Column("state", String(32), nullable=False),
    PrimaryKeyConstraint("device", "model"),
    Index(None, "model", "version"),
)

# One row per device owns `seq`. Whoever changes `models` raises `seq` in the same transaction; the dispatcher signs and
# publishes the current row while it holds the row, so that an older document never overtakes a newer one.
device_desired = Table(
    "device_desired",
    metadata,
    Column("device", _ID, ForeignKey("device.id"), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("models", Text, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("dispatched_seq", BigInteger, nullable=False, default=0),
    Column("document", LargeBinary),
    Column("expires_ms", BigInteger),
    # TUF root version in `document.meta`; a device walks no further than that, so a new root means a new document
    Column("root_version", BigInteger, nullable=False, default=0),
    Index(None, "expires_ms"),
)

# device_desired.models once more, as rows, for questions over the whole fleet (which artifact is still needed?).
desired_model = Table(
    "desired_model",
    metadata,
    Column("device", _ID, ForeignKey("device.id"), nullable=False),
    Column("model", _ID, nullable=False),
    Column("version", _VERSION, nullable=False),
    Column("sha256", _SHA256, nullable=False),
    PrimaryKeyConstraint("device", "model"),
    Index(None, "sha256"),
)

# Device ids whose desired document must go out. Written in the transaction that changed device_desired.
outbox = Table(
    "outbox",
    metadata,
    Column("device", _ID, primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
)

artifact = Table(
    "artifact",
    metadata,
    Column("sha256", _SHA256, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
)

# Artifacts that the broker may hold chunks of: written before the first chunk is published, deleted after the last one
# is withdrawn, so that nothing is forgotten there by a server that was killed.
retained_artifact = Table(
    "retained_artifact",
    metadata,
    Column("sha256", _SHA256, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

release = Table(
    "release",
    metadata,
    Column("model", _ID, nullable=False),
    Column("version", _VERSION, nullable=False),
    Column("sha256", _SHA256, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("min_counter", BigInteger, nullable=False),
    Column("custom", Text, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("added_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "version"),
    Index(None, "sha256"),
)

# TUF metadata by file name (`3.snapshot.json`, `timestamp.json`); old versions stay, devices may still walk them.
tuf_metadata = Table(
    "tuf_metadata",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("role", _ID, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
    Index(None, "role", "version"),
)

rollout = Table(
    "rollout",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("model", _ID, nullable=False),
    Column("version", _VERSION, nullable=False),
    Column("sha256", _SHA256, nullable=False),
    Column("plan", Text, nullable=False),
    Column("state", String(32), nullable=False),
    Column("reason", Text),
    Column("stage", Integer, nullable=False),
    # raised with every decision; a controller that read an older one decides nothing
    Column("revision", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Index(None, "state"),
)

rollout_stage = Table(
    "rollout_stage",
    metadata,
    Column("rollout", _ID, ForeignKey("rollout.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(32), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("verdict", Text),
    PrimaryKeyConstraint("rollout", "number"),
)

rollout_device = Table(
    "rollout_device",
    metadata,
    Column("rollout", _ID, ForeignKey("rollout.id"), nullable=False),
    Column("device", _ID, ForeignKey("device.id"), nullable=False),
    Column("stage", Integer, nullable=False),
    # an update state of edgekit.messages, or pending, offered, timed_out, lost, restored
    Column("state", String(32), nullable=False),
    Column("reason", Text),
    # what the device's desired document named before this rollout (JSON of a DesiredModel), for going back; NULL: none
    Column("previous", Text),
    Column("offered_ms", BigInteger),
    Column("activated_ms", BigInteger),
    Column("changed_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("rollout", "device"),
    Index(None, "device"),
)

# What a rollout decided, when, and by which numbers: `rollout history` reads this.
decision = Table(
    "decision",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("rollout", _ID, ForeignKey("rollout.id"), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("action", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    UniqueConstraint("rollout", "revision", "ordinal"),
)

# Every report ever counted, by its eternal identity: a second arrival changes nothing.
inbox = Table(
    "inbox",
    metadata,
    Column("device", _ID, nullable=False),
    Column("epoch", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("device", "epoch", "seq"),
    Index(None, "received_ms"),
)

# Reports up to `high_water` that are no longer in `inbox` (it is trimmed) count as seen; an epoch is never forgotten.
epoch = Table(
    "epoch",
    metadata,
    Column("device", _ID, nullable=False),
    Column("epoch", String(64), nullable=False),
    Column("high_water", BigInteger, nullable=False),
    PrimaryKeyConstraint("device", "epoch"),
)

event = Table(
    "event",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("device", _ID, nullable=False),
    Column("time", String(40), nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("model", _ID, nullable=False),
    Column("version", _VERSION, nullable=False),
    Column("sha256", _SHA256, nullable=False),
    Column("rollout", _ID, nullable=False),
    Column("state", String(32), nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    Index(None, "device", "id"),
    Index(None, "rollout", "id"),
)

report = Table(
    "report",
    metadata,
    Column("device", _ID, nullable=False),
    Column("epoch", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    PrimaryKeyConstraint("device", "epoch", "seq"),
    Index(None, "received_ms"),
)

# Sums of health reports per model version and hour; added to in the transaction that stores the report.
health_hour = Table(
    "health_hour",
    metadata,
    Column("model", _ID, nullable=False),
    Column("version", _VERSION, nullable=False),
    Column("hour_ms", BigInteger, nullable=False),
    Column("reports", BigInteger, nullable=False),
    Column("ok", BigInteger, nullable=False),
    Column("client_error", BigInteger, nullable=False),
    Column("server_error", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("latency_n", BigInteger, nullable=False),
    Column("latency_sum_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "version", "hour_ms"),
)

# Messages that could not be read: counted and shown, never lost in silence.
set_aside = Table(
    "set_aside",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("device", String(128), nullable=False),
    Column("leaf", String(32), nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("head", LargeBinary, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)

audit = Table(
    "audit",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(256), nullable=False),
    Column("detail", Text, nullable=False),
)
