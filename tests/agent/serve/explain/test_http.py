"""`POST /predict?explain=1` against a live server: the answer, the refusals, and everybody else served meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.agent.serve.explain.conftest import Taught
from tests.support.models import make_bundle, make_fragile_bundle, make_mixed_bundle
from tests.support.serving import Live, serving

Teach = Callable[[str], Taught]

LONG = {"explain": "1", "samples": "2000"}


@pytest.fixture(scope="module")
def live(taught: Teach) -> Iterator[Live]:
    contents = (taught(name).content for name in ("forest", "mixed", "outliers"))
    with serving(*contents, make_bundle(), make_mixed_bundle(), make_fragile_bundle(), configured=("forest",)) as live:
        yield live


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, timeout=60) as client:
        yield client


@pytest.fixture
def rows(taught: Teach) -> list[dict[str, float]]:
    found: list[dict[str, float]] = taught("forest").rows.head(10).to_dict("records")
    return found


def test_a_prediction_comes_with_its_explanation(client: httpx.Client, rows: list[dict[str, float]]) -> None:
    plain = client.post("/predict", json=rows[0]).json()
    body = client.post("/predict?explain=1", json=rows[0]).json()
    explanation = body.pop("explanation")
    assert body == plain
    assert (explanation["method"], explanation["scale"], explanation["samples"]) == ("sampled", "probability", 256)
    assert explanation["class"] == plain["prediction"]
    assert explanation["output"] == pytest.approx(plain["probabilities"][str(plain["prediction"])])
    assert list(explanation["contributions"]) == list(rows[0]) == list(explanation["standard_errors"])
    total = sum(explanation["contributions"].values())
    assert total == pytest.approx(explanation["output"] - explanation["base"], abs=1e-12)


def test_the_answer_over_http_is_that_of_the_library(
    client: httpx.Client, taught: Teach, rows: list[dict[str, float]]
) -> None:
    given = client.post("/predict?explain=true&samples=64&class=1", json=rows[:3]).json()["explanations"]
    assert given == [line.as_json() for line in taught("forest").model.explain(rows[:3], samples=64, label=1)]


def test_the_same_request_gets_the_same_bytes(client: httpx.Client, rows: list[dict[str, float]]) -> None:
    answers = {client.post("/predict?explain=1", json=rows[1]).content for _ in range(3)}
    assert len(answers) == 1


def test_a_linear_model_is_explained_exactly(client: httpx.Client) -> None:
    row = {"s0": None, "s1": 1.0, "s2": 0, "site": "north", "gear": 3, "heated": True}
    explanation = client.post("/predict/mixed?explain=1", json=row).json()["explanation"]
    assert (explanation["method"], explanation["scale"], explanation["samples"]) == ("exact", "log_odds", 0)
    assert list(explanation["contributions"]) == list(row)


def test_bins_of_an_older_bundle_are_represented_by_their_middle(client: httpx.Client) -> None:
    explanation = client.post("/predict/pump?explain=1", json=[0.1, -0.3, 3]).json()["explanation"]
    assert explanation["class"] == 2
    assert explanation["contributions"]["heat"] > abs(explanation["contributions"]["flow"])


@pytest.mark.parametrize("query", ["explain=0", "explain=false", "explain=", "other=1"])
def test_without_a_question_the_answer_is_plain(client: httpx.Client, rows: list[dict[str, float]], query: str) -> None:
    assert "explanation" not in client.post(f"/predict?{query}", json=rows[0]).json()


@pytest.mark.parametrize(
    ("path", "reason", "words"),
    [
        ("/predict?explain=yes", "bad_parameter", "explain must be 1 or 0"),
        ("/predict?explain=1&sample=3", "bad_parameter", "'sample' is unknown"),
        ("/predict?explain=1&samples=15", "bad_parameter", "even number from 16"),
        ("/predict?explain=1&samples=17", "bad_parameter", "even number from 16"),
        ("/predict?explain=1&samples=9999999", "bad_parameter", "even number from 16"),
        ("/predict?explain=1&samples=many", "bad_parameter", "whole number"),
        ("/predict?explain=1&class=7", "bad_parameter", "there is 0, 1"),
        ("/predict?explain=1&scale=log_odds", "not_explainable", "linear models"),
        ("/predict?explain=1&scale=logit", "bad_parameter", "scale must be"),
        ("/predict?explain=1&scale=value", "not_explainable", "as probability or log_odds"),
        ("/predict/outliers?explain=1&class=1", "not_explainable", "no classes to choose from"),
        ("/predict/outliers?explain=1&scale=probability", "not_explainable", "its score is explained"),
        ("/predict/outliers?explain=1&target=3", "bad_parameter", "say which one"),
        ("/predict?explain=1&" + "&".join(f"a{place}=1" for place in range(30)), "bad_parameter", "too many"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    client: httpx.Client, taught: Teach, path: str, reason: str, words: str
) -> None:
    name = "outliers" if "outliers" in path else "forest"
    answered = client.post(path, json=taught(name).rows.iloc[0].to_dict())
    assert (answered.status_code, answered.json()["reason"]) == (422, reason)
    assert words in answered.json()["error"]


@pytest.mark.parametrize(
    ("path", "row", "words"),
    [
        ("/predict/meter?explain=1", [20, 3, "eco", True, "north"], "does not tell what its training rows held"),
        ("/predict/dial?explain=1", [1], "does not tell what its training rows held"),
    ],
)
def test_a_bundle_that_tells_no_training_rows_cannot_explain(
    client: httpx.Client, path: str, row: Any, words: str
) -> None:
    answered = client.post(path, json=row)
    assert (answered.status_code, answered.json()["reason"]) == (422, "not_explainable")
    assert words in answered.json()["error"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.dictionaries(
        st.sampled_from(["explain", "samples", "class", "target", "scale", "more"]),
        st.sampled_from(["1", "0", "16", "-1", "2.5", "1e9", "log_odds", "probability", "true", ""]) | st.text(),
    ),
    name=st.sampled_from(["forest", "mixed", "outliers", "pump", "meter"]),
    row=st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["eco", "north"])))
    | st.sampled_from([[0] * 6, [1e38] * 6, [3e38, -3e38, 0], [None, 1, 0, "north", 3, True], [1]]),
)
def test_no_question_is_the_servers_fault(client: httpx.Client, asked: Any, name: str, row: Any) -> None:
    sent = json.dumps(row)
    params = {"explain": "1"} | asked
    answered = client.post(
        f"/predict/{name}", params=params, content=sent, headers={"Content-Type": "application/json"}
    )
    assert answered.status_code in (200, 400, 422)


def test_rows_are_held_to_the_same_rules_and_to_a_number(client: httpx.Client, rows: list[dict[str, float]]) -> None:
    wrong = client.post("/predict?explain=1", json={**rows[0], "s0": "far"})
    assert (wrong.status_code, wrong.json()["detail"][0]["feature"]) == (422, "s0")
    many = client.post("/predict?explain=1", json=rows[:1] * 17)
    assert (many.status_code, many.json()["reason"]) == (422, "explanation_too_large")
    assert client.post("/predict?explain=1", content=b"{").status_code == 415
    broken = client.post("/predict?explain=1", content=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400


def test_others_are_answered_while_an_explanation_is_worked_on(
    live: Live, client: httpx.Client, rows: list[dict[str, float]]
) -> None:
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=live.url, timeout=60) as patient:
        explaining = pool.submit(patient.post, "/predict", params=LONG, json=rows)
        answered = 0
        while not explaining.done():
            answered += client.post("/predict", json=rows[0]).status_code == 200
        assert explaining.result().status_code == 200
    assert answered > 10


def test_more_than_a_few_in_line_are_told_to_come_back(live: Live, rows: list[dict[str, float]]) -> None:
    with ThreadPoolExecutor(12) as pool, httpx.Client(base_url=live.url, timeout=60) as many:
        answers = list(pool.map(lambda _: many.post("/predict", params=LONG, json=rows), range(12)))
    busy = [answered for answered in answers if answered.status_code == 503]
    assert busy
    assert {answered.status_code for answered in answers} == {200, 503}
    assert {answered.json()["reason"] for answered in busy} == {"explaining_busy"}
    assert all(int(answered.headers["Retry-After"]) > 0 for answered in busy)


def test_an_explanation_counts_as_one_request(live: Live, client: httpx.Client, rows: list[dict[str, float]]) -> None:
    def counted() -> tuple[int, int]:
        totals = next(line for line in live.counters.totals() if line.name == "forest")
        return totals.requests.ok, totals.requests.client_error

    before = counted()
    client.post("/predict?explain=1", json=rows[0])
    client.post("/predict?explain=1", json={})
    assert counted() == (before[0] + 1, before[1] + 1)


def test_openapi_describes_the_question_and_the_answer(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"]["/predict/forest"]["post"]
    assert [parameter["name"] for parameter in described["parameters"]] == [
        "explain",
        "samples",
        "class",
        "target",
        "scale",
    ]
    one, many = described["responses"]["200"]["content"]["application/json"]["schema"]["oneOf"]
    properties = one["properties"]["explanation"]["properties"]
    assert list(properties["contributions"]["properties"]) == [f"s{place}" for place in range(6)]
    assert many["properties"]["explanations"]["type"] == "array"
