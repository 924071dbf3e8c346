"""What was packed expands to the same bytes, in bounds, and nothing else gets past `BundleError`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgekit import wire
from edgekit.errors import BundleError
from edgekit.manifest import Encoding
from edgekit.wire import columns, layout, reals, texts, thresholds, whole
from edgekit.wire.grid import find_grid
from edgekit.wire.streams import Source, varint
from tests.support.forests import onnx_file

GOLDEN = Path(__file__).parents[1] / "golden"
SEEDS = range(6)
FILES = [
    onnx_file(np.random.default_rng(seed), trees=1 + 3 * seed, kind=(np.float32, np.float64)[seed % 2])
    for seed in SEEDS
]
PACKED = [columns.encode(content) or b"" for content in FILES]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_forest_with_weights_and_words_comes_back_byte_for_byte(seed: int) -> None:
    encoding, stored = wire.compress(FILES[seed])
    assert encoding == "columns"
    assert len(stored) < len(zstandard.ZstdCompressor(level=19).compress(FILES[seed]))
    assert wire.expand(stored, encoding, len(FILES[seed])) == FILES[seed]


@pytest.mark.parametrize("encoding", ["stored", "zstd", "columns"])
def test_yesterday_s_bytes_expand_to_the_file_of_then(encoding: Encoding) -> None:
    expected = (GOLDEN / "wire.stored").read_bytes()
    assert wire.expand((GOLDEN / f"wire.{encoding}").read_bytes(), encoding, len(expected)) == expected


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32), trees=st.integers(1, 12), splits=st.integers(1, 40))
def test_any_forest_comes_back(seed: int, trees: int, splits: int) -> None:
    content = onnx_file(np.random.default_rng(seed), trees, splits)
    packed = columns.encode(content)
    assert packed is not None
    assert columns.decode(packed, len(content)) == content


WHOLE = arrays.arrays(np.int64, st.integers(0, 60), elements=st.integers(-(1 << 63), (1 << 63) - 1))
SMALL = arrays.arrays(np.int64, st.integers(0, 200), elements=st.integers(-3, 20))
RISING = SMALL.map(lambda values: np.cumsum(np.abs(values)))
FIRST_SEEN = SMALL.map(lambda values: np.unique(values, return_inverse=True)[1].astype(np.int64))


@settings(max_examples=50, deadline=None)
@given(values=WHOLE | SMALL | RISING | FIRST_SEEN)
def test_any_whole_numbers_come_back(values: np.ndarray) -> None:
    assert whole.decode(Source(whole.encode(values).render()), len(values)).tolist() == values.tolist()
    for candidate in whole._candidates(values) if len(values) else ():
        assert whole.decode(Source(candidate.render()), len(values)).tolist() == values.tolist()


def _bit_patterns(kind: str) -> st.SearchStrategy[np.ndarray]:
    width = int(kind[2])
    patterns = arrays.arrays(f"<u{width}", st.integers(1, 60)).map(lambda values: values.view(kind))
    rounded = arrays.arrays(np.int64, st.integers(1, 80), elements=st.integers(-900, 900)).map(
        lambda values: (values / 20).astype(kind)
    )
    return patterns | rounded


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_floating_numbers_come_back_bit_for_bit(kind: str, data: st.DataObject) -> None:
    values = data.draw(_bit_patterns(kind))
    for coded in [reals.encode(values), *reals._simple(values)]:
        assert reals.decode(Source(coded.render()), len(values), kind).tobytes() == values.tobytes()


@settings(max_examples=40, deadline=None)
@given(words=st.lists(st.binary(max_size=20)), ordered=st.booleans())
def test_any_texts_come_back(words: list[bytes], ordered: bool) -> None:
    words = sorted(words) if ordered else words
    assert texts.decode(Source(texts.encode(words).render()), len(words), 10_000) == words


@settings(max_examples=40, deadline=None)
@given(values=WHOLE.filter(len))
def test_varints_are_those_of_protobuf_and_are_read_back(values: np.ndarray) -> None:
    content = b"".join(layout.varints(values))
    assert content == b"".join(varint(value % (1 << 64)) for value in values.tolist())
    assert layout.read_varints(content).tolist() == values.tolist()


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_quantised_weights_are_found_to_be_multiples_of_their_scales(axis: int | None) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(30, 20)).astype(np.float32)
    scales = np.abs(weights).max(axis=axis, keepdims=True) / np.float32(127)
    quantised = np.rint(weights / scales).astype(np.int64).astype(np.float32) * scales
    grid = find_grid(quantised.reshape(-1), quantised.shape)
    assert grid is not None
    assert len(grid.scales) == {None: 1, 0: 20, 1: 30}[axis]
    assert len(reals.encode(quantised.reshape(-1), quantised.shape).render()) < quantised.nbytes / 3
    assert find_grid(weights.reshape(-1), weights.shape) is None


def test_a_file_that_writes_numbers_in_a_longer_form_travels_as_one_frame() -> None:
    """The broken control of the check that columns expand to the same bytes."""
    packed = b"\x80\x00" + b"".join(layout.varints(np.arange(200)))
    attribute = b"\x0a\x04list" + b"\x42" + varint(len(packed)) + packed
    node = b"\x2a" + varint(len(attribute)) + attribute
    graph = b"\x0a" + varint(len(node)) + node
    content = b"\x3a" + varint(len(graph)) + graph
    in_columns = columns.encode(content)
    assert in_columns is not None
    with pytest.raises(BundleError, match=r"malformed|bytes instead"):
        wire.expand(in_columns, "columns", len(content))
    encoding, stored = wire.compress(content)
    assert encoding == "zstd"
    assert wire.expand(stored, encoding, len(content)) == content


def test_numbers_at_the_end_of_their_range_come_back() -> None:
    values = np.repeat(np.array([3.4028235e38, -3.4028235e38, 0.5], dtype="<f4"), 20)
    assert reals.decode(Source(reals.encode(values).render()), 60, "<f4").tobytes() == values.tobytes()


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_can_be_packed(content: bytes) -> None:
    encoding, stored = wire.compress(content)
    assert wire.expand(stored, encoding, len(content)) == content


def _accepts(stored: bytes, encoding: Encoding, size: int) -> bool:
    try:
        return len(wire.expand(stored, encoding, size)) == size
    except BundleError:
        return False


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=300), size=st.integers(-1, 5000))
def test_bytes_that_nobody_packed_raise_nothing_but_bundle_errors(content: bytes, size: int) -> None:
    for encoding in ("zstd", "columns"):
        _accepts(content, encoding, size)
    _accepts(columns.MAGIC + content, "columns", size)


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_encodings_raise_nothing_but_bundle_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, found = len(FILES[seed]), 0
    for _ in range(250):
        damaged = _damaged(rng, bytearray(PACKED[seed]))
        found += not _accepts(damaged, "columns", size)
    assert found > 80, "much damage is noticed before the digest is looked at"


def test_damage_inside_the_streams_raises_nothing_but_bundle_errors() -> None:
    """The same without compression, whose own checks would otherwise hide the columns' from the damage."""
    packed = columns.encode(FILES[2], level=0) or b""
    assert columns.decode(packed, len(FILES[2])) == FILES[2]
    rng = np.random.default_rng(9)
    outcomes = {_accepts(_damaged(rng, bytearray(packed)), "columns", len(FILES[2])) for _ in range(1500)}
    assert outcomes == {True, False}


