"""Good bodies of the scoring protocol, broken at random: never a server error, never a silently different answer.

What is answered with 200 is read a second time here, by Python's own `json` and by pandas, and a `LocalModel` must give
the same predictions for those rows.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_agent import LocalModel
from tests.support.models import make_bundle, make_mixed_bundle
from tests.support.serving import serving

BUNDLES = {"pump": make_bundle(), "meter": make_mixed_bundle()}
ROWS: dict[str, list[dict[str, Any]]] = {
    "pump": [{"pressure": 0.1, "flow": -0.3, "heat": 3}, {"pressure": -1, "flow": 2, "heat": 0.25}],
    "meter": [
        {"temperature": 20.5, "cycles": 3, "mode": "eco", "running": True, "site": "north"},
        {"temperature": None, "cycles": 7, "mode": "boost", "running": False, "site": None},
    ],
}
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


@dataclass(frozen=True)
class Bench:
    """The server and, for each model, a copy of it in this process."""

    client: httpx.Client
    models: dict[str, LocalModel]

    def ask(self, name: str, body: bytes, media_type: str) -> httpx.Response:
        return self.client.post(f"/models/{name}/invocations", content=body, headers={"Content-Type": media_type})


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    models = {}
    for name, content in BUNDLES.items():
        path = tmp_path_factory.mktemp(name) / "model.edgekit"
        path.write_bytes(content)
        models[name] = LocalModel.open(path)
    with serving(*BUNDLES.values()) as live, httpx.Client(base_url=live.url) as client:
        yield Bench(client, models)


# ---- the second reading -------------------------------------------------------------------------------------------


def rows_of_json(model: LocalModel, body: bytes) -> object:
    """The rows as the protocol means them. Raises on anything that is not clear."""

    def unclear(word: str) -> None:
        raise ValueError(word)

    fields = json.loads(body.decode(), parse_constant=unclear)
    (form,) = [word for word in FORMS if word in fields]
    held = fields[form]
    if form == "dataframe_split":
        columns = held.get("columns") or [feature.name for feature in model.manifest.inputs]
        assert len(set(columns)) == len(columns)
        return [dict(zip(columns, row, strict=True)) for row in held["data"]]
    if isinstance(held, dict) and any(isinstance(cells, list) for cells in held.values()):
        return [dict(zip(held, cells, strict=True)) for cells in zip(*held.values(), strict=True)]
    return [held] if isinstance(held, dict) else held


def rows_of_csv(model: LocalModel, body: bytes) -> object:
    """The same of CSV."""
    kinds: dict[str, Callable[[str], object]] = {
        "int64": int,
        "bool": lambda cell: {"true": True, "false": False}[cell.strip().lower()],
        "string": str,
    }
    read = {feature.name: kinds.get(feature.dtype, float) for feature in model.manifest.inputs}
    text = io.StringIO(body.decode("utf-8-sig"), newline="")
    frame = pd.read_csv(text, dtype=str, keep_default_na=False, index_col=False)
    records: list[dict[str, str]] = frame.to_dict("records")
    return [{name: read[name](cell) if cell else None for name, cell in record.items()} for record in records]


SECOND_READING = {"application/json": rows_of_json, "text/csv": rows_of_csv}


def judge(model: LocalModel, media_type: str, body: bytes, answered: httpx.Response) -> None:
    """An answer must be what the model says about these rows, and a refusal must say why."""
    told = answered.json()
    if answered.status_code != 200:
        assert answered.status_code in (400, 413), answered.text
        assert told["message"]
        assert told["error_code"] == "BAD_REQUEST"
        return
    expected = model.predict(SECOND_READING[media_type](model, body))
    assert json.dumps(told) == spelled(expected)


def spelled(predictions: list[Any]) -> str:
    """As they are answered; what is not finite is null."""
    endless = [isinstance(answer, float) and not math.isfinite(answer) for answer in predictions]
    told = [None if lost else answer for lost, answer in zip(endless, predictions, strict=True)]
    return json.dumps({"predictions": told})


def test_a_wrong_answer_would_be_noticed(bench: Bench) -> None:
    """The judge's control: the same cells under other names are other rows."""
    names, cells = ["heat", "flow", "pressure"], [[0.1, -0.3, 3], [3, 2, -1]]
    body, other = (
        json.dumps({"dataframe_split": {"columns": columns, "data": cells}}).encode()
        for columns in (names, names[::-1])
    )
    answered = bench.ask("pump", body, "application/json")
    judge(bench.models["pump"], "application/json", body, answered)
    with pytest.raises(AssertionError):
        judge(bench.models["pump"], "application/json", other, answered)


# ---- good tables ----------------------------------------------------------------------------------------------------

METER_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "temperature": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
            "cycles": st.integers(-(1 << 63), (1 << 63) - 1),
            "mode": st.sampled_from(["eco", "boost"]),
            "running": st.booleans(),
            "site": st.none() | st.text(max_size=8) | st.sampled_from(["NA", "nan", " ", '"', ",", "\r\n", "\ufeff"]),
        }
    ),
    min_size=1,
    max_size=4,
)
ORDERS = st.permutations(list(ROWS["meter"][0]))
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(METER_ROWS, ORDERS, ENDS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.booleans())
@example([{**ROWS["meter"][0], "temperature": 3e38}], list(ROWS["meter"][0]), "\n", csv.QUOTE_MINIMAL, True)
def test_a_good_table_gets_the_same_answers_in_every_form(
    bench: Bench, rows: list[dict[str, Any]], names: list[str], end: str, quoting: Literal[0, 1], mark: bool
) -> None:
    cells = [[row[name] for name in names] for row in rows]
    columns = {name: [row[name] for row in rows] for name in names}
    text = io.StringIO()
    if any(set("\r\n") & set(row["site"] or "") for row in rows):
        quoting = csv.QUOTE_ALL  # csv.writer quotes the ends of lines that it writes itself, and no others
    writer = csv.writer(text, lineterminator=end, quoting=quoting)
    writer.writerow(names)
    writer.writerows(cells)
    bodies = [
        *({"dataframe_split": {"columns": names, "data": cells}}, {"dataframe_records": rows}),
        *({"instances": columns}, {"inputs": columns}, {"instances": rows}),
        {"inputs": [[row[name] for name in ROWS["meter"][0]] for row in rows]},
    ]
    sent = [("application/json", json.dumps(body).encode()) for body in bodies]
    sent.append(("text/csv", text.getvalue().encode("utf-8-sig" if mark else "utf-8")))
    expected = spelled(bench.models["meter"].predict(rows))
    for media_type, body in sent:
        answered = bench.ask("meter", body, media_type)
        assert (answered.status_code, json.dumps(answered.json())) == (200, expected), body


