"""Requests of the Open Inference Protocol, bent in every way: refused with words, or answered as `LocalModel` answers
what the specification says they mean. Never a server error, never a wrong answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent import LocalModel
from edge_agent.serve.rows import RowsRefused
from tests.support.models import make_bundle, make_counter_bundle, make_mixed_bundle
from tests.support.serving import serving
from tests.support.v2 import CODES, HEADER, Body, body, packed, part, post, tensors_of, unpacked

BUNDLES = {
    "pump": make_bundle(),
    "meter": make_mixed_bundle(),
    "counter": make_counter_bundle(),
    "precise": make_counter_bundle("precise", dtype="float64"),
}
WORDS = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "bool": "BOOL", "string": "BYTES"}
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "BOOL": st.booleans(),
    "BYTES": st.sampled_from(["eco", "boost", "", "north", "ü"]),
    "FP16": st.floats(-4, 4, width=16),
    "FP32": st.one_of(st.floats(-4, 4, width=32), st.sampled_from([0.0, 1.0, -2.0])),
    "FP64": st.one_of(st.floats(-4, 4, width=32), st.sampled_from([0.1, 0.0, 1.0, 1e300])),
    **{name: st.integers(0, 3) for name in CODES if "INT" in name},
}
TAKEN = {
    "FP32": ["FP32", "FP32", "FP64", "FP16", "INT8", "UINT64"],
    "FP64": ["FP64", "FP64", "FP32", "INT64", "UINT16"],
    "INT64": ["INT64", "INT32", "UINT64"],
    "BOOL": ["BOOL"],
    "BYTES": ["BYTES"],
}
NASTY: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 1, 2, 3, 4, 12, 1 << 31, 1 << 63, 1 << 64, 10**400, 0.5, -0.0, 1e400, "", "X", "FP32", "BOOL"]
    + ["BYTES", "INT64", "FP16", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), [], [0], [[0]], {}]
)


@dataclass(frozen=True)
class Meant:
    """What a request means: rows by feature name, and the outputs asked for."""

    rows: list[dict[str, Any]]
    outputs: list[str]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(*BUNDLES.values()) as live, httpx.Client(base_url=live.url) as client:
        yield client


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LocalModel]:
    folder = tmp_path_factory.mktemp("bundles")
    return {name: opened(folder / f"{name}.edgekit", content) for name, content in BUNDLES.items()}


def opened(path: Path, content: bytes) -> LocalModel:
    path.write_bytes(content)
    return LocalModel.open(path)


# ---- requests, right ones and bent ones ---------------------------------------------------------------------------


@st.composite
def right(draw: st.DrawFn, local: Mapping[str, LocalModel], name: str) -> Body:
    """A request in one of the many forms that the protocol allows."""
    manifest = local[name].manifest
    rows = draw(st.integers(1, 3))
    whole = [(tensor.name, tensor.dtype, len(tensor.features)) for tensor in manifest.tensors]
    single = [(feature.name, feature.dtype, 1) for feature in manifest.inputs]
    parts = []
    for input_name, dtype, width in draw(st.permutations(draw(st.sampled_from([whole, single])))):
        datatype = draw(st.sampled_from(TAKEN[WORDS[dtype]]))
        cells = [draw(CELLS[datatype]) for _ in range(rows * width)]
        shape = [rows] if width == 1 and draw(st.booleans()) else [rows, width]
        binary = datatype == "FP16" or draw(st.booleans())
        parts.append(part(input_name, datatype, shape, cells, binary=binary))
    more: dict[str, Any] = {"parameters": {"binary_data_output": draw(st.booleans())}}
    if draw(st.booleans()):
        wanted = draw(st.lists(st.sampled_from([output.name for output in manifest.outputs]), min_size=1, unique=True))
        more["outputs"] = [{"name": one, "parameters": {"binary_data": draw(st.booleans())}} for one in wanted]
    return body(*parts, **more)


@st.composite
def bent(draw: st.DrawFn, sent: Body) -> Body:
    """The same with a few things wrong."""
    end = int(sent.headers.get(HEADER, len(sent.content)))
    head, raw = json.loads(sent.content[:end]), bytearray(sent.content[end:])
    headers = dict(sent.headers)
    for _ in range(draw(st.integers(0, 2))):
        spoil(draw, head)
    if raw:
        for _ in range(draw(st.integers(0, 2))):
            spoil_bytes(draw, raw)
    text = json.dumps(head).encode()
    if HEADER in headers:
        headers[HEADER] = str(len(text) + draw(st.sampled_from([0] * 6 + [-1, 1, -len(text), 1 << 20])))
    return Body(text + bytes(raw), headers)


def spoil(draw: st.DrawFn, head: Any) -> None:
    """Change one value somewhere in a JSON document, or take it away."""
    places: list[tuple[Any, Any]] = []
    waiting = [head]
    while waiting:
        found = waiting.pop()
        items = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
        for key, value in items:
            places.append((found, key))
            waiting.append(value)
    if places:
        inside, key = draw(st.sampled_from(range(len(places))).map(places.__getitem__))
        if draw(st.booleans()):
            inside[key] = draw(NASTY)
        else:
            del inside[key]


def spoil_bytes(draw: st.DrawFn, raw: bytearray) -> None:
    place = draw(st.integers(0, max(0, len(raw) - 1)))
    match draw(st.sampled_from(["change", "change", "cut", "grow"])):
        case "change" if raw:
            raw[place] = draw(st.integers(0, 255))
        case "cut":
            del raw[place : place + draw(st.integers(1, 4))]
        case _:
            raw[place:place] = draw(st.binary(min_size=1, max_size=4))


# ---- what a request means, by the letter --------------------------------------------------------------------------


def meant(model: LocalModel, sent: Body) -> Meant:
    """Raises (anything) for what has no meaning."""
    end = int(sent.headers.get(HEADER, len(sent.content)))
    assert 0 < end <= len(sent.content)
    head, raw = json.loads(sent.content[:end]), sent.content[end:]
    columns: dict[str, list[Any]] = {}
    for tensor in head["inputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            cells = flattened(tensor["data"])
        else:
            assert len(raw) >= size
            cells, raw = unpacked(tensor["datatype"], raw[:size]), raw[size:]
        columns |= named(model, tensor, cells)
    assert not raw
    counts = {len(cells) for cells in columns.values()}
    assert len(counts) == 1
    rows = [{name: cells[row] for name, cells in columns.items()} for row in range(counts.pop())]
    known = [output.name for output in model.manifest.outputs]
    return Meant(rows, [output["name"] for output in head.get("outputs", [])] or known)


def flattened(data: list[Any]) -> list[Any]:
    return [cell for row in data for cell in row] if isinstance(data[0], list) else data


def named(model: LocalModel, tensor: dict[str, Any], cells: list[Any]) -> dict[str, list[Any]]:
    """The cells of an input by feature, as the input holds them."""
    dtypes = {feature.name: feature.dtype for feature in model.manifest.inputs}
    takes = {name: ([name], dtype) for name, dtype in dtypes.items()}
    takes |= {one.name: (one.features, one.dtype) for one in model.manifest.tensors}
    features, dtype = takes[tensor["name"]]
    rows = tensor["shape"][0]
    assert tensor["shape"] in ([rows, len(features)], [rows] if len(features) == 1 else None)
    assert len(cells) == rows * len(features)
    held = [held_as(dtype, tensor["datatype"], cell) for cell in cells]
    return {name: [of_kind(dtypes[name], cell) for cell in held[n :: len(features)]] for n, name in enumerate(features)}


def held_as(dtype: str, datatype: str, cell: Any) -> Any:
    if dtype not in ("float32", "float64") or cell is None:
        assert cell is None or unpacked(datatype, packed(datatype, [cell])) == [cell]
        return cell
    if datatype == "FP32" and dtype == "float32":
        return cell
    exact = unpacked(datatype, packed(datatype, [cell]))[0]
    with np.errstate(over="ignore"):
        value = float(np.float64(exact).astype(dtype))
    assert value == exact or math.isnan(value)
    return value


def of_kind(dtype: str, cell: Any) -> Any:
    if dtype == "int64" and isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return {0: False, 1: True}.get(cell, cell) if dtype == "bool" else cell


def check(model: LocalModel, sent: Body, answered: httpx.Response) -> None:
    """Fails for a server error, a refusal without words, an answer to what has no meaning, and a wrong answer."""
    assert answered.status_code in (200, 400), answered.text
    if answered.status_code == 400:
        assert list(answered.json()) == ["error"]
        return
    wanted = meant(model, sent)
    tensors = tensors_of(answered)
    assert list(tensors) == wanted.outputs
    for name in wanted.outputs:
        assert [plain(cell) for cell in tensors[name]["data"]] == [
            plain(cell) for cell in local_answer(model, name, wanted)
        ]


def local_answer(model: LocalModel, output: str, wanted: Meant) -> list[Any]:
    if output == "probabilities":
        return [share for row in model.probabilities(wanted.rows) for share in row.values()]
    return list(model.predict(wanted.rows))


def plain(cell: Any) -> Any:
    """JSON has no word for what is not finite."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