def _damaged(rng: np.random.Generator, content: bytearray) -> bytes:
    how, at = int(rng.integers(4)), int(rng.integers(len(content)))
    if how == 0:
        content[at] ^= 1 << int(rng.integers(8))
    elif how == 1:
        del content[at:]
    elif how == 2:
        other = PACKED[int(rng.integers(len(PACKED)))]
        start = int(rng.integers(len(other)))
        content[at : at + 40] = other[start : start + 40]
    else:
        content[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
    return bytes(content)


def test_a_negative_zero_among_multiples_of_a_scale_comes_back() -> None:
    values = np.arange(-20, 20, dtype=np.float32) * np.float32(0.3)
    values[20] = -0.0
    found = reals.decode(Source(reals.encode(values).render()), len(values), "<f4")
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
def test_multiples_of_a_small_power_of_two_are_kept_as_whole_numbers(kind: str) -> None:
    whole = np.random.default_rng(0).integers(-500, 500, 2000)
    values = (whole * 2.0**-13).astype(kind)
    packed = reals.encode(values).render()
    assert reals.decode(Source(packed), len(values), kind).tobytes() == values.tobytes()
    assert len(packed) < 1.4 * len(values)


@pytest.mark.parametrize("largest", [3, 200, 60_000, 70_000, (1 << 31) - 1])
@pytest.mark.parametrize("nodes", [1, 500, 70_000])
def test_thresholds_come_back_however_far_the_numbers_of_features_reach(largest: int, nodes: int) -> None:
    rng = np.random.default_rng(nodes)
    features = np.minimum(rng.choice([0, 1, 7, largest // 2, largest], nodes), largest)
    splits = np.where(features > 1, rng.integers(0, 20, nodes) / 2, rng.normal(size=nodes)).astype("<f4")
    source = Source(thresholds.encode(features, splits).render(level=1))
    assert thresholds.decode(source, features, "<f4").tobytes() == splits.tobytes()
    assert source.ended


def test_a_feature_below_zero_is_refused() -> None:
    with pytest.raises(BundleError, match="past the end"):
        thresholds.decode(Source(b""), np.array([3, -1]), "<f4")
