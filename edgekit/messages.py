"""Every document on the wire between devices and server: schemas, limits, encoding, decoding.

All are JSON. Unknown fields are ignored; every document carries its schema. Counters in a health report are deltas of
one interval and may be added up in any order. `docs/protocol.md` explains who sends what and when.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from edgekit.errors import MessageError

CHUNK_BYTES = 65_536
MAX_MESSAGE_BYTES = 262_144  # what every supported broker is configured to carry
MAX_REPORT_BYTES = 2_048  # health; keeps a report inside one packet of the poorest link
MAX_DOCUMENT_BYTES = 65_536
HEALTH_TYPE = "dev.edgekit.health.v1"

UpdateState = Literal[
    "queued",
    "waiting",
    "downloading",
    "verifying",
    "testing",
    "activating",
    "soaking",
    "succeeded",
    "failed",
    "rejected",
    "rolled_back",
    "canceled",
    "superseded",
    "already_installed",
]
FINAL_STATES = frozenset(
    {"succeeded", "failed", "rejected", "rolled_back", "canceled", "superseded", "already_installed"}
)
BAD_STATES = frozenset({"failed", "rejected", "rolled_back"})


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every document: immutable, fields by name, defaults written out so that the schema is always there."""


# ---- server → device ------------------------------------------------------------------------------------------


class MetadataVersions(Document, frozen=True, kw_only=True):
    """Versions of the TUF top-level roles at the server when a desired document was signed."""

    root: int
    timestamp: int
    snapshot: int


class DesiredModel(Document, frozen=True, kw_only=True):
    """One model that a device shall run. `soak_s`: how long it must serve well before the update counts as done."""

    name: str
    version: str
    sha256: str
    bytes: int
    counter: int
    rollout: str
    soak_s: float = 0.0


class Desired(Document, frozen=True, kw_only=True):
    """What a device shall run: the payload of the signed `desired` document. Level-triggered; `seq` strictly rises."""

    schema: str = "edgekit.desired/1"
    tenant: str
    device: str
    seq: int
    issued: str
    expires: str
    meta: MetadataVersions
    models: list[DesiredModel]


class Signature(Document, frozen=True, kw_only=True):
    """`sig`: base64 of an Ed25519 signature; `keyid`: hexadecimal id of the key, as in TUF."""

    keyid: str
    sig: str


class Envelope(Document, frozen=True, kw_only=True):
    """DSSE v1 envelope (https://github.com/secure-systems-lab/dsse): what is signed is PAE(payloadType, payload)."""

    payloadType: str  # noqa: N815 - the names of the DSSE specification
    payload: str
    signatures: list[Signature]


class Ack(Document, frozen=True, kw_only=True):
    """The server committed these reports of `epoch`, or had them already, or set them aside as malformed."""

    schema: str = "edgekit.ack/1"
    epoch: str
    seqs: list[int]


class ServerPresence(Document, frozen=True, kw_only=True):
    """The server is there. `session` is new with every start."""

    schema: str = "edgekit.server-presence/1"
    online: bool
    session: str = ""


class ChunkIndex(Document, frozen=True, kw_only=True):
    """The chunks of an artifact: `digests` is base64 of the chunks' SHA-256 digests, 32 bytes each, in order.

    `gone` (with everything else left out) says that the artifact will not come, and why.
    """

    schema: str = "edgekit.index/1"
    sha256: str
    bytes: int = 0
    chunk_bytes: int = CHUNK_BYTES
    digests: str = ""
    gone: str | None = None


# ---- device → server ------------------------------------------------------------------------------------------


class Hardware(Document, frozen=True, kw_only=True):
    """What the device is: machine name of uname, cores, memory."""

    arch: str
    cpu_count: int
    memory_total_bytes: int


class ReportedModel(Document, frozen=True, kw_only=True):
    """One model slot. `state` is `serving`, `soaking`, `none`, or the state of an update in progress."""

    name: str
    version: str | None = None
    sha256: str | None = None
    state: str = "none"


class Reported(Document, frozen=True, kw_only=True):
    """The device's own account, retained: what runs, which desired document was applied, what is free."""

    schema: str = "edgekit.reported/1"
    device: str
    boot_id: str
    agent_version: str
    applied_seq: int
    time: str
    models: list[ReportedModel]
    hardware: Hardware
    disk_free_bytes: int
    memory_available_bytes: int


