"""A loaded model answers as it must, and one that cannot is refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from edge_agent.serve.inference import Predictor, trim_heap
from edge_agent.serve.selftest import GoldenResult, run_golden
from edgekit import bundle, golden, packing
from edgekit.errors import BundleError, DeviceFault
from tests.support.models import (
    expand_into,
    make_bundle,
    make_flag_bundle,
    make_mixed_bundle,
    make_text_bundle,
    probabilities,
)
from tests.support.serving import predictor_of


def golden_of(content: bytes) -> golden.Golden:
    return golden.decode_golden(packing.expand(bundle.parse(content), "golden"))


def self_test(content: bytes) -> GoldenResult:
    return run_golden(predictor_of(content), golden_of(content))


@pytest.mark.parametrize("make", [make_bundle, make_text_bundle, make_flag_bundle, make_mixed_bundle])
def test_an_honest_model_passes_its_golden_rows(make: Callable[[], bytes]) -> None:
    result = self_test(make())
    assert result.passed, result.detail
    assert result.rows >= 3
    assert result.max_abs < 1e-6


def test_a_model_that_answers_otherwise_fails_and_the_row_is_named() -> None:
    result = self_test(make_bundle(wrong_golden=True))
    assert (result.passed, result.worst_row) == (False, 0)
    assert result.detail == "golden row 0: label 0 instead of 1"


def test_numbers_beyond_the_tolerance_fail_and_those_within_do_not() -> None:
    predictor, rows = predictor_of(make_bundle(shift=0.01)), golden_of(make_bundle())
    assert not run_golden(predictor, rows).passed
    assert run_golden(predictor_of(make_bundle(shift=0.00001)), rows).passed


def test_golden_rows_that_the_model_refuses_fail() -> None:
    result = run_golden(predictor_of(make_bundle()), golden_of(make_mixed_bundle()))
    assert not result.passed
    assert "cannot be run" in str(result.detail)


def test_one_row_through_bound_buffers_answers_as_a_batch_does() -> None:
    predictor = predictor_of(make_bundle())
    rows = np.random.default_rng(7).normal(scale=2.0, size=(50, 3)).astype(np.float32)
    packed = [tuple(float(cell) for cell in row) for row in rows]
    singly = [predictor.run([row]) for row in packed]
    together = predictor.run(packed)
    assert [answers.predictions()[0] for answers in singly] == together.predictions()
    shares = np.array([answers.columns[1][0] for answers in singly])
    np.testing.assert_allclose(shares, np.array(together.columns[1]), atol=2e-7)
    np.testing.assert_allclose(shares, probabilities(rows), atol=1e-6)


def test_threads_do_not_mix_up_their_rows() -> None:
    predictor = predictor_of(make_bundle())
    rows = [(float(number), 0.0, -float(number)) for number in range(-4, 4)]
    expected = [predictor.run([row]).columns for row in rows]
    wrong: list[int] = []

    def ask(place: int) -> None:
        wrong.extend(place for _ in range(300) if predictor.run([rows[place]]).columns != expected[place])

    threads = [Thread(target=ask, args=(place,)) for place in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(("make", "label"), [(make_bundle, 0), (make_text_bundle, "idle"), (make_flag_bundle, False)])
def test_labels_come_in_the_type_of_their_classes(make: Callable[[], bytes], label: object) -> None:
    (given,) = predictor_of(make()).run([(0.0, 0.0, 0.0)]).predictions()
    assert given == label
    assert type(given) is type(label)


def test_classes_are_spelled_as_json_keys() -> None:
    answers = predictor_of(make_flag_bundle()).run([(0.0, 0.0, 0.0)])
    shares = answers.probabilities()
    assert shares is not None
    assert list(shares[0]) == ["false", "true"]


def test_how_long_a_run_takes_is_known_after_loading() -> None:
    predictor = predictor_of(make_bundle())
    assert 0 < predictor.run_us < predictor.expected_us(1_000_000)


def test_a_folder_without_a_model_is_a_device_fault(tmp_path: Path) -> None:
    folder = expand_into(make_bundle(), tmp_path)
    (folder / "model.onnx").unlink()
    with pytest.raises(DeviceFault, match="install it again"):
        Predictor.open(folder, sha256=folder.name)


@pytest.mark.parametrize(
    ("other", "reason"),
    [(b"not onnx at all", "model_unloadable"), (None, "model_mismatch")],
    ids=["garbage", "another"],
)
def test_a_model_that_is_not_the_manifests_is_refused(tmp_path: Path, other: bytes | None, reason: str) -> None:
    folder = expand_into(make_bundle(), tmp_path)
    mixed = packing.expand(bundle.parse(make_mixed_bundle()), "model")
    (folder / "model.onnx").write_bytes(mixed if other is None else other)
    with pytest.raises(BundleError) as error:
        Predictor.open(folder, sha256=folder.name)
    assert error.value.reason == reason


def test_a_broken_manifest_is_refused(tmp_path: Path) -> None:
    folder = expand_into(make_bundle(), tmp_path)
    (folder / "manifest.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Predictor.open(folder, sha256=folder.name)


def test_trimming_the_heap_is_harmless() -> None:
    trim_heap()
