"""Messages: limits, malformed content, topics, chunks."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit import messages
from edgekit.chunks import chunk_digests, index_of
from edgekit.errors import MessageError
from edgekit.topics import DEVICE_LEAVES, Topics
from tests.support import documents

KINDS = sorted({type(document) for document in documents.wire_documents().values()}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_no_content_gets_past_the_error_type(kind: type[messages.Event], content: bytes) -> None:
    with pytest.raises(MessageError):
        messages.decode(content, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_oversized_message_is_refused_unread(kind: type[messages.Event]) -> None:
    with pytest.raises(MessageError, match="over the limit"):
        messages.decode(b" " * (messages.MAX_MESSAGE_BYTES + 1), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_deep_nesting_is_refused(kind: type[messages.Event]) -> None:
    with pytest.raises(MessageError):
        messages.decode(b'{"x":' * 10_000, kind)


def test_another_schema_is_refused() -> None:
    content = messages.encode(documents.wire_documents()["ack"]).replace(b"edgekit.ack/1", b"edgekit.ack/9")
    with pytest.raises(MessageError, match="has schema") as caught:
        messages.decode(content, messages.Ack)
    assert caught.value.reason == "schema_unknown"


@pytest.mark.parametrize("size", [0, 1, messages.CHUNK_BYTES, messages.CHUNK_BYTES + 1, 3 * messages.CHUNK_BYTES])
def test_an_index_has_the_digest_of_every_chunk(size: int) -> None:
    content = bytes(size)
    index = index_of(content)
    pieces = [content[start : start + messages.CHUNK_BYTES] for start in range(0, size, messages.CHUNK_BYTES)]
    assert chunk_digests(index) == [hashlib.sha256(piece).digest() for piece in pieces]


def test_an_index_that_does_not_fit_its_size_is_refused() -> None:
    index = messages.ChunkIndex(sha256=documents.SHA256, bytes=10 * messages.CHUNK_BYTES, digests="AAAA")
    with pytest.raises(MessageError, match="does not fit"):
        chunk_digests(index)


def test_the_largest_bundle_s_index_fits_a_message() -> None:
    from edgekit.bundle import MAX_BUNDLE_BYTES

    digests = 4 * -(-32 * (MAX_BUNDLE_BYTES // messages.CHUNK_BYTES) // 3)
    assert digests + 500 < messages.MAX_MESSAGE_BYTES


@pytest.mark.parametrize("leaf", DEVICE_LEAVES)
def test_a_device_topic_reads_back(leaf: str) -> None:
    topics = Topics("default")
    assert topics.parse_device(topics.device("press-7", leaf)) == ("press-7", leaf)


@pytest.mark.parametrize("topic", ["edgekit/1/other/d/x/event", "edgekit/1/default/d/x/secrets", "edgekit/1/default/d"])
def test_foreign_topics_are_not_device_topics(topic: str) -> None:
    assert Topics("default").parse_device(topic) is None
