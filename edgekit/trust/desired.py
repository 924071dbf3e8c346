"""Signing and checking the desired document of one device (DSSE v1, Ed25519).

Checking is pure: bytes, keys, who we are, what we saw before and the time go in; the document or a TrustError with a
stable reason comes out.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Key, Signature, Signer

from edgekit import messages
from edgekit.errors import MessageError, TrustError
from edgekit.messages import Desired, Envelope
from edgekit.times import parse_rfc3339

PAYLOAD_TYPE = "application/vnd.edgekit.desired+json"


def sign(document: Desired, signer: Signer) -> bytes:
    """The signed envelope, ready for the `desired` topic."""
    payload = messages.encode(document)
    signature = signer.sign(_pae(payload))
    raw = base64.b64encode(bytes.fromhex(signature.signature)).decode()
    return messages.encode(
        Envelope(
            payloadType=PAYLOAD_TYPE,
            payload=base64.b64encode(payload).decode(),
            signatures=[messages.Signature(keyid=signature.keyid, sig=raw)],
        )
    )


def peek(content: bytes) -> Desired:
    """The document inside, *unverified*: good for deciding whether to verify, never for acting. Raises MessageError."""
    envelope = messages.decode(content, Envelope)
    if envelope.payloadType != PAYLOAD_TYPE:
        raise MessageError(f"a desired document has payload type {envelope.payloadType[:60]!r}")
    return messages.decode(_payload(envelope), Desired)


def verify(
    content: bytes, keys: Mapping[str, Key], *, tenant: str, device: str, above_seq: int, now: datetime
) -> Desired:
    """The verified document.

    Raises TrustError: `desired_unsigned` (no good signature by one of `keys`), `desired_wrong_device`,
    `desired_replayed` (seq not above `above_seq`), `desired_expired`. Raises MessageError when malformed.
    """
    envelope = messages.decode(content, Envelope)
    payload = _payload(envelope)
    if envelope.payloadType != PAYLOAD_TYPE or not any(
        _good(keys.get(signature.keyid), signature, payload) for signature in envelope.signatures[:16]
    ):
        raise TrustError("the desired document is not signed by an authorised key", reason="desired_unsigned")
    document = messages.decode(payload, Desired)
    if (document.tenant, document.device) != (tenant, device):
        raise TrustError("the desired document is meant for another device", reason="desired_wrong_device")
    if document.seq <= above_seq:
        raise TrustError(
            f"the desired document has seq {document.seq}, {above_seq} was applied already",
            reason="desired_replayed",
        )
    if _moment(document.expires) <= now:
        raise TrustError(f"the desired document expired at {document.expires}", reason="desired_expired")
    return document


def _good(key: Key | None, signature: messages.Signature, payload: bytes) -> bool:
    if key is None:
        return False
    try:
        raw = base64.b64decode(signature.sig, validate=True).hex()
        key.verify_signature(Signature(signature.keyid, raw), _pae(payload))
    except (UnverifiedSignatureError, VerificationError, ValueError):
        return False
    return True


def _payload(envelope: Envelope) -> bytes:
    try:
        return base64.b64decode(envelope.payload, validate=True)
    except ValueError as error:
        raise MessageError("a desired document has an undecodable payload") from error


def _moment(text: str) -> datetime:
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise MessageError("a desired document has a malformed time") from error


def _pae(payload: bytes) -> bytes:
    # Pre-authentication encoding of the DSSE v1 protocol.
    head = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} "
    return head.encode() + payload