class Presence(Document, frozen=True, kw_only=True):
    """Retained; also the last will with `online` false. `clean` tells a shutdown from a lost link."""

    schema: str = "edgekit.presence/1"
    online: bool
    boot_id: str
    clean: bool = False


class Event(Document, frozen=True, kw_only=True):
    """One transition of an update. (`epoch`, `seq`) identify the report for ever."""

    schema: str = "edgekit.event/1"
    device: str
    epoch: str
    seq: int
    time: str
    model: str
    version: str
    sha256: str
    rollout: str
    state: UpdateState
    reason: str | None = None
    detail: str | None = None


class Requests(Document, frozen=True, kw_only=True):
    """Predict requests of the interval by outcome, and rows predicted."""

    ok: int = 0
    client_error: int = 0
    server_error: int = 0
    rows: int = 0


class Latency(Document, frozen=True, kw_only=True):
    """Mergeable latency counts in microseconds: sparse [bucket, count] pairs of the log-linear histogram.

    Bucket of v: v itself below 16; else with e = v.bit_length(): (e << 3) + ((v >> (e - 4)) & 7), eight buckets an
    octave. See `edge_agent.report.health`.
    """

    n: int = 0
    sum_us: int = 0
    max_us: int = 0
    buckets: list[tuple[int, int]] = []


class ModelHealth(Document, frozen=True, kw_only=True):
    """Counts of one model version over the interval."""

    name: str
    version: str
    sha256: str
    requests: Requests
    latency: Latency


class SystemHealth(Document, frozen=True, kw_only=True):
    """Gauges at the time of the report."""

    rss_bytes: int
    memory_available_bytes: int
    disk_free_bytes: int
    load1: float
    uptime_s: float


class OutboxHealth(Document, frozen=True, kw_only=True):
    """The device's report queue: rows waiting, rows merged away because it was full."""

    queued: int
    merged: int


class HealthData(Document, frozen=True, kw_only=True):
    """The payload of a health report."""

    schema: str = "edgekit.health/1"
    device: str
    epoch: str
    seq: int
    boot_id: str
    interval_s: float
    models: list[ModelHealth]
    system: SystemHealth
    outbox: OutboxHealth


class Health(Document, frozen=True, kw_only=True):
    """CloudEvents 1.0, structured mode (binary mode would need MQTT 5)."""

    specversion: str = "1.0"
    type: str = HEALTH_TYPE
    source: str
    id: str
    time: str
    datacontenttype: str = "application/json"
    data: HealthData


class Want(Document, frozen=True, kw_only=True):
    """The device was told to run an artifact whose index has not come."""

    schema: str = "edgekit.want/1"
    sha256: str


# ---- encoding -------------------------------------------------------------------------------------------------

Kind = TypeVar("Kind", bound=Document)
_ENCODER = msgspec.json.Encoder(order="deterministic")
_LIMITS: dict[type, int] = {
    ChunkIndex: MAX_MESSAGE_BYTES,
    Envelope: MAX_DOCUMENT_BYTES,
    Health: MAX_MESSAGE_BYTES,  # what is *sent* is held to MAX_REPORT_BYTES by the agent
}
_DECODERS: dict[type, msgspec.json.Decoder[Document]] = {}


def encode(document: Document) -> bytes:
    """JSON bytes; equal documents give equal bytes."""
    return _ENCODER.encode(document)


def decode(content: bytes, kind: type[Kind]) -> Kind:
    """Parse and check one document of that kind. Raises MessageError, which never quotes the content."""
    limit = _LIMITS.get(kind, MAX_DOCUMENT_BYTES)
    if len(content) > limit:
        raise MessageError(f"{kind.__name__} of {len(content)} bytes is over the limit of {limit}", reason="too_large")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        document = decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"{kind.__name__} is malformed: {error}") from error
    if not isinstance(document, kind):
        raise MessageError(f"{kind.__name__} is malformed")
    schema = getattr(document, "schema", None)
    if schema is not None and schema != _schema_of(kind):
        raise MessageError(f"{kind.__name__} has schema {schema[:60]!r}", reason="schema_unknown")
    return document


def _schema_of(kind: type[Document]) -> object:
    return next(field.default for field in msgspec.structs.fields(kind) if field.name == "schema")
