"""The Open Inference Protocol byte by byte: what a binary request may look like, and what is said to any other one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.models import make_bundle, make_counter_bundle, make_mixed_bundle
from tests.support.serving import Live, serving
from tests.support.v2 import HEADER, Body, Part, body, part, post, tensors_of

ROW = [0.1, -0.3, 3.0]
OCTETS = "application/octet-stream"


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    bundles = make_bundle(), make_mixed_bundle(), make_counter_bundle(), make_counter_bundle("precise", dtype="float64")
    with serving(*bundles) as live:
        yield live


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url) as client:
        yield client


def pump(cells: Any = ROW, *, datatype: str = "FP32", binary: bool = True) -> Part:
    return part("X", datatype, [len(cells) // 3, 3], cells, binary=binary)


def raw_pump(raw: bytes, **changes: Any) -> Body:
    """A binary request whose description says what `changes` say, and not what is there."""
    described = {**pump().described, "parameters": {"binary_data_size": len(raw)}, **changes}
    return body(Part(described, raw))


def error_of(answered: httpx.Response, status: int = 400) -> str:
    assert (answered.status_code, list(answered.json())) == (status, ["error"]), answered.text
    return str(answered.json()["error"])


# ---- what is answered ---------------------------------------------------------------------------------------------


BINARY = pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])


@BINARY
@pytest.mark.parametrize("as_binary", [True, False], ids=["to binary", "to json"])
def test_both_forms_mean_the_same(client: httpx.Client, binary: bool, as_binary: bool) -> None:
    answered = post(client, "pump", body(pump(binary=binary), parameters={"binary_data_output": as_binary}))
    assert answered.headers["content-type"] == (OCTETS if as_binary else "application/json")
    label, shares = tensors_of(answered).values()
    assert label == {"name": "label", "datatype": "INT64", "shape": [1], "data": [2]}
    assert sum(shares["data"]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "datatype",
    ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64"],
)
def test_numbers_of_any_datatype_are_taken_where_nothing_is_lost(client: httpx.Client, datatype: str) -> None:
    cells = [1, 2 if datatype[0] == "U" else -2, 0]
    wanted = tensors_of(post(client, "pump", body(pump(cells))))
    assert tensors_of(post(client, "pump", body(pump(cells, datatype=datatype)))) == wanted


def test_a_single_output_may_differ_from_the_rest(client: httpx.Client) -> None:
    outputs = [{"name": "probabilities", "parameters": {"binary_data": False}}, {"name": "label"}]
    answered = post(client, "pump", body(pump(), outputs=outputs, parameters={"binary_data_output": True}))
    shares, label = json.loads(answered.content[: int(answered.headers[HEADER])])["outputs"]
    assert (len(shares["data"]), label["parameters"]) == (3, {"binary_data_size": 8})


def test_binary_and_json_inputs_may_be_mixed_in_any_order(client: httpx.Client) -> None:
    parts = [
        part("running", "BOOL", [1, 1], [True], binary=True),
        part("temperature", "FP32", [1], [20.0], binary=False),
        part("texts", "BYTES", [1, 2], ["eco", "ü" * 3], binary=True),
        part("cycles", "INT16", [1, 1], [3], binary=True),
    ]
    assert tensors_of(post(client, "meter", body(*parts)))["value"]["data"] == [54.0]


def test_a_missing_number_is_null_or_nan(client: httpx.Client) -> None:
    others = [
        part("cycles", "INT64", [2], [3, 3], binary=True),
        part("mode", "BYTES", [2], ["eco", "eco"], binary=False),
        part("running", "BOOL", [2], [False, True], binary=False),
    ]
    as_null = part("temperature", "FP32", [2], [None, 1.0], binary=False)
    as_nan = part("temperature", "FP32", [2], [math.nan, 1.0], binary=True)
    answers = [tensors_of(post(client, "meter", body(one, *others))) for one in (as_null, as_nan)]
    assert answers[0]["value"]["data"] == [104.0, 116.0]
    assert answers[0] == answers[1]


@BINARY
def test_whole_floats_stand_for_integers_and_flags_in_a_tensor_of_floats(client: httpx.Client, binary: bool) -> None:
    sent = part("X", "FP32", [2, 3], [0.5, 2.0, 1.0, 0.5, -3.0, 0.0], binary=binary)
    assert tensors_of(post(client, "counter", body(sent)))["value"]["data"] == [3.5, -2.5]
    for cells, name in (([0.5, 2.5, 1.0], "count"), ([0.5, 2.0, 0.5], "open"), ([0.5, math.nan, 1.0], "count")):
        refused = post(client, "counter", body(part("X", "FP32", [1, 3], cells, binary=True)))
        assert f"feature {name!r} is refused (" in error_of(refused)


@BINARY
@pytest.mark.parametrize(("datatype", "level"), [("FP32", 0.10000000149011612), ("FP64", 0.1), ("INT32", 16777217)])
def test_a_number_means_what_its_datatype_can_hold(
    client: httpx.Client, binary: bool, datatype: str, level: float
) -> None:
    sent = round(level, 1)
    asked = part("X", datatype, [1, 3], [sent if datatype[0] == "F" else level, 0, 0], binary=binary)
    assert tensors_of(post(client, "precise", body(asked)))["value"]["data"] == [level]


def test_an_integer_that_no_float_holds_is_refused_not_rounded(client: httpx.Client) -> None:
    sent = part("X", "INT64", [1, 3], [(1 << 53) + 1, 0, 0], binary=True)
    assert "feature 'level' is 9007199254740993, which FP64 cannot hold" in error_of(
        post(client, "precise", body(sent))
    )


def test_parameters_that_mean_nothing_here_are_left_alone(client: httpx.Client) -> None:
    sent = body(pump(), parameters={"priority": 1, "sequence_id": 7, "mine": "x"}, model_name="pump", more=[1])
    assert tensors_of(post(client, "pump", sent))["label"]["data"] == [2]


def test_a_large_binary_request_is_answered_from_a_thread(client: httpx.Client) -> None:
    assert tensors_of(post(client, "pump", body(pump(ROW * 20_000))))["label"]["data"] == [2] * 20_000


def test_the_length_of_the_json_object_may_be_told_without_binary_data(client: httpx.Client) -> None:
    plain = body(pump(binary=False))
    sent = Body(plain.content, {**plain.headers, HEADER: str(len(plain.content))})
    assert post(client, "pump", sent).status_code == 200


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "words"),
    [
        ("-1", "must be a number of bytes"),
        ("+1", "must be a number of bytes"),
        ("many", "must be a number of bytes"),
        ("9" * 13, "must be a number of bytes"),
        ("", "must be a number of bytes"),
        ("0", "says 0"),
        ("99999", "says 99999, but the body has"),
        ("5", "not an inference request"),
    ],
)
def test_a_wrong_length_of_the_json_object_is_refused(client: httpx.Client, length: str, words: str) -> None:
    sent = body(pump())
    assert words in error_of(post(client, "pump", Body(sent.content, {**sent.headers, HEADER: length})))


def test_binary_data_without_the_header_are_refused(client: httpx.Client) -> None:
    described = json.dumps({"inputs": [pump().described]}).encode()
    assert f"the header {HEADER} is missing" in error_of(post(client, "pump", Body(described)))


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (raw_pump(bytes(12), parameters={"binary_data_size": 13}), "has 13 bytes of binary data, 12 are left"),
        (raw_pump(bytes(12), parameters={"binary_data_size": 11}), "1 bytes follow the binary data"),
        (raw_pump(bytes(12), parameters={"binary_data_size": 1 << 62}), "12 are left"),
        (raw_pump(bytes(12), parameters={"binary_data_size": -12}), "must be a number of bytes"),
        (raw_pump(bytes(12), parameters={"binary_data_size": 12.0}), "must be a number of bytes"),
        (raw_pump(bytes(12), parameters={"binary_data_size": True}), "must be a number of bytes"),
        (raw_pump(bytes(12), parameters={}), "has no data"),
        (raw_pump(bytes(12), data=[0, 0, 0]), "send one of them"),
        (raw_pump(bytes(8)), "has 8 bytes of binary data, shape and datatype say 12"),
        (raw_pump(b""), "has 0 bytes of binary data, shape and datatype say 12"),
        (raw_pump(bytes(12), datatype="FP64"), "shape and datatype say 24"),
        (raw_pump(bytes(12), datatype="BF16"), "is FP32, not 'BF16'"),
        (raw_pump(bytes(12), shape=[2, 3]), "shape and datatype say 24"),
        (raw_pump(bytes(12), shape=[-1, 3]), "must have shape [rows, 3]"),
        (raw_pump(bytes(12), shape=[1 << 62, 3]), "shape and datatype say"),
        (raw_pump(b"", shape=[0, 3]), "must have shape [rows, 3]"),
        (raw_pump(bytes(12), shape=[1 << 64, 3]), "not an inference request"),
        (raw_pump(bytes(12), shape=[1.5, 3]), "not an inference request"),
        (raw_pump(bytes(12), shape=[3]), "must have shape [rows, 3]"),
        (raw_pump(bytes(12), shape=[1, 1, 3]), "must have shape [rows, 3]"),
        (body(pump([0.1, 0, 0], datatype="FP64")), "feature 'pressure' is 0.1, which FP32 cannot hold exactly"),
        (body(pump([0.1, 0, 0], datatype="FP64", binary=False)), "which FP32 cannot hold exactly"),
        (body(pump([1e300, 0, 0], datatype="FP64")), "which FP32 cannot hold exactly"),
        (body(pump([0, 0, (1 << 24) + 1], datatype="INT32")), "16777217"),
        (body(pump([math.nan, 0, 0])), "feature 'pressure' is refused (null: expected a number, got nan)"),
        (body(pump([0, -math.inf, 0])), "feature 'flow' is refused (not_finite"),
        (body(pump([0, 0, 300], datatype="UINT8", binary=False)), "300 does not fit in UINT8"),
        (body(pump([0, 0, 0.5], datatype="INT8", binary=False)), "value 2 must be an integer, not 0.5"),
        (body(pump([0, 0, True], binary=False)), "value 2 must be a number, not true"),
        (body(pump([0, 0, 10**400], binary=False)), "feature 'heat' is refused (not_finite"),
        (body(pump([0, 0, 10**400], datatype="FP64", binary=False)), "which FP32 cannot hold"),
        (body(pump(datatype="FP16", binary=False)), "FP16 has no JSON form"),
        (body(pump(), pump()), "another input has given already"),
        (body(pump(), outputs=[{"name": "label"}, {"name": "label"}]), "'label' is asked for twice"),
        (body(pump(), outputs=[{"name": "label", "parameters": {"binary_data": 1}}]), "must be true or false"),
        (body(pump(), parameters={"binary_data_output": "yes"}), "the request: binary_data_output must be true"),
        (body(pump(), parameters=[]), "not an inference request"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(client: httpx.Client, sent: Body, words: str) -> None:
    assert words in error_of(post(client, "pump", sent))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\x06\0\0\0ecoeco", "has 1 texts in its binary data, its shape says 2"),
        (b"\x03\0\0\0eco\x01\0\0", "ends within the length of text 1"),
        (b"\x03\0\0\0eco\xff\xff\xff\xff", "text 1 should be 4294967295 bytes, 0 are left"),
        (b"\x03\0\0\0eco\0\0\0\0\0\0\0\0", "more texts in its binary data than its shape says, which is 2"),
        (b"\x03\0\0\0eco\x02\0\0\0\xc3\x28", "text 1 is not UTF-8"),
        (b"\x03\0\0\0eco\x03\0\0\0\xed\xa0\x80", "text 1 is not UTF-8"),
        (b"\x03\0\0\0", "has 4 bytes of binary data, shape and datatype say at least 8"),
    ],
)
def test_texts_that_do_not_add_up_are_refused(client: httpx.Client, raw: bytes, words: str) -> None:
    described = {"name": "texts", "datatype": "BYTES", "shape": [1, 2], "parameters": {"binary_data_size": len(raw)}}
    others = [part("cycles", "INT64", [1], [1], binary=False), part("running", "BOOL", [1], [True], binary=False)]
    assert words in error_of(post(client, "meter", body(Part(described, raw), *others)))


def test_a_flag_is_one_byte_of_0_or_1(client: httpx.Client) -> None:
    described = {"name": "running", "datatype": "BOOL", "shape": [2], "parameters": {"binary_data_size": 2}}
    refused = post(client, "meter", body(Part(described, b"\x01\x02")))
    assert "a BOOL is one byte of 0 or 1, not 2" in error_of(refused)


# ---- paths, types of content, encodings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Content-Type": OCTETS}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Origin": "https://somewhere.example"}, 415),
        ({"Origin": "https://somewhere.example", "Content-Type": "application/json"}, 200),
    ],
)
def test_no_web_page_can_ask_without_being_asked_first(
    client: httpx.Client, headers: dict[str, str], status: int
) -> None:
    assert post(client, "pump", Body(body(pump(binary=False)).content, headers)).status_code == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/pump/versions/1.0.0", 200),
        ("/v2/models/pump/versions/1.0", 404),
        ("/v2/models/pump/versions/1.0.0/ready", 200),
        ("/v2/models/pump/versions", 404),
        ("/v2/models/pump/more", 404),
        ("/v2/models/nobody/config", 501),
        ("/v2/models", 404),
        ("/v2/nothing", 404),
        ("/v2/config", 404),
        ("/v2/models/pump/infer", 405),
    ],
)
def test_a_path_is_known_or_refused_in_the_protocols_form(client: httpx.Client, path: str, status: int) -> None:
    answered = client.get(path)
    assert answered.status_code == status
    assert status == 200 or list(answered.json()) == ["error"]


def test_the_document_tells_both_forms(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/v2/models/meter/infer", "/v2/models/meter/versions/1.0.0/infer"):
        infer = paths[path]["post"]
        assert set(infer["requestBody"]["content"]) == {"application/json", OCTETS}
        assert set(infer["responses"]["200"]["content"]) == {"application/json", OCTETS}
        inputs = infer["requestBody"]["content"]["application/json"]["schema"]["properties"]["inputs"]
        assert "texts BYTES [rows, 2]" in inputs["description"]
        assert [one["name"] for one in infer["parameters"]] == [HEADER]
