"""What a message on a request or sensor topic asks, and how its answer is spelled. Pure: bytes in, bytes out.

The content is what `POST /predict` takes: an object by feature name, or a list of rows. Where MQTT itself carries no
correlation (3.1.1), the rows may come in an envelope, `{"id": 7, "rows": …, "model": "pump"}`; the answer repeats the
`id`. An envelope cannot be mistaken for a row, because no feature's value is an object or a list.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from edge_agent.serve.message import Response
from edgekit.errors import MessageError
from edgekit.names import is_id
from edgekit.topics import PREFIX

MAX_ID_CHARS = 256
MAX_TOPIC_BYTES = 1_024

_ENCODER = msgspec.json.Encoder()


class _Look(msgspec.Struct):
    """Only far enough to tell an envelope from a row."""

    rows: msgspec.Raw = msgspec.Raw()


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    rows: msgspec.Raw
    id: str | int | None = None
    model: str | None = None


_LOOK = msgspec.json.Decoder(_Look)
_ENVELOPE = msgspec.json.Decoder(_Envelope)


@dataclass(frozen=True, slots=True)
class Ask:
    """`body` for `POST /predict`; `id` to repeat, as JSON (None: none was sent); `model` asked for by name."""

    body: bytes
    id: bytes | None = None
    model: str | None = None


def read(payload: bytes) -> Ask:
    """What the message asks. Raises MessageError for an envelope that is wrong; anything else passes as a body, and
    whoever predicts says what is wrong with it.
    """
    if not _is_envelope(payload):
        return Ask(payload)
    try:
        found = _ENVELOPE.decode(payload)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"the envelope is wrong ({error}): send rows, and with them id and model only") from error
    if isinstance(found.id, str) and len(found.id) > MAX_ID_CHARS:
        raise MessageError(f"the id is over {MAX_ID_CHARS} characters: send a shorter one")
    if found.model is not None and not is_id(found.model):
        raise MessageError(f"no model can be called {found.model[:63]!r}: leave it out, or name one that is served")
    return Ask(bytes(found.rows), None if found.id is None else _ENCODER.encode(found.id), found.model)


def spell(response: Response, identity: bytes | None) -> bytes:
    """The answer as it is published: `/predict`'s JSON object with the `id` before it, and of a refusal its status."""
    head = b"" if identity is None else b'"id":%b,' % identity
    if response.status != 200:
        head += b'"status":%d,' % response.status
    return b"{%b%b" % (head, response.body[1:])


def topic_fault(topic: str, inputs: Collection[str]) -> str | None:
    """Why an answer must not go to `topic`, in words; None when it may. A stranger chooses it: he may not steer what
    the fleet's server reads, nor have an answer come back as a question.
    """
    if not topic or len(topic.encode(errors="replace")) > MAX_TOPIC_BYTES:
        return f"it must have 1 to {MAX_TOPIC_BYTES} bytes"
    if any(char in topic for char in "+#\0"):
        return "it must not hold +, # or NUL"
    if topic.startswith("$") or topic.partition("/")[0] == PREFIX.partition("/")[0]:
        return "it belongs to the broker or to edgekit"
    return "questions are asked there" if topic in inputs else None


def _is_envelope(payload: bytes) -> bool:
    try:
        return bytes(_LOOK.decode(payload).rows)[:1] in (b"{", b"[")
    except (ValueError, RecursionError):
        return False
