"""`manifest.json`: what a bundle holds, what its model takes and gives, and what was measured about it.

This module knows the manifest's fields and their rules; `edgekit.bundle` knows the container. Unknown fields are
ignored when read, so that an older agent reads a newer bundle of the same schema.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgekit.errors import BundleError
from edgekit.names import is_id, is_sha256, is_version

SCHEMA = "edgekit.bundle/1"
MAX_MANIFEST_BYTES = 1 << 20
MAX_FEATURES = 10_000

Task = Literal["binary", "multiclass", "regression", "multioutput", "anomaly", "clustering", "transformation"]
Dtype = Literal["float32", "float64", "int64", "string", "bool"]
OutputRole = Literal["label", "probabilities", "value", "score"]
FileRole = Literal["model", "golden", "reference"]
Encoding = Literal["stored", "zstd", "columns"]
ClassValue = str | int | bool | float
Missing = Literal["error", "nan", "empty"]


class Feature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One named input of the model, as a client sends it.

    `nullable`: JSON null (or an absent value) is allowed and reaches the model as `missing` says: `nan` (floats) or
    `empty` (the empty string). `range`: smallest and largest value seen in the training rows. `categories`: the values
    seen, for string and integer categories; `closed`: a value outside them is refused instead of passed on.
    `refuses_empty`: the empty text is refused, because it stands for a missing one here, which the source model takes
    for something else.
    """

    name: str
    dtype: Dtype
    nullable: bool = False
    missing: Missing = "error"
    range: tuple[float, float] | None = None
    categories: list[str | int] | None = None
    closed: bool = False
    refuses_empty: bool = False
    unit: str | None = None


class Tensor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input tensor of the ONNX graph, shape [rows, len(features)], columns in the order of `features`."""

    name: str
    dtype: Dtype
    features: list[str]


class Output(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One output tensor of the ONNX graph: `label` [rows], `probabilities` [rows, classes], `value`/`score` [rows, k].

    `classes`: for `label` and `probabilities`, the class values in the order of the probability columns.
    `target_classes`: instead of `classes`, where the model answers several targets: the class values of each target in
    order. `label` is then [rows, targets] and `probabilities` [rows, classes of all targets], target after target.
    """

    name: str
    role: OutputRole
    dtype: Dtype
    width: int = 1
    classes: list[ClassValue] | None = None
    target_classes: list[list[ClassValue]] | None = None


class Onnx(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Versions the expanded model declares: IR version and operator sets by domain (`""` is ai.onnx)."""

    ir_version: int
    opsets: dict[str, int]
    producer: str = ""


class Requires(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a device must offer: onnxruntime in [`onnxruntime_min`, next major), one of `arch`, memory and disk."""

    onnxruntime_min: str
    arch: list[str]
    free_memory_bytes: int
    free_disk_bytes: int


class Measured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Measured on `host` in a fresh process: the record that `convert --measured` replays for an identical rebuild.

    `load_peak_bytes`: growth of peak resident memory by loading and one prediction. Latencies are of one row.
    """

    created: str
    host: str
    load_peak_bytes: int
    p50_us: float
    p99_us: float
    onnxruntime: str
    zstd: str


class Parity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the expanded model agrees with the source model on rows that chose nothing."""

    rows: int
    label_changes: int
    max_abs_difference: float
    max_relative_difference: float
    max_label_change: float


class Quality(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A quality figure on held-out rows with known targets, before and after conversion."""

    metric: str
    rows: int
    source: float
    converted: float


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the bundle beside the manifest: as stored, and as it expands."""

    path: str
    role: FileRole
    encoding: Encoding
    bytes: int
    sha256: str
    expanded_bytes: int
    expanded_sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole manifest. `source` holds versions and names of where the model came from, for people and reports."""

    schema: str
    name: str
    version: str
    created: str
    task: Task
    inputs: list[Feature]
    tensors: list[Tensor]
    outputs: list[Output]
    onnx: Onnx
    requires: Requires
    measured: Measured
    parity: Parity
    plan: str
    files: list[File]
    quality: list[Quality] = []
    source: dict[str, str] = {}

    def file(self, role: FileRole) -> File:
        """The entry with that role. Every valid manifest has exactly one of each."""
        return next(file for file in self.files if file.role == role)


_DECODER = msgspec.json.Decoder(Manifest)
_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(manifest: Manifest) -> bytes:
    """Canonical JSON: sorted keys, no spaces, a newline at the end; equal manifests give equal bytes."""
    return _ENCODER.encode(manifest) + b"\n"


def decode(content: bytes) -> Manifest:
    """Parse and check `manifest.json`. Raises BundleError saying which field is wrong and how."""
    if len(content) > MAX_MANIFEST_BYTES:
        raise BundleError("manifest.json is too large: the bundle was not made by edgekit", reason="manifest_too_large")
    try:
        manifest = _DECODER.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(
            f"manifest.json is not readable ({error}): make the bundle again", reason="manifest_malformed"
        ) from error
    problem = _first_problem(manifest)
    if problem is not None:
        raise BundleError(f"manifest.json is not valid: {problem}", reason="manifest_malformed")
    return manifest


def _first_problem(manifest: Manifest) -> str | None:
    checks: list[tuple[bool, str]] = [
        (manifest.schema == SCHEMA, f"schema is {manifest.schema[:60]!r}, this edgekit reads {SCHEMA!r}"),
        (is_id(manifest.name), f"name {manifest.name[:80]!r} is not an id"),
        (is_version(manifest.version), f"version {manifest.version[:80]!r} is not a semantic version"),
        (0 < len(manifest.inputs) <= MAX_FEATURES, f"it has {len(manifest.inputs)} inputs"),
        (_unique(feature.name for feature in manifest.inputs), "two inputs share a name"),
        (_unique(tensor.name for tensor in manifest.tensors), "two tensors share a name"),
        (_unique(file.path for file in manifest.files), "two files share a path"),
        (_tensors_cover_inputs(manifest), "the tensors do not take every input exactly once"),
        (len(manifest.outputs) > 0, "it has no outputs"),
        (all(map(_targets_fit, manifest.outputs)), "an output is not as wide as the classes of its targets say"),
        (
            sorted(file.role for file in manifest.files) == ["golden", "model", "reference"],
            "files must be one model, one golden and one reference",
        ),
    ]
    checks += [(_file_is_sane(file), f"file entry {file.path[:80]!r} is not sane") for file in manifest.files]
    return next((text for holds, text in checks if not holds), None)


def _unique(items: Any) -> bool:
    values = list(items)
    return len(values) == len(set(values))


def _targets_fit(output: Output) -> bool:
    targets = output.target_classes
    if targets is None:
        return True
    widths = {"label": len(targets), "probabilities": sum(map(len, targets))}
    return len(targets) > 0 and output.classes is None and widths.get(output.role) == output.width


def _tensors_cover_inputs(manifest: Manifest) -> bool:
    taken = [feature for tensor in manifest.tensors for feature in tensor.features]
    return sorted(taken) == sorted(feature.name for feature in manifest.inputs)


def _file_is_sane(file: File) -> bool:
    plain_name = file.path == file.path.strip() and file.path.isascii() and "/" not in file.path
    safe_name = plain_name and not file.path.startswith(".") and file.path != "manifest.json"
    sizes = file.bytes >= 0 and file.expanded_bytes >= 0
    return safe_name and sizes and is_sha256(file.sha256) and is_sha256(file.expanded_sha256)
