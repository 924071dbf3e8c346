"""What the agent says about itself: `/signature`, `/history`, and their part of `/openapi.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from edge_agent.serve.scoring.signature import signature
from edgekit import bundle as bundles
from tests.support import kinds
from tests.support.models import make_bundle, make_flag_bundle, make_fragile_bundle, make_mixed_bundle, make_text_bundle
from tests.support.serving import Live, serving

BUNDLES = {
    "pump": make_bundle(),
    "wear": make_text_bundle(name="wear"),
    "alarm": make_flag_bundle(),
    "meter": make_mixed_bundle(),
    "dial": make_fragile_bundle(),
    "mill": kinds.make_targets_bundle(),
    "loom": kinds.make_text_targets_bundle(),
    "fleet-mode": kinds.make_cluster_bundle(),
    "scaler": kinds.make_transformation_bundle(),
    "summer": kinds.make_transformation_bundle("summer", width=1),
}
OUTPUTS: dict[str, tuple[str, list[int]]] = {
    "pump": ("int64", [-1]),
    "wear": ("str", [-1]),
    "alarm": ("bool", [-1]),
    "meter": ("float32", [-1]),
    "mill": ("object", [-1, 2]),
    "loom": ("str", [-1, 2]),
    "fleet-mode": ("int64", [-1]),
    "scaler": ("float32", [-1, 2]),
    "summer": ("float32", [-1, 1]),
}


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serving(*BUNDLES.values(), configured=("wear",)) as live:
        yield live


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


# ---- /signature ---------------------------------------------------------------------------------------------------


def test_the_signature_is_the_text_that_mlflow_writes(client: httpx.Client) -> None:
    told = client.get("/models/meter/signature").json()
    # As mlflow.models.ModelSignature.to_dict gives it (read back by MLflow 3.17 when this was written).
    assert told["signature"] == {
        "inputs": '[{"type": "float", "name": "temperature", "required": false}, '
        '{"type": "long", "name": "cycles", "required": true}, {"type": "string", "name": "mode", "required": true}, '
        '{"type": "boolean", "name": "running", "required": true}, '
        '{"type": "string", "name": "site", "required": false}]',
        "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1]}}]',
        "params": None,
    }
    assert told["model"] == "meter:1.0.0"


def test_the_signature_tells_ranges_categories_and_what_may_be_missing(client: httpx.Client) -> None:
    inputs = {column["name"]: column for column in client.get("/models/meter/signature").json()["inputs"]}
    assert (inputs["mode"]["categories"], inputs["mode"]["categories_closed"]) == (["eco", "boost"], True)
    assert [name for name, column in inputs.items() if column["missing_allowed"]] == ["temperature", "site"]
    assert client.get("/models/pump/signature").json()["inputs"][0]["range"] == [-4.0, 4.0]


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_output_has_the_type_of_what_is_answered(name: str) -> None:
    (output,) = json.loads(signature(bundles.parse(BUNDLES[name]).manifest)["signature"]["outputs"])
    assert (output["tensor-spec"]["dtype"], output["tensor-spec"]["shape"]) == OUTPUTS[name]


def test_without_a_name_the_first_model_is_described(client: httpx.Client, document: dict[str, Any]) -> None:
    assert client.get("/signature").json()["model"] == "wear:1.0.0"
    answers = document["paths"]["/invocations"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answers["properties"]["predictions"]["items"] == {"enum": ["idle", "busy", "worn"]}


# ---- /openapi.json ------------------------------------------------------------------------------------------------


def fits(document: dict[str, Any], schema: dict[str, Any], value: object) -> bool:
    return bool(Draft202012Validator({**schema, "components": document["components"]}).is_valid(value))


def described(document: dict[str, Any], path: str, method: str, status: int) -> dict[str, Any]:
    answers = document["paths"][path][method]["responses"][str(status)]["content"]
    schema: dict[str, Any] = next(iter(answers.values()))["schema"]
    return schema


@pytest.mark.parametrize("name", [None, *BUNDLES])
def test_every_example_can_be_sent_and_is_answered_as_described(
    client: httpx.Client, document: dict[str, Any], name: str | None
) -> None:
    path = "/invocations" if name is None else f"/models/{name}/invocations"
    content = document["paths"][path]["post"]["requestBody"]["content"]
    for media_type, described_body in content.items():
        for label, example in described_body["examples"].items():
            body = example["value"]
            assert fits(document, described_body["schema"], body), label
            sent = body if isinstance(body, str) else json.dumps(body)
            answered = client.post(path, content=sent, headers={"Content-Type": media_type})
            assert answered.status_code == 200, answered.text
            assert fits(document, described(document, path, "post", 200), answered.json())
            assert len(answered.json()["predictions"]) == 1


BODIES: list[tuple[Any, int]] = [
    ({"inputs": [[0, 0, 0]]}, 200),
    ({"inputs": [[0, 0, 0]], "params": {"a": 1}, "more": 1}, 200),
    ({"inputs": [{"flow": 0, "heat": 1, "pressure": 2}, [0, 0, 0]]}, 200),
    ({"instances": {"flow": 0, "heat": 1, "pressure": 2}}, 200),
    ({"dataframe_split": {"columns": None, "data": [[0, 0, 0]], "index": [1]}}, 200),
    ({"inputs": [[0, 0, 0]], "instances": [[0, 0, 0]]}, 400),
    ({"inputs": []}, 400),
    ({"inputs": [[0, 0]]}, 400),
    ({"inputs": {"flow": [0], "heat": [1]}}, 400),
    ({"inputs": {"flow": [0], "heat": [1], "pressure": [None]}}, 400),
    ({"dataframe_records": [[0, 0, 0]]}, 400),
    ({"dataframe_split": {"columns": ["flow", "flow", "heat"], "data": [[0, 0, 0]]}}, 400),
    ({"dataframe_split": {"data": [[0, 0, 0]], "x": 1}}, 400),
    ({"inputs": [[0, 0, 0]], "params": 1}, 400),
    ({}, 400),
]


@pytest.mark.parametrize(("body", "status"), BODIES)
def test_the_description_allows_what_is_answered_and_nothing_that_is_refused(
    client: httpx.Client, document: dict[str, Any], body: Any, status: int
) -> None:
    path = "/models/pump/invocations"
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    answered = client.post(path, json=body)
    assert (answered.status_code, fits(document, schema, body)) == (status, status == 200)
    assert fits(document, described(document, path, "post", status), answered.json())


@pytest.mark.parametrize("path", ["/signature", "/history", "/models/meter/signature", "/models/mill/history"])
def test_what_is_read_is_as_described(client: httpx.Client, document: dict[str, Any], path: str) -> None:
    assert fits(document, described(document, path, "get", 200), client.get(path).json())


PAGE = (Path(__file__).parents[3] / "docs" / "device-api.md").read_text()


def test_the_documents_on_the_page_are_such_as_are_answered(document: dict[str, Any]) -> None:
    blocks = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S)]
    for name, block in zip(("Fault", "Signature", "History"), blocks, strict=True):
        assert fits(document, {"$ref": f"#/components/schemas/{name}"}, block), name


def test_the_paths_on_the_page_are_described(document: dict[str, Any]) -> None:
    table = "\n".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith(("| `GET", "| `POST")))
    told = set(re.findall(r"/[\w./…]*", table)) - {"/v2/…"}
    described = {re.sub(r"/(models|predict)/[\w-]+", r"/\1/NAME", path) for path in document["paths"]}
    assert told <= described


def test_paths_without_a_name_are_described_where_there_is_a_first_model() -> None:
    with serving(BUNDLES["pump"], BUNDLES["wear"]) as live, httpx.Client(base_url=live.url) as client:
        paths = client.get("/openapi.json").json()["paths"]
    assert "/invocations" not in paths
    assert {"/ping", "/version", "/history", "/models/pump/invocations", "/models/wear/ping"} <= paths.keys()
