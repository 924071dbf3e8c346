"""The fleet in numbers: status, models, metrics, and the API's own description."""

from __future__ import annotations

import json
import re
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.fleet.front.bench import Bench


def _fleet(bench: Bench, devices: int) -> None:
    bench.sign("pump", "1.0.0")
    bench.push()
    for number in range(devices):
        bench.client().post("/api/v1/devices", json={"id": f"press-{number}"})
        bench.hear_of(f"press-{number}", version="1.0.0", ok=10, server_error=1)


def _samples(bench: Bench) -> dict[str, float]:
    text = bench.client().get("/metrics").text
    return {
        f"{sample.name}{json.dumps(sample.labels, sort_keys=True)}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_devices_rollouts_reports_and_requests(bench: Bench) -> None:
    _fleet(bench, 2)
    bench.client().post("/api/v1/devices", json={"id": "silent"})
    plan = {"model": "pump", "version": "1.0.0", "stages": [{"devices": "100%"}]}
    assert bench.client().post("/api/v1/rollouts", json=plan).status_code == 201
    found = _samples(bench)
    version = '"model": "pump", '
    assert found['edgekit_devices{"presence": "online"}'] == 2
    assert found['edgekit_devices{"presence": "offline"}'] == 1
    assert found['edgekit_rollouts{"state": "running"}'] == 1
    assert found[f'edgekit_device_models{{{version}"state": "serving", "version": "1.0.0"}}'] == 2
    assert found[f'edgekit_reports_total{{{version}"version": "1.0.0"}}'] == 2
    assert found[f'edgekit_requests_total{{{version}"outcome": "ok", "version": "1.0.0"}}'] == 20
    assert found[f'edgekit_requests_total{{{version}"outcome": "server_error", "version": "1.0.0"}}'] == 2
    assert found[f'edgekit_latency_seconds_sum{{{version}"version": "1.0.0"}}'] == 0.002
    assert found["edgekit_set_aside_total{}"] == 0


def test_the_number_of_series_does_not_grow_with_the_fleet(bench: Bench) -> None:
    _fleet(bench, 1)
    one = _samples(bench).keys()
    for number in range(1, 6):
        bench.client().post("/api/v1/devices", json={"id": f"press-{number}"})
        bench.hear_of(f"press-{number}", version="1.0.0", ok=1)
    assert _samples(bench).keys() == one


def test_status_tells_totals_and_metadata_versions(bench: Bench) -> None:
    assert bench.client().get("/api/v1/status").json()["metadata"] is None
    _fleet(bench, 2)
    status = bench.client().get("/api/v1/status").json()
    assert status["fleet"]["devices"] == {"total": 2, "online": 2, "retired": 0}
    assert status["metadata"] == {"root": 1, "snapshot": 1, "timestamp": 1}


def test_models_tell_releases_devices_and_traffic(bench: Bench) -> None:
    _fleet(bench, 2)
    bench.sign("pump", "1.10.0")
    bench.push()
    (line,) = bench.client().get("/api/v1/models").json()["models"]
    assert line == {"name": "pump", "newest": "1.10.0", "releases": 2, "devices": {"1.0.0": 2}}
    report = bench.client().get("/api/v1/models/pump").json()
    assert report["traffic"][0]["ok"] == 20
    assert report["versions"] == [{"model": "pump", "version": "1.0.0", "state": "serving", "devices": 2}]
    assert bench.client().get("/api/v1/models/fan").status_code == 404


def test_a_release_shows_its_manifest(bench: Bench) -> None:
    release = bench.sign("pump", "1.0.0")
    bench.push()
    shown = bench.client().get("/api/v1/releases/pump/1.0.0").json()
    assert (shown["sha256"], shown["counter"], shown["manifest"]["name"]) == (release.sha256, 1, "pump")
    (line,) = bench.client().get("/api/v1/releases").json()["releases"]
    assert line.items() <= shown.items()


def test_the_openapi_document_has_no_dangling_reference(shared: Bench) -> None:
    document: dict[str, Any] = shared.client(None).get("/openapi.json").json()
    names = set(document["components"]["schemas"])
    referred = set(re.findall(r"#/components/schemas/([A-Za-z]+)", json.dumps(document)))
    assert referred <= names
    assert {"Page", "RolloutView", "Fault", "Join"} <= names
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert path == "/health" or operation["security"], (method, path)
