"""The real `tritonclient`, HTTP flavour, unchanged, against a live agent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient import http as triton
from tritonclient.http import aio
from tritonclient.utils import InferenceServerException

from edge_agent import LocalModel
from tests.support.models import FEATURES, make_bundle, make_flag_bundle, make_mixed_bundle, make_text_bundle
from tests.support.serving import Live, serving

BUNDLES = {
    "pump": make_bundle(),
    "meter": make_mixed_bundle(),
    "alarm": make_flag_bundle(),
    "wear": make_text_bundle("wear"),
}
ROWS = [[0.1, -0.3, 3.0], [0.0, 0.0, 0.0], [-1.0, 2.0, 0.25]]
METERS: list[dict[str, Any]] = [
    {"temperature": 20.0, "cycles": 3, "mode": "eco", "running": True, "site": "Zürich"},
    {"temperature": -5.5, "cycles": -4, "mode": "boost", "running": False, "site": ""},
]
NUMPY = {"FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}
BINARY = pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serving(*BUNDLES.values(), configured=("pump", "later")) as live:
        yield live


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{live.port}", concurrency=4) as client:
        yield client


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LocalModel]:
    folder = tmp_path_factory.mktemp("bundles")
    return {name: opened(folder / f"{name}.edgekit", content) for name, content in BUNDLES.items()}


def opened(path: Path, content: bytes) -> LocalModel:
    path.write_bytes(content)
    return LocalModel.open(path)


def given(name: str, datatype: str, cells: Sequence[Sequence[object]], *, binary: bool = True) -> Any:
    """An input of a client: cells [rows, width]."""
    array: NDArray[Any] = np.array(cells, dtype=NUMPY[datatype])
    tensor = triton.InferInput(name, list(array.shape), datatype)
    return tensor.set_data_from_numpy(array, binary_data=binary)


def meters(*, binary: bool) -> list[Any]:
    """The meter's rows by the tensors of its graph, in another order than the graph's."""
    return [
        given("flags", "BOOL", [[row["running"]] for row in METERS], binary=binary),
        given("texts", "BYTES", [[row["mode"], row["site"]] for row in METERS], binary=binary),
        given("numbers", "FP32", [[row["temperature"]] for row in METERS], binary=binary),
        given("counts", "INT64", [[row["cycles"]] for row in METERS], binary=binary),
    ]


def test_the_server_tells_about_itself_and_its_models(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_model_ready("pump")
    assert client.is_model_ready("pump", "1.0.0")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("wear")
    assert [(tensor["name"], tensor["datatype"]) for tensor in metadata["outputs"]] == [
        ("label", "BYTES"),
        ("probabilities", "FP32"),
    ]


def test_what_is_not_served_is_not_ready(client: Any) -> None:
    assert not client.is_server_ready()  # "later" is configured and not there
    for name, version in (("later", ""), ("nobody", ""), ("pump", "2.0.0")):
        assert not client.is_model_ready(name, version)
    with (
        serving(BUNDLES["pump"], configured=("pump",)) as alone,
        triton.InferenceServerClient(f"127.0.0.1:{alone.port}") as other,
    ):
        assert other.is_server_ready()


@BINARY
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", ["pump", "alarm", "wear"])
def test_rows_get_the_answers_that_the_model_gives_locally(
    client: Any, local: dict[str, LocalModel], name: str, count: int, binary: bool
) -> None:
    result = client.infer(name, [given("X", "FP32", ROWS[:count], binary=binary)])
    labels = result.as_numpy("label").tolist()
    wanted = local[name].predict(ROWS[:count])
    assert [label.decode() if isinstance(label, bytes) else label for label in labels] == wanted
    assert [type(label) for label in labels] == [bytes if name == "wear" else type(label) for label in wanted]
    shares = [list(row.values()) for row in local[name].probabilities(ROWS[:count])]
    assert result.as_numpy("probabilities").tolist() == shares


@BINARY
def test_tensors_of_every_kind_are_read(client: Any, local: dict[str, LocalModel], binary: bool) -> None:
    result = client.infer("meter", meters(binary=binary), request_id="42")
    assert result.as_numpy("value").ravel().tolist() == local["meter"].predict(METERS)
    assert result.get_response()["id"] == "42"


@BINARY
def test_features_may_be_sent_one_by_one(client: Any, local: dict[str, LocalModel], binary: bool) -> None:
    inputs = [given(name, "FP32", [[row[place]] for row in ROWS], binary=binary) for place, name in enumerate(FEATURES)]
    assert client.infer("pump", inputs[::-1]).as_numpy("label").tolist() == local["pump"].predict(ROWS)


def test_only_the_outputs_asked_for_come_each_in_its_form(client: Any) -> None:
    outputs = [triton.InferRequestedOutput("probabilities"), triton.InferRequestedOutput("label", binary_data=False)]
    result = client.infer("wear", [given("X", "FP32", ROWS)], outputs=outputs)
    shares, label = result.get_response()["outputs"]
    assert shares["parameters"] == {"binary_data_size": 36}
    assert label["data"] == ["worn", "idle", "busy"]
    only = client.infer("wear", [given("X", "FP32", ROWS)], outputs=outputs[:1])
    assert only.as_numpy("label") is None


def test_many_requests_at_once_are_answered_each_for_itself(client: Any, local: dict[str, LocalModel]) -> None:
    asked = [client.async_infer("pump", [given("X", "FP32", [row])]) for row in ROWS * 4]
    answers = [handle.get_result(timeout=20).as_numpy("label").tolist() for handle in asked]
    assert answers == [[label] for label in local["pump"].predict(ROWS * 4)]


@BINARY
@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_read(client: Any, local: dict[str, LocalModel], algorithm: str, binary: bool) -> None:
    result = client.infer(
        "pump",
        [given("X", "FP32", ROWS, binary=binary)],
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert result.as_numpy("label").tolist() == local["pump"].predict(ROWS)


def test_the_example_of_the_page_runs(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs/open-inference.md").read_text()
    example = page.partition("```python\n")[2].partition("```")[0]
    assert "127.0.0.1:8700" in example
    exec(example.replace("127.0.0.1:8700", f"127.0.0.1:{live.port}"), {})
    assert capsys.readouterr().out == "[2]\n"


def test_a_version_is_answered_by_the_one_that_is_served(client: Any) -> None:
    result = client.infer("pump", [given("X", "FP32", ROWS)], model_version="1.0.0")
    assert result.get_response()["model_version"] == "1.0.0"


def test_the_asyncio_client_works_too(live: Live, local: dict[str, LocalModel]) -> None:
    async def ask() -> Any:
        async with aio.InferenceServerClient(f"127.0.0.1:{live.port}") as client:
            assert await client.is_server_live()
            return await client.infer("pump", [given("X", "FP32", ROWS)], request_compression_algorithm="gzip")

    assert asyncio.run(ask()).as_numpy("label").tolist() == local["pump"].predict(ROWS)


@BINARY
@pytest.mark.parametrize(
    ("model", "version", "inputs", "status", "words"),
    [
        ("pump", "9.0.0", [("X", "FP32", ROWS)], "404", "version '9.0.0' of pump is not being served: 1.0.0 is"),
        ("nobody", "", [("X", "FP32", ROWS)], "404", "no model 'nobody' is served here"),
        ("later", "", [("X", "FP32", ROWS)], "503", "no model is installed yet"),
        ("pump", "", [("Y", "FP32", ROWS)], "400", "no input is called 'Y'"),
        ("pump", "", [("X", "FP32", [[0, 0]])], "400", r"must have shape \[rows, 3\], not \[1, 2\]"),
        ("pump", "", [("X", "BYTES", [["a", "b", "c"]])], "400", "input 'X' is FP32, not 'BYTES'"),
        (
            "pump",
            "",
            [("X", "INT64", [[0, 0, 2**24 + 1]])],
            "400",
            "feature 'heat' is 16777217, which FP32 cannot hold",
        ),
        ("pump", "", [("X", "FP32", ROWS)] * 2, "400", "another input has given already"),
        ("meter", "", [("numbers", "FP32", [[1]]), ("flags", "BOOL", [[True]])], "400", "'cycles' is refused"),
        (
            "meter",
            "",
            [("mode", "BYTES", [["warm"]]), ("cycles", "INT64", [[1]]), ("running", "BOOL", [[True]])],
            "400",
            "feature 'mode' is refused .unknown_category: expected one of boost, eco",
        ),
    ],
)
def test_wrong_requests_raise_with_our_words(
    client: Any,
    binary: bool,
    model: str,
    version: str,
    inputs: list[tuple[str, str, list[list[object]]]],
    status: str,
    words: str,
) -> None:
    tensors = [given(*one, binary=binary) for one in inputs]
    with pytest.raises(InferenceServerException, match=words) as told:
        client.infer(model, tensors, model_version=version)
    assert told.value.status() == status


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "null: expected a number"), (np.inf, "not_finite"), (-np.inf, "not_finite")]
)
def test_a_number_that_is_none_raises_with_our_words(client: Any, value: float, words: str) -> None:
    with pytest.raises(InferenceServerException, match=f"row 1, feature 'flow' is refused .{words}"):
        client.infer("pump", [given("X", "FP32", [[0, 0, 0], [0, value, 0]])])


def test_texts_that_are_no_text_raise_with_our_words(client: Any) -> None:
    tensors = [given("mode", "BYTES", [[b"\xff\xfe"]])]
    with pytest.raises(InferenceServerException, match="text 0 is not UTF-8"):
        client.infer("meter", tensors)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda client: client.get_model_config("pump"), "inputs and outputs are told at /v2/models/pump"),
        (lambda client: client.get_inference_statistics("pump"), "read /metrics"),
        (lambda client: client.get_inference_statistics(), "read /metrics"),
        (lambda client: client.load_model("pump"), "they come as signed releases"),
        (lambda client: client.unload_model("pump"), "are not unloaded from here"),
        (lambda client: client.get_trace_settings(), "tracing is not offered"),
        (lambda client: client.get_trace_settings("pump"), "tracing is not offered"),
        (lambda client: client.get_log_settings(), "log is not steered"),
        (lambda client: client.update_log_settings({"log_info": True}), "log is not steered"),
        (lambda client: client.get_system_shared_memory_status(), "shared memory is not offered"),
        (lambda client: client.register_system_shared_memory("region", "/key", 8), "shared memory is not offered"),
        (lambda client: client.get_cuda_shared_memory_status(), "shared memory is not offered"),
    ],
)
def test_what_triton_offers_beyond_the_protocol_is_refused_with_the_reason(client: Any, call: Any, words: str) -> None:
    with pytest.raises(InferenceServerException, match=words) as told:
        call(client)
    assert told.value.status() == "501"


def test_the_index_tells_what_is_served_and_what_is_awaited(client: Any) -> None:
    index = client.get_model_repository_index()
    assert [line["name"] for line in index] == ["alarm", "meter", "pump", "wear", "later"]
    assert index[2] == {"name": "pump", "version": "1.0.0", "state": "READY", "reason": ""}
    assert index[4] == {"name": "later", "state": "UNAVAILABLE", "reason": "not installed yet"}


def test_an_extension_that_would_change_the_answer_is_not_left_out_in_silence(client: Any) -> None:
    tensors = [given("X", "FP32", ROWS)]
    with pytest.raises(InferenceServerException, match="classification extension is not offered"):
        client.infer("pump", tensors, outputs=[triton.InferRequestedOutput("probabilities", class_count=2)])
    tensors[0].set_shared_memory("region", 36)
    with pytest.raises(InferenceServerException, match="shared memory is not offered"):
        client.infer("pump", tensors)
