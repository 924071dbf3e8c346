"""MLflow's scoring protocol against a live server: the forms of its bodies, its answers, and what is refused how."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from edge_agent.serve.scoring.tables import MAX_ROWS
from edgekit import __version__
from tests.support.models import make_bundle, make_flag_bundle, make_fragile_bundle, make_mixed_bundle
from tests.support.serving import Live, serving

NAMES = ["pressure", "flow", "heat"]
ROWS: list[list[float]] = [[0.1, -0.3, 3], [0, 0, 0]]
RECORDS: list[dict[str, Any]] = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
COLUMNS = {name: [row[name] for row in RECORDS] for name in NAMES}
SWAPPED = {"columns": ["heat", "pressure", "flow"], "data": [[3, 0.1, -0.3], [0, 0, 0]]}
METER: dict[str, Any] = {"temperature": 20, "cycles": 3, "mode": "eco", "running": True, "site": "north"}


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serving(
        make_bundle(), make_mixed_bundle(), make_flag_bundle(), make_fragile_bundle(), configured=("pump",)
    ) as live:
        yield live


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url) as client:
        yield client


def csv(client: httpx.Client, text: str | bytes, path: str = "/invocations") -> httpx.Response:
    content = text.encode() if isinstance(text, str) else text
    return client.post(path, content=content, headers={"Content-Type": "text/csv"})


# ---- the four forms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": NAMES, "data": ROWS}},
        {"dataframe_split": SWAPPED},
        {"dataframe_split": {**SWAPPED, "index": [7, 3]}},
        {"dataframe_split": {"data": ROWS}},
        {"dataframe_split": {"columns": None, "index": None, "data": ROWS}},
        {"dataframe_records": RECORDS},
        {"dataframe_records": [dict(reversed(row.items())) for row in RECORDS]},
        {"instances": ROWS},
        {"instances": RECORDS},
        {"instances": COLUMNS},
        {"inputs": ROWS},
        {"inputs": RECORDS},
        {"inputs": dict(reversed(COLUMNS.items()))},
        {"inputs": ROWS, "params": {}},
        {"inputs": ROWS, "params": None, "client_request_id": "7"},
        {"params": {"temperature": 0.5}, "inputs": ROWS},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_each_form_gets_its_predictions_and_nothing_else(client: httpx.Client, body: Any) -> None:
    answered = client.post("/invocations", json=body)
    assert (answered.status_code, answered.json()) == (200, {"predictions": [2, 0]})
    assert client.post("/models/pump/invocations", json=body).json() == {"predictions": [2, 0]}


@pytest.mark.parametrize(
    "body",
    [{"inputs": METER}, {"inputs": {name: [cell] for name, cell in METER.items()}}, {"dataframe_records": [METER]}],
    ids=["an object of values", "an object of columns", "a record"],
)
def test_one_row_gets_a_list_of_one(client: httpx.Client, body: Any) -> None:
    assert client.post("/models/meter/invocations", json=body).json() == {"predictions": [54.0]}


def test_null_and_absent_are_missing_values(client: httpx.Client) -> None:
    rows = [{**METER, "temperature": None, "site": None}, {key: METER[key] for key in ("cycles", "mode", "running")}]
    for body in ({"dataframe_records": rows}, {"inputs": [*rows]}):
        assert client.post("/models/meter/invocations", json=body).json() == {"predictions": [114.0, 114.0]}
    columns = {"dataframe_split": {"columns": ["mode", "running", "cycles"], "data": [["eco", True, 3]]}}
    assert client.post("/models/meter/invocations", json=columns).json() == {"predictions": [114.0]}


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_of_a_model_with_one_feature_values_are_rows(client: httpx.Client, form: str) -> None:
    for rows in ([0, 2, 1], [[0], [2], [1]], {"step": [0, 2, 1]}):
        body = client.post("/models/dial/invocations", json={form: rows}).json()
        assert body == {"predictions": [10.0, 30.0, 20.0]}


@pytest.mark.parametrize("name", [None, "pump"])
@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", 'application/json;charset="UTF-8"', "Application/JSON;"],
)
def test_the_content_type_may_name_its_charset(client: httpx.Client, name: str | None, content_type: str) -> None:
    path = f"/models/{name}/invocations" if name else "/invocations"
    answered = client.post(path, content=json.dumps({"inputs": ROWS}), headers={"Content-Type": content_type})
    assert answered.json() == {"predictions": [2, 0]}


# ---- CSV ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "pressure,flow,heat\n0.1,-0.3,3\n0,0,0\n",
        "heat,pressure,flow\n3,0.1,-0.3\n0,0,0",
        "pressure,flow,heat\r\n0.1,-0.3,3\r\n0,0,0\r\n",
        "pressure,flow,heat\r0.1,-0.3,3\r0,0,0\r",
        "\ufeffpressure,flow,heat\n0.1,-0.3,3\n0,0,0\n\n\n",
        '"pressure","flow","heat"\n"0.1","-0.3","3"\n0,0,0\n',
        "pressure,flow,heat\n+.1, -3e-1,3.\n 0,\t0,0 \n",
    ],
    ids=["plain", "other order", "CRLF", "CR", "byte order mark", "quoted", "spellings of numbers"],
)
def test_csv_gets_its_predictions(client: httpx.Client, text: str) -> None:
    answered = csv(client, text)
    assert (answered.status_code, answered.json()) == (200, {"predictions": [2, 0]})


def test_csv_cells_are_read_by_the_type_of_their_column(client: httpx.Client) -> None:
    text = 'site,running,mode,cycles,temperature\n"no,rth",True,eco,3,20\n"n""o\nrth",FALSE,boost,-0,\n,true,eco,3,20\n'
    body = csv(client, text, "/models/meter/invocations").json()
    assert body == {"predictions": [54.0, 5.0, 154.0]}


def test_an_empty_cell_alone_is_missing(client: httpx.Client) -> None:
    head = "temperature,cycles,mode,running,site\n"
    told = csv(client, head + ",3,eco,true,NA\n", "/models/meter/invocations").json()
    assert told == {"predictions": [14.0]}
    refused = csv(client, head + "NA,3,eco,true,north\n", "/models/meter/invocations")
    (problem,) = refused.json()["detail"]
    assert (refused.status_code, problem["feature"], problem["got"]) == (400, "temperature", '"NA"')
    assert problem["expected"] == "a number, or an empty cell"


# ---- what is refused ----------------------------------------------------------------------------------------------

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


# ---- which model --------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_outcome() -> None:
    with serving(make_bundle()) as live, httpx.Client(base_url=live.url) as client:
        client.post("/invocations", json={"inputs": ROWS})
        csv(client, "pressure,flow,heat\n0,0,0\n")
        client.post("/invocations", json={"inputs": []})
        csv(client, "")
        (counted,) = live.counters.take()
    assert (counted.requests.ok, counted.requests.rows, counted.requests.client_error) == (2, 3, 2)


def test_ping_tells_that_a_model_is_served(client: httpx.Client) -> None:
    for path in ("/ping", "/models/pump/ping", "/models/pump/health"):
        assert (client.get(path).status_code, client.get(path).text) == (200, "\n")
        assert client.head(path).status_code == 200
    assert client.get("/models/nobody/ping").status_code == 404
    assert client.get("/models/pump/nothing").status_code == 404
    assert client.get("/invocations").headers["allow"] == "POST"
    assert client.get("/version").text == __version__


def test_a_name_that_means_nothing_is_not_found(client: httpx.Client) -> None:
    answered = client.post("/models/nobody/invocations", json={"inputs": ROWS})
    assert (answered.status_code, answered.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_of_several_models_without_a_first_one_each_is_asked_by_name() -> None:
    with serving(make_bundle(), make_flag_bundle()) as live, httpx.Client(base_url=live.url) as client:
        answered = client.post("/invocations", json={"inputs": ROWS})
        assert answered.status_code == 404
        assert "alarm, pump" in answered.json()["message"]
        assert client.get("/signature").status_code == 404
        assert client.get("/ping").status_code == 200
        assert client.post("/models/alarm/invocations", json={"inputs": ROWS[1:]}).json() == {"predictions": [False]}


def test_without_a_model_the_client_is_asked_to_come_back() -> None:
    with serving(configured=("pump",)) as live, httpx.Client(base_url=live.url) as client:
        for path in ("/ping", "/models/pump/ping", "/signature", "/models/pump/signature"):
            assert client.get(path).status_code == 503, path
        answered = client.post("/invocations", json={"inputs": ROWS})
        assert (answered.status_code, answered.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert int(answered.headers["retry-after"]) > 0
