"""MLflow's scoring protocol against a live server: the forms of its bodies, its answers, and which model gives them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

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
