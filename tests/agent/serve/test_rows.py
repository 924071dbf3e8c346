"""What a client may send, and what it is told otherwise."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.serve.rows import MAX_PROBLEMS, RowReader, RowsRefused, parse_json
from edgekit import bundle
from edgekit.errors import BundleError, MessageError
from tests.support.models import make_bundle, make_mixed_bundle

PUMP = RowReader(bundle.parse(make_bundle()).manifest)
METER_MANIFEST = bundle.parse(make_mixed_bundle()).manifest
METER = RowReader(METER_MANIFEST)
GOOD: dict[str, Any] = {"temperature": 20.5, "cycles": 3, "mode": "eco", "running": True, "site": "north"}
PACKED = (20.5, 3, "eco", "north", True)  # the order of the tensors: numbers, counts, texts, flags


def body(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(*names: str) -> bytes:
    return json.dumps({name: value for name, value in GOOD.items() if name not in names}).encode()


@pytest.mark.parametrize(
    "sent",
    [
        body(),
        json.dumps(dict(reversed(GOOD.items()))).encode(),
        json.dumps(list(GOOD.values())).encode(),
        b"\n  " + body(),
    ],
    ids=["by name", "by name, keys reversed", "listed in the manifest's order", "after white space"],
)
def test_a_row_is_the_same_however_it_is_sent(sent: bytes) -> None:
    batch = METER.from_json(sent)
    assert (batch.rows, batch.many) == ([PACKED], False)


@pytest.mark.parametrize("wrapped", [[GOOD, GOOD], [list(GOOD.values())] * 2])
def test_a_list_of_rows_is_answered_by_a_list(wrapped: Any) -> None:
    batch = METER.from_json(json.dumps(wrapped).encode())
    assert (batch.rows, batch.many) == ([PACKED, PACKED], True)


def test_an_integer_is_welcome_where_a_float_is_asked_for() -> None:
    assert METER.from_json(body(temperature=20)).rows[0][0] == 20.0


@pytest.mark.parametrize("sent", [body(temperature=None, site=None), without("temperature", "site")])
def test_null_and_absence_reach_the_model_as_the_manifest_says(sent: bytes) -> None:
    (row,) = METER.from_json(sent).rows
    assert math.isnan(float(row[0]))
    assert row[3] == ""


REFUSALS: list[tuple[str, bytes, list[tuple[str, str]]]] = [
    ("missing", without("cycles"), [("cycles", "missing")]),
    ("unknown", body(colour=1), [("colour", "unknown")]),
    ("null", body(cycles=None), [("cycles", "null")]),
    ("text for a number", body(temperature="20"), [("temperature", "wrong_type")]),
    ("flag for a number", body(temperature=True), [("temperature", "wrong_type")]),
    ("flag for an integer", body(cycles=False), [("cycles", "wrong_type")]),
    ("float for an integer", body(cycles=3.0), [("cycles", "wrong_type")]),
    ("integer for a flag", body(running=1), [("running", "wrong_type")]),
    ("number for a text", body(site=7), [("site", "wrong_type")]),
    ("object for a number", body(temperature={}), [("temperature", "wrong_type")]),
    ("list for a text", body(site=["a"]), [("site", "wrong_type")]),
    ("beyond float32", body(temperature=1e39), [("temperature", "out_of_range")]),
    ("beyond float64", body().replace(b"20.5", b"1e400"), [("temperature", "not_finite")]),
    ("a very long integer", body().replace(b"20.5", b"9" * 400), [("temperature", "not_finite")]),
    ("beyond int64", body(cycles=1 << 63), [("cycles", "out_of_range")]),
    ("unknown category", body(mode="turbo"), [("mode", "unknown_category")]),
    (
        "several",
        body(cycles="x", mode=1, running=None),
        [("cycles", "wrong_type"), ("mode", "wrong_type"), ("running", "null")],
    ),
    ("too short a list", b'[1, 2, "eco", true]', [("", "wrong_length")]),
    ("too long a list", json.dumps([*GOOD.values(), 1]).encode(), [("", "wrong_length")]),
    ("a scalar", b"3", []),
    ("a text", b'"eco"', []),
    ("null alone", b"null", []),
    ("no rows", b"[]", []),
]


@pytest.mark.parametrize(("sent", "expected"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_a_row_that_does_not_fit_is_refused_by_feature(sent: bytes, expected: list[tuple[str, str]]) -> None:
    with pytest.raises(RowsRefused) as refusal:
        METER.from_json(sent)
    found = [(problem.feature, problem.problem) for problem in refusal.value.problems]
    assert sorted(found) == sorted(expected)
    assert refusal.value.message


def test_a_bad_row_among_good_ones_is_told_by_its_position() -> None:
    with pytest.raises(RowsRefused) as refusal:
        METER.from_json(json.dumps([GOOD, GOOD, {**GOOD, "cycles": "x"}, 5]).encode())
    assert [(problem.row, problem.feature) for problem in refusal.value.problems] == [(2, "cycles"), (3, "")]


def test_a_refusal_lists_a_bounded_number_of_problems() -> None:
    with pytest.raises(RowsRefused) as refusal:
        METER.from_json(json.dumps([{}] * 1000).encode())
    assert len(refusal.value.problems) == MAX_PROBLEMS


def test_a_refusal_says_what_was_expected_and_what_came() -> None:
    with pytest.raises(RowsRefused) as refusal:
        METER.from_json(body(mode="x" * 1000))
    (problem,) = refusal.value.problems
    assert problem.expected == "one of boost, eco"
    assert problem.got.startswith('"xxx')
    assert len(problem.got) <= 60


@pytest.mark.parametrize(
    "sent", [b"", b"{", b"nope", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"a": 1} x', b'"\\ud800"']
)
def test_what_is_not_json_is_a_malformed_message(sent: bytes) -> None:
    with pytest.raises(MessageError, match="not valid JSON"):
        METER.from_json(sent)


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(allow_nan=False),
    st.sampled_from(["eco", "boost", "", "north"]),
    st.text(max_size=4),
    st.lists(st.integers(), max_size=2),
)
ROWS = st.one_of(
    st.fixed_dictionaries({}, optional={name: CELLS | st.just(value) for name, value in GOOD.items()}),
    st.lists(CELLS, min_size=4, max_size=6),
    st.tuples(*(CELLS | st.just(value) for value in GOOD.values())).map(list),
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(ROWS, st.lists(ROWS, max_size=3), CELLS))
def test_the_fast_way_and_the_thorough_way_agree(value: object) -> None:
    sent = json.dumps(value).replace("Infinity", "1e999").encode()
    assert _outcome(lambda: METER.from_json(sent)) == _outcome(lambda: METER.from_values(parse_json(sent)))


ALIKE: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.floats(-4e38, 4e38) | st.just(math.nan),
    "cycles": st.integers(-(1 << 63), (1 << 63) - 1),
    "mode": st.sampled_from(["eco", "boost"]),
    "running": st.booleans(),
    "site": st.sampled_from(["", "north"]),
}


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 3).flatmap(
        lambda count: st.fixed_dictionaries(
            {},
            optional={
                name: st.lists(cells | CELLS, min_size=count, max_size=count)
                | st.lists(cells, min_size=count, max_size=count)
                for name, cells in ALIKE.items()
            },
        ).map(lambda columns: (columns, count))
    )
)
def test_columns_and_rows_agree(sent: tuple[dict[str, list[Any]], int]) -> None:
    columns, count = sent
    rows = [{name: cells[row] for name, cells in columns.items()} for row in range(count)]
    by_row = _outcome(lambda: METER.from_values(rows))
    by_column = _outcome(lambda: METER.from_columns(columns, count))
    if by_row.startswith("RowsRefused"):  # which of several problems is told first differs
        assert by_column.startswith("RowsRefused")
    else:
        assert by_column == by_row


def test_problems_of_a_long_column_are_bounded() -> None:
    with pytest.raises(RowsRefused) as refusal:
        PUMP.from_columns(
            {"pressure": ["x"] * 1000, "flow": [0.0] * 1000, "heat": [0.0] * 1000, "colour": [1] * 1000}, 1000
        )
    problems = refusal.value.problems
    assert len(problems) == MAX_PROBLEMS
    assert [(problem.feature, problem.row) for problem in problems[:2]] == [("colour", None), ("pressure", 0)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*(CELLS | st.just(value) for value in GOOD.values())), min_size=1, max_size=3))
def test_lists_of_python_values_are_read_alike_in_both_ways(rows: list[tuple[Any, ...]]) -> None:
    assert _outcome(lambda: METER.from_lists(rows)) == _outcome(lambda: METER.from_values(rows))


@pytest.mark.parametrize("count", [-(1 << 63), (1 << 63) - 1])
def test_the_smallest_and_the_largest_integer_are_taken(count: int) -> None:
    (fast,), (thorough,) = METER.from_json(body(cycles=count)).rows, METER.from_values({**GOOD, "cycles": count}).rows
    assert fast == thorough
    assert count in fast


def _outcome(read: Any) -> str:
    try:
        return repr(read())  # NaN is not equal to itself, but is spelled the same
    except (RowsRefused, MessageError) as error:
        return f"{type(error).__name__}: {error.message}"


def test_a_feature_that_its_tensor_cannot_carry_is_a_broken_bundle() -> None:
    manifest = bundle.parse(make_bundle()).manifest
    tensors = [msgspec.structs.replace(manifest.tensors[0], dtype="int64")]
    with pytest.raises(BundleError) as error:
        RowReader(msgspec.structs.replace(manifest, tensors=tensors))
    assert error.value.reason == "manifest_malformed"


def test_a_single_tensor_in_another_order_than_the_inputs_is_packed_in_its_own() -> None:
    manifest = bundle.parse(make_bundle()).manifest
    tensors = [msgspec.structs.replace(manifest.tensors[0], features=["heat", "pressure", "flow"])]
    reader = RowReader(msgspec.structs.replace(manifest, tensors=tensors))
    assert reader.from_json(b"[1, 2, 3]").rows == [(3.0, 1.0, 2.0)]
    assert reader.from_json(b'{"pressure": 1, "flow": 2, "heat": 3}').rows == [(3.0, 1.0, 2.0)]


def test_a_nan_from_python_is_a_missing_value() -> None:
    with pytest.raises(RowsRefused) as refusal:
        PUMP.from_values([1.0, math.nan, 2.0])
    assert refusal.value.problems[0].problem == "null"


STRICT = RowReader(
    msgspec.structs.replace(
        METER_MANIFEST,
        inputs=[
            msgspec.structs.replace(feature, refuses_empty=feature.name == "site") for feature in METER_MANIFEST.inputs
        ],
    )
)


@pytest.mark.parametrize("sent", [body(site=""), b"[" + body(site="") + b"]"], ids=["one", "several"])
def test_an_empty_text_is_refused_where_the_model_tells_it_from_a_missing_one(sent: bytes) -> None:
    with pytest.raises(RowsRefused) as refusal:
        STRICT.from_json(sent)
    assert [(found.feature, found.problem) for found in refusal.value.problems] == [("site", "empty")]
    assert "not empty, or null" in refusal.value.problems[0].expected


def test_a_missing_text_is_taken_where_the_empty_one_is_refused_and_elsewhere_both_are() -> None:
    assert STRICT.from_json(body(site=None)).rows[0][3] == ""
    assert METER.from_json(body(site="")).rows[0][3] == ""
