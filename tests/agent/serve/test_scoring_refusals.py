"""What MLflow's scoring protocol refuses, against a live server: every wrong body is told what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from edge_agent.serve.scoring.tables import MAX_ROWS
from tests.support.models import make_bundle, make_fragile_bundle, make_mixed_bundle
from tests.support.serving import Live, serving

NAMES = ["pressure", "flow", "heat"]
ROWS: list[list[float]] = [[0.1, -0.3, 3], [0, 0, 0]]
RECORDS: list[dict[str, Any]] = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
COLUMNS = {name: [row[name] for row in RECORDS] for name in NAMES}


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serving(make_bundle(), make_mixed_bundle(), make_fragile_bundle(), configured=("pump",)) as live:
        yield live


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url) as client:
        yield client


def csv(client: httpx.Client, text: str | bytes, path: str = "/invocations") -> httpx.Response:
    content = text.encode() if isinstance(text, str) else text
    return client.post(path, content=content, headers={"Content-Type": "text/csv"})


WRONG: list[tuple[str, Any, str]] = [
    ("nothing", {}, "exactly one of the fields"),
    ("another field", {"input": ROWS}, "'input'"),
    ("two forms", {"inputs": ROWS, "instances": ROWS}, "instances and inputs"),
    ("a list", ROWS, "a list of 2"),
    ("params that are none", {"inputs": ROWS, "params": [1]}, "params must be an object"),
    ("no rows", {"inputs": []}, "no rows"),
    ("no records", {"dataframe_records": []}, "no rows"),
    ("no data", {"dataframe_split": {"columns": NAMES, "data": []}}, "no rows"),
    ("data missing", {"dataframe_split": {"columns": NAMES}}, "data is missing"),
    ("another part", {"dataframe_split": {"columns": NAMES, "data": ROWS, "dtypes": []}}, "'dtypes'"),
    ("data that is null", {"dataframe_split": {"data": None}}, "data of dataframe_split"),
    ("columns that are none", {"dataframe_split": {"columns": "flow", "data": ROWS}}, "columns of dataframe_split"),
    ("an index too short", {"dataframe_split": {"index": [1], "data": ROWS}}, "1 entries for 2 rows"),
    ("split as a list", {"dataframe_split": ROWS}, "an object with columns and data"),
    ("records as lists", {"dataframe_records": ROWS}, "a list of objects"),
    ("records as columns", {"dataframe_records": COLUMNS}, "a list of objects"),
    ("one flat row", {"inputs": ROWS[0]}, "a list of rows"),
    ("a number", {"instances": 7}, "a list of rows"),
    ("null", {"inputs": None}, "a list of rows"),
    ("no columns", {"inputs": {}}, "'pressure'"),
    ("columns beside values", {"inputs": {**COLUMNS, "flow": 1}}, "'flow'"),
    ("columns of other lengths", {"inputs": {**COLUMNS, "flow": [1]}}, "'flow'"),
    ("empty columns", {"inputs": {name: [] for name in NAMES}}, "no rows"),
    ("an unknown column", {"dataframe_split": {"columns": [*NAMES, "x"], "data": [[0, 0, 0, 0]]}}, "'x'"),
    ("a column without a name", {"inputs": {**COLUMNS, "": [0, 1]}}, "without its index"),
    ("numbers as names", {"dataframe_split": {"columns": [0, 1, 2], "data": ROWS}}, "'0'"),
    ("a list as a name", {"dataframe_split": {"columns": [["flow"]], "data": ROWS}}, "unknown"),
    ("a column twice", {"dataframe_split": {"columns": [*NAMES, "flow"], "data": [[0, 0, 0, 0]]}}, "'flow'"),
    ("a column missing", {"dataframe_split": {"columns": NAMES[:2], "data": [[0, 0]]}}, "'heat'"),
    ("a key missing", {"dataframe_records": [RECORDS[0], {"flow": 1, "heat": 1}]}, "row 1, feature 'pressure'"),
    ("a key unknown", {"instances": [{**RECORDS[0], "x": 1}]}, "'x'"),
    ("a row too short", {"dataframe_split": {"columns": NAMES, "data": [[0, 0, 0], [0, 0]]}}, "row 1"),
    ("a row too long", {"instances": [[0, 0, 0, 0]]}, "row 0"),
    ("a row that is none", {"dataframe_split": {"columns": NAMES, "data": [[0, 0, 0], 7]}}, "row 1"),
    ("a text for a number", {"inputs": {**COLUMNS, "heat": [0, "hot"]}}, "row 1, feature 'heat'"),
    ("a flag for a number", {"instances": [[0, 0, True]]}, "feature 'heat'"),
    ("null for a number", {"dataframe_records": [{**RECORDS[0], "flow": None}]}, "feature 'flow'"),
    ("a cell too deep", {"inputs": {"pressure": [[0]], "flow": [[0]], "heat": [[0]]}}, "a list of 1"),
]


@pytest.mark.parametrize(("body", "word"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_body_that_does_not_fit_is_told_what_is_wrong(client: httpx.Client, body: Any, word: str) -> None:
    answered = client.post("/invocations", json=body)
    told = answered.json()
    assert (answered.status_code, told["error_code"], told["reason"]) == (400, "BAD_REQUEST", "bad_rows")
    assert word in told["message"]
    assert told["error"] == told["message"]


WRONG_BYTES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "not valid JSON"),
    ("cut off", b'{"inputs": [[0, 0, 0]', "not valid JSON"),
    ("NaN", b'{"inputs": [[0, 0, NaN]]}', "send null for a missing value"),
    ("Infinity", b'{"dataframe_split": {"data": [[0, 0, -Infinity]]}}', "send null for a missing value"),
    ("NaN aside", b'{"inputs": [[0, 0, 0]], "params": {"a": NaN}}', "send null for a missing value"),
    ("too large a number", b'{"inputs": [[0, 0, 1e999]]}', "not_finite"),
    ("too deep", b'{"inputs": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested"),
    ("too deep aside", b'{"inputs": [[0, 0, 0]], "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested"),
    ("no UTF-8", b'{"inputs": [[0, 0, "\xff"]]}', "not valid JSON"),
]


@pytest.mark.parametrize(("body", "word"), [case[1:] for case in WRONG_BYTES], ids=[case[0] for case in WRONG_BYTES])
def test_bytes_that_are_no_json_are_told_so(client: httpx.Client, body: bytes, word: str) -> None:
    answered = client.post("/invocations", content=body, headers={"Content-Type": "application/json"})
    assert (answered.status_code, answered.json()["error_code"]) == (400, "BAD_REQUEST")
    assert word in answered.json()["message"]


HEAD = b"pressure,flow,heat\n"
WRONG_CSV: list[tuple[str, bytes, str]] = [
    ("empty", b"", "first line is empty"),
    ("a byte order mark alone", b"\xef\xbb\xbf", "first line is empty"),
    ("an empty first line", b"\n" + HEAD + b"0,0,0\n", "first line is empty"),
    ("a header alone", HEAD, "no rows"),
    ("no header", b"0,0,0\n1,1,1\n", "'0'"),
    ("an unknown column", b"pressure,flow,heat,x\n0,0,0,0\n", "'x'"),
    ("a frame's index", b",pressure,flow,heat\n0,0,0,0\n", "without its index"),
    ("a column missing", b"pressure,flow\n0,0\n", "'heat'"),
    ("a column twice", b"pressure,flow,heat,flow\n0,0,0,0\n", "duplicate"),
    ("semicolons", b"pressure;flow;heat\n0;0;0\n", "'pressure;flow;heat'"),
    ("a row too short", HEAD + b"0,0,0\n0,0\n", "row 1"),
    ("a row too long", HEAD + b"0,0,0,0\n", "row 0"),
    ("an empty line between", HEAD + b"0,0,0\n\n0,0,0\n", "before row 1"),
    ("a text", HEAD + b"0,0,hot\n", "feature 'heat'"),
    ("an empty cell", HEAD + b"0,0,0\n0,,0\n", "row 1, feature 'flow'"),
    ("nan", HEAD + b"0,0,nan\n", "feature 'heat'"),
    ("inf", HEAD + b"0,0,-inf\n", "feature 'heat'"),
    ("too large a number", HEAD + b"0,0,1e999\n", "not_finite"),
    ("an underscore", HEAD + b"0,0,1_0\n", "feature 'heat'"),
    ("a digit of another script", HEAD + "0,0,٣\n".encode(), "feature 'heat'"),
    ("an open quote", HEAD + b'0,0,"0\n', "not CSV"),
    ("text after a quote", HEAD + b'0,0,"0"1\n', "not CSV"),
    ("a cell without end", HEAD + b"0,0," + b"1" * 200_000 + b"x\n", "not CSV"),
    ("no UTF-8", HEAD + b"0,0,\xff\n", "UTF-8"),
    ("UTF-16", HEAD.decode().encode("utf-16"), "UTF-8"),
]


@pytest.mark.parametrize(("text", "word"), [case[1:] for case in WRONG_CSV], ids=[case[0] for case in WRONG_CSV])
def test_csv_that_does_not_fit_is_told_what_is_wrong(client: httpx.Client, text: bytes, word: str) -> None:
    answered = csv(client, text)
    assert (answered.status_code, answered.json()["error_code"]) == (400, "BAD_REQUEST")
    assert word in answered.json()["message"]


@pytest.mark.parametrize(
    ("cells", "feature"),
    [
        ("20,3.0,eco,true,n", "cycles"),
        ("20,3,eco,1,n", "running"),
        ("20,3,off,true,n", "mode"),
        ("20,,eco,true,n", "cycles"),
    ],
)
def test_csv_cells_of_another_type_are_refused(client: httpx.Client, cells: str, feature: str) -> None:
    answered = csv(client, "temperature,cycles,mode,running,site\n" + cells, "/models/meter/invocations")
    assert answered.status_code == 400
    assert [problem["feature"] for problem in answered.json()["detail"]] == [feature]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/vnd.apache.parquet",
        "application/json; charset=latin-1",
        "application/json; header=present",
        "text/csv; charset=utf-16",
    ],
)
def test_other_content_types_are_told_which_there_are(client: httpx.Client, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answered = client.post("/invocations", content=b'{"inputs": [[0, 0, 0]]}', headers=headers)
    assert (answered.status_code, answered.json()["error_code"]) == (415, "BAD_REQUEST")
    assert answered.json()["reason"] == "unsupported_content_type"


ZEROS = [0] * (MAX_ROWS + 1)
PATH = "/models/dial/invocations"


@pytest.mark.parametrize("form", ["values", "rows", "columns", "records", "split", "csv"])
def test_more_rows_than_allowed_are_refused_and_as_many_are_not(client: httpx.Client, form: str) -> None:
    bodies: dict[str, Any] = {
        "values": lambda cells: {"inputs": cells},
        "rows": lambda cells: {"instances": [[cell] for cell in cells]},
        "columns": lambda cells: {"inputs": {"step": cells}},
        "records": lambda cells: {"dataframe_records": [{"step": cell} for cell in cells]},
        "split": lambda cells: {"dataframe_split": {"data": [[cell] for cell in cells]}},
    }

    def ask(cells: list[int]) -> httpx.Response:
        if form == "csv":
            return csv(client, "step\n" + "0\n" * len(cells), PATH)
        content = json.dumps(bodies[form](cells), separators=(",", ":"))
        return client.post(PATH, content=content, headers={"Content-Type": "application/json"})

    refused = ask(ZEROS)
    assert (refused.status_code, refused.json()["reason"]) == (413, "too_many_rows")
    assert ask(ZEROS[1:]).json() == {"predictions": [10.0] * MAX_ROWS}


def test_a_body_over_the_limit_is_refused_before_it_is_read(client: httpx.Client) -> None:
    assert csv(client, b"step\n" + b"0\n" * (1 << 19), PATH).status_code == 413


def test_a_model_that_fails_is_the_device_s_fault(client: httpx.Client) -> None:
    answered = client.post(PATH, json={"inputs": [99]})
    assert (answered.status_code, answered.json()["error_code"]) == (500, "INTERNAL_ERROR")
