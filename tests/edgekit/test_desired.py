"""The desired document: every way in which a hostile server or broker may bend it is refused by its reason."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from securesystemslib.signer import Key

from edgekit.errors import TrustError
from edgekit.trust import desired
from tests.support import documents

SIGNER = documents.fixed_signer()
KEYS: Mapping[str, Key] = {SIGNER.public_key.keyid: SIGNER.public_key}
HONEST = desired.sign(documents.desired_document(), SIGNER)


def _verify(
    content: bytes = HONEST,
    *,
    keys: Mapping[str, Key] = KEYS,
    device: str = "press-7",
    tenant: str = "default",
    above_seq: int = 11,
    now: datetime = documents.NOW,
) -> object:
    return desired.verify(content, keys, tenant=tenant, device=device, above_seq=above_seq, now=now)


def _with_payload(**changes: object) -> bytes:
    envelope = msgspec.json.decode(HONEST)
    payload = msgspec.json.decode(base64.b64decode(envelope["payload"])) | changes
    envelope["payload"] = base64.b64encode(msgspec.json.encode(payload)).decode()
    return msgspec.json.encode(envelope)


def test_the_honest_document_is_accepted() -> None:
    assert _verify() == documents.desired_document()


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "another key signed": (
        {"content": desired.sign(documents.desired_document(), documents.fixed_signer(2))},
        "desired_unsigned",
    ),
    "no key is authorised": ({"keys": {}}, "desired_unsigned"),
    "payload altered": ({"content": _with_payload(seq=99)}, "desired_unsigned"),
    "other device": ({"device": "press-8"}, "desired_wrong_device"),
    "other tenant": ({"tenant": "rival"}, "desired_wrong_device"),
    "same seq again": ({"above_seq": 12}, "desired_replayed"),
    "older seq": ({"above_seq": 13}, "desired_replayed"),
    "expired": ({"now": documents.NOW + timedelta(days=8)}, "desired_expired"),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_bent_document_is_refused(case: str) -> None:
    arguments, reason = CASES[case]
    with pytest.raises(TrustError) as caught:
        _verify(**arguments)
    assert caught.value.reason == reason
