"""Compressed bodies: unpacked for every prediction, never to more than a plain body may be."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.serve.encodings import BodyTooLarge, EncodingRefused, decoded
from edge_agent.serve.message import Limits, Request
from edgekit.errors import MessageError
from tests.support.models import make_bundle
from tests.support.serving import serving

ROWS = [{"pressure": 0.1, "flow": -0.3, "heat": 3}] * 3
CONTENT = json.dumps(ROWS).encode()
PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(make_bundle()) as live, httpx.Client(base_url=live.url) as client:
        yield client


def predict(client: httpx.Client, content: bytes, encoding: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    return client.post("/predict", content=content, headers=headers)


@pytest.mark.parametrize("encoding", [*PACK, "GZIP"])
def test_a_compressed_body_is_answered_like_a_plain_one(client: httpx.Client, encoding: str) -> None:
    answered = predict(client, PACK[encoding.lower()](CONTENT), encoding)
    assert answered.json() == client.post("/predict", json=ROWS).json()


def test_an_answer_is_not_compressed(client: httpx.Client) -> None:
    answered = client.post("/predict", json=ROWS, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answered.headers


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x" * 100])
def test_another_encoding_is_refused_and_the_right_ones_told(client: httpx.Client, encoding: str) -> None:
    answered = predict(client, b"...", encoding)
    assert (answered.status_code, answered.headers["accept-encoding"]) == (415, "gzip, deflate")
    assert answered.json()["reason"] == "encoding_refused"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is cut short"),
        (b"plain", "does not unpack"),
        (gzip.compress(CONTENT, mtime=0)[:-1], "is cut short"),
        (gzip.compress(CONTENT, mtime=0)[:10], "is cut short"),
        (gzip.compress(CONTENT, mtime=0) + b"more", "goes on after its end"),
        (gzip.compress(CONTENT, mtime=0) * 2, "goes on after its end"),
        (zlib.compress(CONTENT), "does not unpack"),
        (gzip.compress(b"[" * 100_000, mtime=0), "not valid JSON"),
    ],
)
def test_what_does_not_unpack_is_told_why(client: httpx.Client, content: bytes, words: str) -> None:
    answered = predict(client, content, "gzip")
    assert answered.status_code == 400
    assert words in answered.json()["error"]


def test_a_body_that_unpacks_to_too_much_is_stopped_at_the_limit(client: httpx.Client) -> None:
    answered = predict(client, gzip.compress(bytes(64 << 20), 1), "gzip")
    assert answered.status_code == 413
    assert "unpacks to over 1048576 bytes" in answered.json()["error"]


@pytest.mark.parametrize(("size", "fits"), [(Limits.body_bytes, True), (Limits.body_bytes + 1, False)])
def test_the_limit_is_that_of_a_plain_body(size: int, fits: bool) -> None:
    request = Request("POST", "/predict", headers={b"content-encoding": b"gzip"}, body=gzip.compress(bytes(size)))
    if fits:
        assert len(decoded(request)) == size
    else:
        with pytest.raises(BodyTooLarge):
            decoded(request)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([b"gzip", b"deflate", b"br", b"identity", b""]), st.binary(max_size=200))
def test_any_bytes_unpack_or_are_refused(encoding: bytes, body: bytes) -> None:
    try:
        assert len(decoded(Request("POST", "/", headers={b"content-encoding": encoding}, body=body))) <= 200
    except (MessageError, BodyTooLarge, EncodingRefused):
        return
