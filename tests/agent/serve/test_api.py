"""The prediction APIs against a live server: shapes, names, refusals, and models that change under load."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_agent.serve.inference import Predictor
from edge_agent.serve.message import answer
from tests.support.models import (
    make_bundle,
    make_flag_bundle,
    make_fragile_bundle,
    make_mixed_bundle,
    make_text_bundle,
)
from tests.support.serving import Live, predictor_of, serving
from tests.support.waiting import wait_for

PUMP = {"pressure": 0.1, "flow": -0.3, "heat": 3}
METER = {"temperature": 20, "cycles": 3, "mode": "eco", "running": True, "site": "north"}


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    contents = make_bundle(), make_mixed_bundle(), make_flag_bundle(), make_text_bundle(name="wear")
    extra = {("POST", "/admin/rollback"): lambda request: answer({"did": len(request.body)})}
    with serving(*contents, configured=("pump",), extra=extra) as live:
        yield live


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url) as client:
        yield client


# ---- /predict -----------------------------------------------------------------------------------------------------


def test_the_classic_request_gets_the_classic_answer(client: httpx.Client) -> None:
    answered = client.post("/predict", json=PUMP)
    assert answered.status_code == 200
    body = answered.json()
    assert body["prediction"] == 2
    assert body["model"] == "pump:1.0.0"
    assert list(body["probabilities"]) == ["0", "1", "2"]
    assert sum(body["probabilities"].values()) == pytest.approx(1.0)


def test_the_order_of_the_keys_means_nothing(client: httpx.Client) -> None:
    answers = {client.post("/predict", json={key: PUMP[key] for key in order}).text for order in (PUMP, sorted(PUMP))}
    assert len(answers) == 1


def test_rows_get_predictions_in_their_order(client: httpx.Client) -> None:
    rows = [PUMP, {"pressure": 0, "flow": 0, "heat": 0}, {"pressure": -1, "flow": 2, "heat": 0.25}]
    body = client.post("/predict", json=rows).json()
    assert body["predictions"] == [2, 0, 1]
    assert len(body["probabilities"]) == 3


@pytest.mark.parametrize(
    ("name", "row", "prediction"),
    [
        ("pump", [0, 0, 0], 0),
        ("wear", [0.1, -0.3, 3], "worn"),
        ("alarm", [0, 0, 0], False),
        ("meter", METER, 54.0),
        ("meter", {**METER, "temperature": None, "site": None}, 114.0),
    ],
    ids=["integer label", "text label", "flag label", "regression", "missing values"],
)
def test_answers_are_native_json_scalars(client: httpx.Client, name: str, row: Any, prediction: object) -> None:
    given = client.post(f"/predict/{name}", json=row).json()["prediction"]
    assert given == prediction
    assert type(given) is type(prediction)


def test_a_refusal_names_the_feature(client: httpx.Client) -> None:
    answered = client.post("/predict", json={**PUMP, "heat": "hot"})
    assert answered.status_code == 422
    body = answered.json()
    assert body["detail"] == [{"feature": "heat", "problem": "wrong_type", "expected": "a number", "got": '"hot"'}]
    assert "heat" in body["error"]


@pytest.mark.parametrize(
    ("method", "path", "sent", "content_type", "status"),
    [
        ("POST", "/predict", b"{", "application/json", 400),
        ("POST", "/predict", b"", "application/json", 400),
        ("POST", "/predict", b"[]", "application/json", 422),
        ("POST", "/predict", b"{}", "application/json", 422),
        ("POST", "/predict", b"{}", "text/plain", 415),
        ("POST", "/predict", b"a=1", "application/x-www-form-urlencoded", 415),
        ("POST", "/predict/nobody", b"{}", "application/json", 404),
        ("POST", "/predict/pump/more", b"{}", "application/json", 404),
        ("POST", "/v2/models/pump/infer", b"{}", "application/json", 400),
        ("POST", "/v2/models/nobody/infer", b"{}", "application/json", 404),
        ("POST", "/nowhere", b"{}", "application/json", 404),
        ("GET", "/predict", b"", "", 405),
        ("DELETE", "/health", b"", "", 405),
        ("POST", "/admin/rollback", b"{}", "text/plain", 415),
    ],
)
def test_wrong_requests_are_the_clients_fault_and_are_told_why(
    client: httpx.Client, method: str, path: str, sent: bytes, content_type: str, status: int
) -> None:
    answered = client.request(
        method, path, content=sent, headers={"Content-Type": content_type} if content_type else {}
    )
    assert answered.status_code == status
    assert answered.json()["error"]


def test_a_wrong_method_is_told_the_right_ones(client: httpx.Client) -> None:
    assert client.get("/predict").headers["allow"] == "POST"
    assert client.post("/health", json={}).headers["allow"] == "GET, HEAD"


def test_without_a_model_the_client_is_asked_to_come_back() -> None:
    with serving(configured=("pump",)) as live, httpx.Client(base_url=live.url) as client:
        for path in ("/predict", "/predict/pump", "/v2/models/pump/infer"):
            answered = client.post(path, json={})
            assert (answered.status_code, int(answered.headers["retry-after"]) > 0) == (503, True)
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/health").json() == {"status": "no_model", "models": {}}


def test_every_request_is_counted_once_by_outcome() -> None:
    with serving(make_bundle()) as live, httpx.Client(base_url=live.url) as client:
        client.post("/predict", json=PUMP)
        client.post("/predict", json=[PUMP] * 5)
        client.post("/predict", json={})
        client.post("/v2/models/pump/infer", json={})
        (counted,) = live.counters.take()
    assert (counted.requests.ok, counted.requests.rows, counted.requests.client_error) == (2, 6, 2)
    assert counted.latency.n == 2


def test_a_batch_too_long_for_the_loop_is_answered_from_a_thread(client: httpx.Client) -> None:
    body = client.post("/predict", json=[[0.1, -0.3, 3]] * 20_000).json()
    assert body["predictions"] == [2] * 20_000


def test_a_model_that_fails_on_a_row_is_a_server_error_and_counted_as_one() -> None:
    with serving(make_fragile_bundle()) as live, httpx.Client(base_url=live.url) as client:
        for body in ({"step": 99}, [{"step": 0}, {"step": 99}]):
            answered = client.post("/predict", json=body)
            assert answered.status_code == 500
            assert "failed while predicting" in answered.json()["error"]
        assert client.post("/predict", json={"step": 2}).json()["prediction"] == 30.0
        (counted,) = live.counters.take()
    assert (counted.requests.ok, counted.requests.server_error) == (1, 2)


# ---- the rest -----------------------------------------------------------------------------------------------------


def test_the_document_describes_what_is_served(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    row = document["components"]["schemas"]["meter"]
    assert row["properties"]["mode"] == {"type": "string", "enum": ["eco", "boost"]}
    assert row["properties"]["temperature"]["type"] == ["number", "null"]
    assert row["required"] == ["cycles", "mode", "running"]
    for path, methods in document["paths"].items():
        method = next(iter(methods))
        assert client.request(method, path, json={} if method == "post" else None).status_code not in (404, 405), path


def test_the_runtimes_own_handlers_are_reached(client: httpx.Client) -> None:
    assert client.post("/admin/rollback", json={}).json() == {"did": 2}
    assert client.get("/status").json() == {"device": "bench"}


# ---- Open Inference Protocol --------------------------------------------------------------------------------------


def infer(client: httpx.Client, body: object, path: str = "/v2/models/pump/infer") -> httpx.Response:
    return client.post(path, json=body)


def test_v2_tells_what_the_model_takes_and_gives(client: httpx.Client) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    told = client.get("/v2/models/wear").json()
    assert (told["name"], told["versions"]) == ("wear", ["1.0.0"])
    assert [(tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in told["inputs"]] == [
        ("X", "FP32", [-1, 3])
    ]
    assert told["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]},
    ]
    assert client.get("/v2/models/pump/versions/1.0.0").json()["name"] == "pump"
    assert client.get("/v2/models/pump/versions/1.0.0/ready").json() == {"name": "pump", "ready": True}
    assert client.get("/v2/models/pump/versions/9.0.0").status_code == 404
    assert client.get("/v2/health/ready").json() == {"ready": True, "live": True}


@pytest.mark.parametrize("data", [[0.1, -0.3, 3, 0, 0, 0], [[0.1, -0.3, 3], [0, 0, 0]]], ids=["flattened", "nested"])
def test_v2_answers_tensors_with_tensors_and_echoes_the_id(client: httpx.Client, data: Any) -> None:
    body = {"id": "42", "inputs": [{"name": "X", "shape": [2, 3], "datatype": "FP32", "data": data}]}
    told = infer(client, body).json()
    assert (told["model_name"], told["model_version"], told["id"]) == ("pump", "1.0.0", "42")
    label, shares = told["outputs"]
    assert label == {"name": "label", "datatype": "INT64", "shape": [2], "data": [2, 0]}
    assert (shares["shape"], len(shares["data"])) == ([2, 3], 6)


def test_v2_takes_one_input_per_feature_and_gives_only_what_is_asked_for(client: httpx.Client) -> None:
    inputs = [{"name": name, "shape": [1, 1], "datatype": "FP32", "data": [value]} for name, value in PUMP.items()]
    told = infer(client, {"inputs": inputs, "outputs": [{"name": "label"}]}).json()
    assert [output["name"] for output in told["outputs"]] == ["label"]
    assert "id" not in told


def test_v2_spells_flags_as_flags(client: httpx.Client) -> None:
    body = {"inputs": [{"name": "X", "shape": [1, 3], "datatype": "FP32", "data": [0, 0, 0]}]}
    label = infer(client, body, "/v2/models/alarm/infer").json()["outputs"][0]
    assert (label["datatype"], label["data"]) == ("BOOL", [False])


def tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "X", "shape": [1, 3], "datatype": "FP32", "data": [0, 0, 0], **changes}]}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        tensor(name="Y"),
        tensor(datatype="BYTES"),
        tensor(datatype="FP1000"),
        tensor(shape=[1, 4], data=[0, 0, 0, 0]),
        tensor(shape=[2, 3]),
        tensor(shape=[0, 3], data=[]),
        tensor(shape=[-1, 3]),
        tensor(shape=[]),
        tensor(data=[[0, 0], [0]]),
        tensor(data=[0, 0, None]),
        tensor(data=[0, 0, "0"]),
        tensor(data=[0, 0, [0]]),
        tensor(data="000"),
        {"inputs": tensor()["inputs"] * 2},
        {**tensor(), "outputs": [{"name": "nothing"}]},
        {**tensor(), "id": 7},
        [],
    ],
)
def test_v2_refuses_with_an_error_text(client: httpx.Client, body: object) -> None:
    answered = infer(client, body)
    assert answered.status_code == 400
    assert list(answered.json()) == ["error"]


# ---- whatever is sent ---------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from([*PUMP, *METER, "inputs", "name", "shape", "data", "x"]), inner, max_size=6)
    ),
    max_leaves=12,
)
PATHS = st.sampled_from(
    ["/predict", "/predict/meter", "/predict/alarm", "/v2/models/pump/infer", "/v2/models/meter/infer"]
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS, JSON)
@example("/predict", [[[]]])
@example("/predict/meter", {**METER, "mode": "eco\x00"})
@example("/predict/meter", {**METER, "site": "\x00"})
@example("/predict/meter", {**METER, "site": "🛠" * 1000})
def test_no_json_is_ever_a_server_error(client: httpx.Client, path: str, value: object) -> None:
    answered = client.post(path, content=json.dumps(value), headers={"Content-Type": "application/json"})
    assert answered.status_code in (200, 400, 422), answered.text
    answered.json()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS, st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789eE+-.\\ufalsn ', max_size=60).map(str.encode))
@example("/predict", b"1" * 5000)
@example("/predict", b'{"heat": ' + b"1" * 5000 + b"}")
@example("/predict", b'{"\\ud800": 1}')
@example("/predict", b"[" * 20_000)
def test_no_bytes_are_ever_a_server_error(client: httpx.Client, path: str, sent: bytes) -> None:
    answered = client.post(path, content=sent, headers={"Content-Type": "application/json"})
    assert answered.status_code in (200, 400, 422), answered.text


# ---- swaps --------------------------------------------------------------------------------------------------------


def test_under_load_every_answer_is_wholly_of_the_version_that_it_names() -> None:
    """Versions answer the same row differently; requests while they are swapped mix nothing up."""
    versions = {f"1.{number}.0": make_bundle(version=f"1.{number}.0", shift=float(number)) for number in range(4)}
    predictors = [predictor_of(content) for content in versions.values()]
    expected = {predictor.label: _shape_of(predictor) for predictor in predictors}
    seen: dict[str, int] = {}
    wrong: list[str] = []
    done = threading.Event()

    def ask(url: str) -> None:
        with httpx.Client(base_url=url) as client:
            while not done.is_set():
                answered = client.post("/predict", json=PUMP)
                body = answered.json()
                seen[body.get("model", "none")] = seen.get(body.get("model", "none"), 0) + 1
                if answered.status_code != 200 or body != expected[body["model"]]:
                    wrong.append(answered.text)

    def answered_or_wrong(enough: int) -> bool:
        return sum(seen.values()) >= enough or bool(wrong)

    with serving(versions["1.0.0"]) as live:
        clients = [threading.Thread(target=ask, args=(live.url,)) for _ in range(3)]
        for client in clients:
            client.start()
        for turn in range(100):
            enough = sum(seen.values()) + 1
            live.models.swap("pump", predictors[turn % len(predictors)])
            wait_for(partial(answered_or_wrong, enough), 10, "answers after the swap")
        done.set()
        for client in clients:
            client.join(20)
    assert wrong == []
    assert set(seen) == set(expected)


def _shape_of(predictor: Predictor) -> Any:
    answers = predictor.run(predictor.rows.from_values(PUMP).rows)
    shares = answers.probabilities()
    assert shares is not None
    return {"prediction": answers.predictions()[0], "probabilities": shares[0], "model": predictor.label}
