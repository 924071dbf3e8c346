"""Counts: each request is in exactly one report, however reports are taken, put back, split and merged."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.report.counters import Counters, add_up
from edge_agent.report.health import Circumstances, merge, reports, split
from edge_agent.report.metrics import metrics_text
from edge_agent.report.system import hardware, system_health
from edgekit import messages
from edgekit.messages import MAX_REPORT_BYTES, Health, Latency, ModelHealth, OutboxHealth, Requests, SystemHealth

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AROUND = Circumstances(
    device="press-7",
    boot_id="b" * 32,
    time=NOW,
    interval_s=60.0,
    system=SystemHealth(rss_bytes=1, memory_available_bytes=2, disk_free_bytes=3, load1=0.5, uptime_s=9.0),
    outbox=OutboxHealth(queued=0, merged=0),
)
BUCKETS = st.dictionaries(st.integers(0, 300), st.integers(1, 1000), max_size=150)


@st.composite
def models(draw: st.DrawFn) -> ModelHealth:
    buckets = sorted(draw(BUCKETS).items())
    answered = sum(count for _, count in buckets)
    version = draw(st.sampled_from(["1.0.0", "1.1.0", "2.0.0-rc.1"]))
    return ModelHealth(
        name=draw(st.sampled_from(["pump", "m" * 63])),
        version=version,
        sha256=version[0] * 64,
        requests=Requests(ok=answered, client_error=draw(st.integers(0, 9)), rows=answered * 2),
        latency=Latency(
            n=answered, sum_us=answered * 7, max_us=max((i for i, _ in buckets), default=0), buckets=buckets
        ),
    )


def documents(parts: list[ModelHealth], around: Circumstances = AROUND) -> list[bytes]:
    return [build("e" * 32, number) for number, build in enumerate(reports(parts, around), start=1)]


def counts_in(contents: list[bytes]) -> list[ModelHealth]:
    return add_up(model for content in contents for model in messages.decode(content, Health).data.models)


def test_a_count_is_taken_once() -> None:
    counters = Counters()
    identity = ("pump", "1.0.0", "a" * 64)
    counters.count(identity, "ok", rows=3, elapsed_us=120)
    counters.count(identity, "ok", rows=1, elapsed_us=130)
    counters.count(identity, "client_error")
    counters.count(identity, "server_error")
    (taken,) = counters.take()
    assert taken.requests == Requests(ok=2, client_error=1, server_error=1, rows=4)
    assert (taken.latency.n, taken.latency.sum_us, taken.latency.max_us) == (2, 250, 130)
    assert counters.take() == []


def test_what_was_put_back_comes_again_and_totals_know_it_once() -> None:
    counters = Counters()
    for version in ("1.0.0", "1.1.0", "1.0.0"):
        counters.count(("pump", version, "a" * 64), "ok", rows=1, elapsed_us=20)
        counters.put_back(counters.take())
    before = counters.totals()
    assert counters.take() == before
    assert counters.totals() == before
    assert [model.requests.ok for model in before] == [2, 1]


def test_a_single_row_is_counted_alike_either_way() -> None:
    one, other = Counters(), Counters()
    for elapsed_us in (5, 30, 30, 31, 70_000):
        one.count(("pump", "1.0.0", "a" * 64), "ok", rows=1, elapsed_us=elapsed_us)
        other.lane(("pump", "1.0.0", "a" * 64))(elapsed_us)
    assert one.take() == other.take()
    assert one.totals() == other.totals()


def test_counting_from_threads_loses_nothing() -> None:
    counters = Counters()
    taken: list[ModelHealth] = []
    identity = ("pump", "1.0.0", "a" * 64)

    def count() -> None:
        for number in range(2000):
            counters.count(identity, "ok", rows=1, elapsed_us=number)

    def count_singles() -> None:
        note = counters.lane(identity)
        for number in range(20_000):
            note(number)

    threads = [threading.Thread(target=work) for work in (count, count, count_singles)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken.extend(counters.take())
    taken.extend(counters.take())
    (total,) = add_up(taken)
    assert (total.requests.ok, total.requests.rows, total.latency.n) == (24_000, 24_000, 24_000)
    assert sum(count for _, count in total.latency.buckets) == 24_000
    assert (total.latency.sum_us, total.latency.max_us) == (2 * sum(range(2000)) + sum(range(20_000)), 19_999)
    assert counters.totals() == [total]


def test_a_maximum_is_told_in_the_interval_in_which_it_was_seen() -> None:
    counters = Counters()
    note = counters.lane(("pump", "1.0.0", "a" * 64))
    for latencies in ((10, 900, 20), (30, 40), (50, 1 << 40)):
        for elapsed_us in latencies:
            note(elapsed_us)
        (taken,) = counters.take()
        assert (taken.latency.max_us, taken.latency.sum_us) == (max(latencies), sum(latencies))
    assert counters.totals()[0].latency.max_us == 1 << 40


def test_a_model_that_is_loaded_again_is_counted_on() -> None:
    counters = Counters()
    for _ in range(2):
        counters.lane(("pump", "1.0.0", "a" * 64))(5)
    assert [total.requests.ok for total in counters.totals()] == [2]


@settings(deadline=None, max_examples=60)
@given(st.lists(models(), max_size=6))
def test_splitting_keeps_every_count_and_every_report_small(parts: list[ModelHealth]) -> None:
    contents = documents(parts)
    assert counts_in(contents) == add_up(parts)
    assert all(len(content) <= MAX_REPORT_BYTES for content in contents)
    for part in split(parts, AROUND):
        assert all(sum(count for _, count in model.latency.buckets) == model.latency.n for model in part)


def test_a_quiet_interval_is_one_report() -> None:
    (content,) = documents([])
    assert messages.decode(content, Health).data.models == []


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(models(), max_size=2), min_size=2, max_size=8))
def test_merging_keeps_every_count_and_spans_the_whole_time(intervals: list[list[ModelHealth]]) -> None:
    contents = [
        content
        for minute, parts in enumerate(intervals)
        for content in documents(parts, replace(AROUND, time=NOW + timedelta(minutes=minute)))
    ]
    merged = [build("f" * 32, number) for number, build in enumerate(merge(contents), start=1)]
    assert counts_in(merged) == counts_in(contents)
    assert all(len(content) <= MAX_REPORT_BYTES for content in merged)
    data = messages.decode(merged[0], Health).data
    assert data.interval_s == pytest.approx(60.0 * len(intervals))
    assert (data.epoch, data.seq) == ("f" * 32, 1)


def test_a_report_is_a_cloud_event() -> None:
    (content,) = documents([])
    document = json.loads(content)
    assert set(document) == {"specversion", "type", "source", "id", "time", "datacontenttype", "data"}
    assert (document["specversion"], document["time"]) == ("1.0", "2026-03-01T12:00:00.000Z")
    assert (document["id"], document["source"]) == (f"{'e' * 32}-1", "/devices/press-7")


def test_the_machine_can_be_read(tmp_path: Path) -> None:
    system = system_health(tmp_path)
    assert 1 << 20 < system.rss_bytes < 1 << 40
    assert 0 < system.memory_available_bytes < hardware().memory_total_bytes
    assert system.disk_free_bytes > 0
    assert system.uptime_s > 0


def test_the_metrics_page_tells_what_became_of_messages_only_where_there_are_some() -> None:
    fates = {"answered": 4, "refused": 3, "dropped": 2, "retained": 1, "unsent": 0, "waiting": 9}
    page = metrics_text([], AROUND.system, AROUND.outbox, fates).decode()
    assert 'edgekit_agent_mqtt_messages_total{fate="dropped"} 2' in page
    assert "waiting" not in page
    assert "mqtt" not in metrics_text([], AROUND.system, AROUND.outbox).decode()


def test_the_metrics_page_counts_cumulatively_and_sums_up() -> None:
    counters = Counters()
    for elapsed_us in (10, 20, 500, 40_000_000):
        counters.count(("pump", "1.0.0", "a" * 64), "ok", rows=2, elapsed_us=elapsed_us)
    counters.count(("pump", "1.0.0", "a" * 64), "client_error")
    page = metrics_text(counters.totals(), AROUND.system, AROUND.outbox).decode()
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    labels = f'model="pump",version="1.0.0",sha256="{"a" * 12}"'
    duration = "edgekit_agent_inference_duration_seconds"
    assert samples[f'edgekit_agent_predictions_total{{{labels},outcome="ok"}}'] == "4"
    assert samples[f'edgekit_agent_predictions_total{{{labels},outcome="client_error"}}'] == "1"
    assert samples[f'{duration}_bucket{{{labels},le="1.6e-05"}}'] == "1"
    assert samples[f'{duration}_bucket{{{labels},le="0.000512"}}'] == "3"
    assert samples[f'{duration}_bucket{{{labels},le="+Inf"}}'] == samples[f"{duration}_count{{{labels}}}"] == "4"
    assert float(samples[f"{duration}_sum{{{labels}}}"]) == pytest.approx(40.00053)
    median = samples[f'edgekit_agent_inference_duration_quantile_seconds{{{labels},quantile="0.5"}}']
    assert 20e-6 <= float(median) <= 23e-6
    buckets = [int(count) for name, count in samples.items() if name.startswith(f"{duration}_bucket")]
    assert buckets == sorted(buckets)
