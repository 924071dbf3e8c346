"""Ed25519 key pairs: made, stored as PEM (encrypted when a passphrase is given), loaded as TUF signers.

Private keys are written readable by their owner only and never appear in a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from edgekit.errors import TrustError
from edgekit.files import read_bounded, write_secret

SERVER_KEYS_SCHEMA = "edgekit.server-keys/1"
SERVER_ROLES = ("snapshot", "timestamp", "desired")
_MAX_KEY_BYTES = 16_384


def create(path: Path, passphrase: bytes | None) -> CryptoSigner:
    """Make a key pair and store its private half at `path`. Raises TrustError when something is there already."""
    if path.exists():
        raise TrustError(f"{path} exists: a key is never overwritten; move it away first", reason="key_exists")
    private = Ed25519PrivateKey.generate()
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    write_secret(path, pem)
    return CryptoSigner(private)


def load(path: Path, passphrase: bytes | None) -> CryptoSigner:
    """The signer stored at `path`. Raises TrustError: not there, wrong passphrase, not an Ed25519 key."""
    try:
        pem = read_bounded(path, _MAX_KEY_BYTES)
    except (OSError, ValueError) as error:
        raise TrustError(f"key {path} cannot be read ({error}): check --keys", reason="key_unreadable") from error
    encrypted = b"ENCRYPTED" in pem
    try:
        private = serialization.load_pem_private_key(pem, passphrase if encrypted else None)
    except (TypeError, ValueError) as error:
        raise TrustError(
            f"key {path} cannot be opened: give its passphrase in EDGEKIT_KEY_PASSPHRASE or --passphrase-file",
            reason="key_locked",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise TrustError(f"key {path} is not an Ed25519 key", reason="key_kind")
    return CryptoSigner(private)


def public_document(key: Key) -> dict[str, Any]:
    """The public half as TUF writes it, with its id."""
    return {"keyid": key.keyid, **key.to_dict()}


def public_key(document: dict[str, Any]) -> Key:
    """The key that `public_document` wrote. Raises TrustError."""
    try:
        fields = dict(document)
        key = Key.from_dict(fields.pop("keyid"), fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TrustError("a public key is malformed", reason="key_malformed") from error
    if not isinstance(key, SSlibKey) or key.keytype != "ed25519":
        raise TrustError("a public key is not an Ed25519 key", reason="key_kind")
    return key


def encode_server_keys(keys: Mapping[str, Key]) -> bytes:
    """The file that `fleet keys init` prints and `release init --server-keys` reads: public halves by role."""
    document = {"schema": SERVER_KEYS_SCHEMA} | {role: public_document(keys[role]) for role in SERVER_ROLES}
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"


def decode_server_keys(content: bytes) -> dict[str, Key]:
    """Public server keys by role. Raises TrustError."""
    try:
        document = msgspec.json.decode(content, type=dict[str, Any])
        if document["schema"] != SERVER_KEYS_SCHEMA:
            raise TrustError(f"server keys have schema {document['schema']!r}", reason="key_malformed")
        return {role: public_key(document[role]) for role in SERVER_ROLES}
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError) as error:
        raise TrustError(
            "this is not a server key file: make one with edgekit fleet keys init", reason="key_malformed"
        ) from error
