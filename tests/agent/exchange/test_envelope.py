"""What a message asks, how its answer is spelled, and where an answer may go."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.exchange import envelope
from edge_agent.serve.message import answer, fault
from edgekit.errors import MessageError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    "body",
    [
        b'{"flow": 1}',
        b"[1, 2]",
        b'[{"flow": 1}]',
        b'{"id": 3, "rows": 4}',
        b"",
        b"[" * 100_000,
        b"\xff",
        b'{"rows": "x"}',
    ],
)
def test_what_is_no_envelope_passes_as_a_body(body: bytes) -> None:
    assert envelope.read(body) == envelope.Ask(body)


def test_an_envelope_gives_its_rows_its_id_and_its_model() -> None:
    ask = envelope.read(b'{"id": "a\\"7", "rows": [{"flow": 1}], "model": "pump"}')
    assert (json.loads(ask.body), json.loads(ask.id or b""), ask.model) == ([{"flow": 1}], 'a"7', "pump")
    assert envelope.read(b'{"rows": {"flow": 1}}').id is None


@pytest.mark.parametrize(
    "payload",
    [
        b'{"rows": [], "modle": "pump"}',
        b'{"rows": [], "id": {}}',
        b'{"rows": [], "model": "../admin"}',
        json.dumps({"rows": [], "id": "x" * 257}).encode(),
    ],
)
def test_an_envelope_that_is_wrong_is_refused(payload: bytes) -> None:
    with pytest.raises(MessageError):
        envelope.read(payload)


@given(JSON)
def test_whatever_comes_is_an_ask_or_a_refusal(value: object) -> None:
    try:
        ask = envelope.read(json.dumps(value).encode())
    except MessageError:
        return
    assert ask.body


@given(st.none() | st.integers(-(1 << 63), 1 << 63) | st.text(max_size=9), st.booleans())
def test_an_answer_holds_what_http_says_with_the_id_and_the_status(identity: int | str | None, refused: bool) -> None:
    response = fault(422, "no", reason="bad_rows") if refused else answer({"prediction": 1})
    spelled = json.loads(envelope.spell(response, None if identity is None else json.dumps(identity).encode()))
    wanted: dict[str, object] = {"error": "no", "reason": "bad_rows"} if refused else {"prediction": 1}
    wanted |= {"status": 422} if refused else {}
    wanted |= {} if identity is None else {"id": identity}
    assert spelled == wanted


@pytest.mark.parametrize(
    "topic",
    ["", "a/+", "a/#", "$SYS/x", "edgekit/1/default/d/pump-1/reported", "edgekit", "plant/in", "x" * 1_025, "a\0b"],
)
def test_a_topic_that_a_stranger_may_not_choose_is_told(topic: str) -> None:
    assert envelope.topic_fault(topic, {"plant/in"})


def test_any_other_topic_may_be_chosen() -> None:
    assert envelope.topic_fault("plant/answers/7", {"plant/in"}) is None