# ---- mutations ----------------------------------------------------------------------------------------------------


def json_bodies(name: str) -> list[Any]:
    rows = ROWS[name]
    names = list(rows[0])
    cells = [list(row.values()) for row in rows]
    columns = {column: [row[column] for row in rows] for column in names}
    return [
        {"dataframe_split": {"columns": names, "index": [0, 1], "data": cells}},
        {"dataframe_split": {"columns": names[::-1], "data": [row[::-1] for row in cells]}},
        {"dataframe_records": rows},
        {"instances": cells, "params": {}},
        {"instances": columns},
        {"inputs": rows},
        {"inputs": columns},
        {"inputs": rows[0]},
    ]


def csv_texts(name: str) -> list[bytes]:
    frame = pd.DataFrame(ROWS[name])
    frame[frame.columns[0]] = frame[frame.columns[0]].astype(float)
    plain = frame.to_csv(index=False)
    return [
        plain.encode(),
        plain.replace("\n", "\r\n").encode("utf-8-sig"),
        frame[frame.columns[::-1]].to_csv(index=False, quoting=1).encode(),
    ]


WORDS = [*ROWS["pump"][0], *ROWS["meter"][0], *FORMS, "columns", "data", "index", "params", "x", ""]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["eco", "1", "nan", *WORDS])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=6,
)
TOKENS = st.sampled_from(
    [
        *(b"NaN Infinity -Infinity null true false 1e999 -0 1_0 0x1 007 .5 5. +1 1e5 3.0 NA nan inf".split()),
        *(b'" , : [ ] { } [[ ]] {} [] "" \\ \\u0000 \\ud800 \x00 \xff \xef\xbb\xbf \xc2\xa0 \xe2\x80\xa8'.split(b" ")),
        *(b"\n \r \r\n \n\n \t".split(b" ")),
        b" ",
        *(f'"{word}"'.encode() for word in WORDS),
        b'"inputs": [[0, 0, 0]], ',
        b"0,0,0\n",
        b"9" * 400,
    ]
)
EDITS = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 6), TOKENS | st.just(b"")), min_size=1, max_size=2)


def edited(body: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """With some bytes cut out and others put in their place."""
    for place, length, token in edits:
        start = place % (len(body) + 1)
        body = body[:start] + token + body[start + length :]
    return body


def replaced(value: Any, place: int, other: Any) -> Any:
    """With another value (or name) somewhere inside."""
    if isinstance(value, dict) and value:
        name = list(value)[place % len(value)]
        deeper, turn = divmod(place, len(value))
        if deeper % 7 == 0 and isinstance(other, str):
            return {(other if key == name else key): cell for key, cell in value.items()}
        return {**value, name: replaced(value[name], deeper + turn, other)}
    if isinstance(value, list) and value:
        deeper, turn = divmod(place, len(value))
        if deeper % 5 == 0:
            return [*value[:turn], *value[turn + 1 :]] if deeper % 2 else [*value, other]
        return [*value[:turn], replaced(value[turn], deeper, other), *value[turn + 1 :]]
    return other


QUIET = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.sampled_from(list(BUNDLES))


@QUIET
@given(NAMES, st.integers(0, 7), EDITS)
@example("pump", 0, [(0, 0, b"\xef\xbb\xbf")])
@example("meter", 2, [(0, 0, b" " * 70)])
def test_json_with_other_bytes_in_it(bench: Bench, name: str, form: int, edits: list[tuple[int, int, bytes]]) -> None:
    body = edited(json.dumps(json_bodies(name)[form]).encode(), edits)
    judge(bench.models[name], "application/json", body, bench.ask(name, body, "application/json"))


@QUIET
@given(NAMES, st.integers(0, 7), st.integers(0, 1 << 16), VALUES)
def test_json_with_another_value_in_it(bench: Bench, name: str, form: int, place: int, value: Any) -> None:
    body = json.dumps(replaced(json_bodies(name)[form], place, value)).encode()
    judge(bench.models[name], "application/json", body, bench.ask(name, body, "application/json"))


@QUIET
@given(NAMES, st.integers(0, 2), EDITS)
def test_csv_with_other_bytes_in_it(bench: Bench, name: str, form: int, edits: list[tuple[int, int, bytes]]) -> None:
    body = edited(csv_texts(name)[form], edits)
    judge(bench.models[name], "text/csv", body, bench.ask(name, body, "text/csv"))


@QUIET
@given(NAMES, st.sampled_from(["application/json", "text/csv"]), st.binary(max_size=200))
def test_bytes_without_any_sense(bench: Bench, name: str, media_type: str, body: bytes) -> None:
    judge(bench.models[name], media_type, body, bench.ask(name, body, media_type))
