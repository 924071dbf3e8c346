"""Models of several targets, clusterings and transformations: in one's own process, over both APIs, and counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from edge_agent import LocalModel
from edge_agent.serve.openapi import answer_schema
from edge_agent.serve.rows import RowsRefused
from edge_agent.serve.selftest import run_golden
from edgekit import bundle as bundles
from edgekit import golden, packing
from tests.support.kinds import (
    ROWS,
    labels_of,
    make_cluster_bundle,
    make_targets_bundle,
    make_text_targets_bundle,
    make_transformation_bundle,
    shares_of,
)
from tests.support.serving import Live, predictor_of, serving
from tests.support.v2 import tensors_of

ONE_WIDE = make_transformation_bundle("summer", width=1)
BUNDLES = {
    "mill": make_targets_bundle(),
    "loom": make_text_targets_bundle(),
    "fleet-mode": make_cluster_bundle(),
    "scaler": make_transformation_bundle(),
    "summer": ONE_WIDE,
}
BY_TARGET = [{"false": 0.25, "true": 0.75}, {"3": 0.75, "5": 0.125, "9": 0.125}]
# The answers to the first two rows.
PREDICTIONS: dict[str, list[Any]] = {
    "mill": [[True, 3], [False, 5]],
    "loom": [["wet", "flow"], ["dry", "heat"]],
    "fleet-mode": [1, 0],
    "scaler": [[4.0, -2.0], [-2.0, 6.0]],
    "summer": [[1.0], [2.0]],
}
ROW = {"flow": 2.0, "heat": -1.0}


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serving(*BUNDLES.values()) as live:
        yield live


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url) as client:
        yield client


@pytest.fixture(params=sorted(BUNDLES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def spelled(value: object) -> str:
    """JSON tells 1 from true, which Python does not."""
    return json.dumps(value)


def test_a_row_posted_gets_the_prediction_of_its_kind(client: httpx.Client, name: str) -> None:
    body = client.post(f"/predict/{name}", json=ROW).json()
    assert spelled(body["prediction"]) == spelled(PREDICTIONS[name][0])
    assert body["model"] == f"{name}:1.0.0"


def test_rows_posted_together_get_their_predictions(client: httpx.Client, name: str) -> None:
    body = client.post(f"/predict/{name}", json=ROWS[:2]).json()
    assert spelled(body["predictions"]) == spelled(PREDICTIONS[name])


def test_probabilities_of_several_targets_are_one_object_for_each(client: httpx.Client) -> None:
    assert client.post("/predict/mill", json=ROW).json()["probabilities"] == BY_TARGET
    assert client.post("/predict/mill", json=ROWS[:1]).json()["probabilities"] == [BY_TARGET]
    assert list(client.post("/predict/loom", json=ROW).json()["probabilities"][0]) == ["dry", "wet"]


def test_probabilities_of_clusters_go_by_their_numbers(client: httpx.Client) -> None:
    assert client.post("/predict/fleet-mode", json=ROW).json()["probabilities"] == {"0": 0.25, "1": 0.75}


def test_a_transformation_gives_nothing_but_the_row(client: httpx.Client) -> None:
    assert set(client.post("/predict/scaler", json=ROW).json()) == {"prediction", "model"}


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize(
    ("name", "output", "datatype", "shape", "data"),
    [
        ("mill", "label", "INT64", [2, 2], [1, 3, 0, 5]),
        ("loom", "label", "BYTES", [2, 2], ["wet", "flow", "dry", "heat"]),
        ("mill", "probabilities", "FP32", [2, 5], [*shares_of(ROWS[0]), *shares_of(ROWS[1])]),
        ("fleet-mode", "label", "INT64", [2], [1, 0]),
        ("scaler", "value", "FP32", [2, 2], [4.0, -2.0, -2.0, 6.0]),
        ("summer", "value", "FP32", [2, 1], [1.0, 2.0]),
    ],
)
def test_tensors_have_the_shape_that_the_protocol_tells(
    client: httpx.Client, name: str, output: str, datatype: str, shape: list[int], data: list[Any], binary: bool
) -> None:
    flat = [cell for row in ROWS[:2] for cell in row]
    asked = {
        "inputs": [{"name": "X", "shape": [2, 2], "datatype": "FP32", "data": flat}],
        "outputs": [{"name": output, "parameters": {"binary_data": binary}}],
    }
    (tensor,) = tensors_of(client.post(f"/v2/models/{name}/infer", json=asked)).values()
    assert tensor == {"name": output, "datatype": datatype, "shape": shape, "data": data}
    told = {line["name"]: line for line in client.get(f"/v2/models/{name}").json()["outputs"]}[output]
    assert told == {"name": output, "datatype": datatype, "shape": [-1, *shape[1:]]}


def test_predictions_are_counted_like_any_other(name: str) -> None:
    with serving(BUNDLES[name]) as live, httpx.Client(base_url=live.url) as client:
        client.post("/predict", json=ROW)
        client.post("/predict", json=ROWS)
        client.post("/predict", json={"flow": "much"})
        (health,) = live.counters.take()
    assert (health.name, health.requests.ok, health.requests.client_error, health.requests.rows) == (name, 2, 1, 5)


def test_the_openapi_document_tells_the_answer(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    def prediction(name: str) -> Any:
        answers = paths[f"/predict/{name}"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        return answers["oneOf"][0]["properties"]["prediction"]

    assert prediction("mill")["prefixItems"] == [{"enum": [False, True]}, {"enum": [3, 5, 9]}]
    assert prediction("fleet-mode") == {"type": "integer"}
    assert prediction("summer") == {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 1}


def test_the_answer_to_several_rows_has_plural_names() -> None:
    schema = answer_schema(bundles.parse(BUNDLES["mill"]).manifest)
    assert [set(form["properties"]) for form in schema["oneOf"]] == [
        {"prediction", "probabilities", "model"},
        {"predictions", "probabilities", "model"},
    ]


# ---- in one's own process -----------------------------------------------------------------------------------------


def opened(folder: Path, content: bytes) -> LocalModel:
    (folder / "model.edgekit").write_bytes(content)
    return LocalModel.open(folder / "model.edgekit")


def test_a_local_model_answers_each_kind(tmp_path: Path, name: str) -> None:
    found = opened(tmp_path, BUNDLES[name]).predict(ROWS[:2])
    assert spelled(found) == spelled(PREDICTIONS[name])


def test_a_local_model_gives_probabilities_of_each_target(tmp_path: Path) -> None:
    model = opened(tmp_path, BUNDLES["mill"])
    assert model.target_probabilities(ROWS[0]) == [BY_TARGET]
    with pytest.raises(RowsRefused, match="gives no probabilities of one target"):
        model.probabilities(ROWS[0])


def test_a_model_of_one_target_has_no_probabilities_by_target(tmp_path: Path) -> None:
    model = opened(tmp_path, BUNDLES["fleet-mode"])
    assert model.probabilities(ROWS[0]) == [{"0": 0.25, "1": 0.75}]
    with pytest.raises(RowsRefused, match="gives no probabilities of several targets"):
        model.target_probabilities(ROWS[0])


# ---- golden rows --------------------------------------------------------------------------------------------------


def golden_of(content: bytes) -> golden.Golden:
    return golden.decode_golden(packing.expand(bundles.parse(content), "golden"))


def test_golden_rows_of_each_kind_are_repeated(name: str) -> None:
    result = run_golden(predictor_of(BUNDLES[name]), golden_of(BUNDLES[name]))
    assert (result.passed, result.rows, result.max_abs) == (True, len(ROWS), 0.0)


def _other_target(document: golden.Golden) -> golden.Golden:
    labels: list[Any] = [list(labels_of(row)) for row in ROWS]
    labels[2][1] = 3  # 9 is right
    return msgspec.structs.replace(document, expected={**document.expected, "label": labels})


def _other_value(document: golden.Golden) -> golden.Golden:
    values: list[Any] = [*document.expected["value"][:-1], [1.0, 0.75]]
    return msgspec.structs.replace(document, expected={"value": values})


def _other_cluster(document: golden.Golden) -> golden.Golden:
    return msgspec.structs.replace(document, expected={**document.expected, "label": [1, 1, 0, 1]})


@pytest.mark.parametrize(
    ("name", "lie", "row"),
    [("mill", _other_target, 2), ("scaler", _other_value, 3), ("fleet-mode", _other_cluster, 1)],
)
def test_a_wrong_golden_answer_of_each_kind_is_found(
    name: str, lie: Callable[[golden.Golden], golden.Golden], row: int
) -> None:
    result = run_golden(predictor_of(BUNDLES[name]), lie(golden_of(BUNDLES[name])))
    assert (result.passed, result.worst_row) == (False, row)