ANY_MODEL = pytest.mark.parametrize("name", sorted(BUNDLES))
FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@ANY_MODEL
def test_a_right_request_is_answered_as_the_model_answers_locally(
    client: httpx.Client, local: dict[str, LocalModel], name: str
) -> None:
    answers = {200: 0, 400: 0}

    @FEW
    @given(right(local, name))
    def ask(sent: Body) -> None:
        answered = post(client, name, sent)
        check(local[name], sent, answered)
        if answered.status_code == 400:
            # What is refused has no meaning, or is not for the model.
            with pytest.raises((AssertionError, RowsRefused)):
                local[name].predict(meant(local[name], sent).rows)
        answers[answered.status_code] += 1

    ask()
    assert answers[200] > 0


@ANY_MODEL
def test_a_bent_request_is_refused_with_words_or_answered_rightly(
    client: httpx.Client, local: dict[str, LocalModel], name: str
) -> None:
    @MANY
    @given(right(local, name).flatmap(bent))
    def ask(sent: Body) -> None:
        check(local[name], sent, post(client, name, sent))

    ask()


@MANY
@given(st.sampled_from(sorted(BUNDLES)), st.binary(max_size=90), st.integers(0, 99))
def test_no_bytes_are_ever_a_server_error(client: httpx.Client, name: str, content: bytes, length: int) -> None:
    answered = post(client, name, Body(content, {HEADER: str(length)}))
    assert answered.status_code == 400
    assert list(answered.json()) == ["error"]


def test_an_answer_to_something_else_is_noticed(client: httpx.Client, local: dict[str, LocalModel]) -> None:
    """The control: were bytes read in another order, the check above would fail."""
    sent, other = (
        body(part("X", "FP32", [1, 3], cells, binary=True)) for cells in ([0.1, -0.3, 3.0], [3.0, -0.3, 0.1])
    )
    with pytest.raises(AssertionError):
        check(local["pump"], sent, post(client, "pump", other))
