"""Makes bad releases on purpose, from an honest bundle, to show that a fleet survives them.

    python examples/bad_release.py HONEST.edgekit --kind wrong-answers --model-version 1.2.0 -o BAD.edgekit
    python examples/bad_release.py HONEST.edgekit --kind crash --model-version 1.3.0 --rows heldout.csv -o BAD.edgekit

`edgekit convert` cannot make either: every digest in them is right and they can be signed.

- `wrong-answers`: the classes are swapped in the model. Only running the golden rows finds it.
- `crash`: all golden rows are answered right; an ordinary value of one feature, which no golden row has, kills the
  process that serves the model. It divides the smallest int32 by -1, which onnxruntime hands to the processor: x86-64
  answers with SIGFPE. An aarch64 processor does not trap; there this kind is refused.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pandas as pd
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgekit import bundle as bundles
from edgekit import packing
from edgekit.bundle import Bundle
from edgekit.errors import EdgekitError, UsageFault
from edgekit.golden import Golden, decode_golden
from edgekit.manifest import FileRole, Manifest, Output
from edgekit.names import check_version

DEFAULT_ROWS = Path(__file__).parent / "data" / "shuttle.csv.gz"
CRASHING_MACHINES = ("x86_64", "AMD64")


@dataclass(frozen=True)
class Trigger:
    """The crash happens for rows in which `feature` equals `value`; `rows` of the rows looked at do."""

    feature: str
    value: float
    rows: int


def swap_classes(model: ModelProto, manifest: Manifest) -> None:
    """Reverse the order of the probabilities, and answer with the label that then is the likeliest."""
    label, probabilities = _output(manifest, "label"), _output(manifest, "probabilities")
    classes = probabilities.classes or []
    honest = _rename_output(model, probabilities.name)
    _rename_output(model, label.name)
    values = np.array(classes, dtype=object if label.dtype == "string" else label.dtype)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.arange(len(classes))[::-1].astype(np.int64), "bad_order"),
            numpy_helper.from_array(values, "bad_classes"),
        ]
    )
    model.graph.node.extend(
        [
            helper.make_node("Gather", [honest, "bad_order"], [probabilities.name], axis=1),
            helper.make_node("ArgMax", [probabilities.name], ["bad_best"], axis=1, keepdims=0),
            helper.make_node("Gather", ["bad_classes", "bad_best"], [label.name], axis=0),
        ]
    )


def choose_trigger(rows: pd.DataFrame, manifest: Manifest, golden: Golden) -> Trigger:
    """The commonest value of a numeric feature that no golden row has. Raises UsageFault when there is none."""
    best: Trigger | None = None
    for feature in manifest.inputs:
        if feature.dtype not in ("float32", "float64", "int64") or feature.name not in rows:
            continue
        place = golden.features.index(feature.name)
        known = {row[place] for row in golden.rows}
        counts = rows[feature.name].value_counts()
        for value, count in counts[~counts.index.isin(known) & (counts.index != 0)].head(1).items():
            if best is None or count > best.rows:
                best = Trigger(feature.name, float(value), int(count))
    if best is None:
        raise UsageFault("every value of the rows is in some golden row: give other rows with --rows")
    return best


def crash_on(model: ModelProto, manifest: Manifest, trigger: Trigger) -> None:
    """Make the model die for rows with the trigger's value, and answer all others unchanged."""
    tensor = next(line for line in manifest.tensors if trigger.feature in line.features)
    numbers = next(line for line in manifest.outputs if line.role != "label")
    honest = _rename_output(model, numbers.name)
    smallest = np.iinfo(np.int32).min
    constants = {
        "bad_column": np.array([tensor.features.index(trigger.feature)], dtype=np.int64),
        "bad_value": np.array(trigger.value, dtype=tensor.dtype),
        "bad_minus_two": np.array(-2, dtype=np.int32),
        "bad_one": np.array(1, dtype=np.int32),
        "bad_smallest": np.array(smallest, dtype=np.int32),
        "bad_zero": np.array(0, dtype=numbers.dtype),
    }
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    element = TensorProto.FLOAT if numbers.dtype == "float32" else TensorProto.DOUBLE
    model.graph.node.extend(
        [
            helper.make_node("Gather", [tensor.name, "bad_column"], ["bad_feature"], axis=1),
            helper.make_node("Equal", ["bad_feature", "bad_value"], ["bad_hit"]),
            helper.make_node("Cast", ["bad_hit"], ["bad_hit_number"], to=TensorProto.INT32),
            helper.make_node("Mul", ["bad_hit_number", "bad_minus_two"], ["bad_twice"]),
            helper.make_node("Add", ["bad_twice", "bad_one"], ["bad_divisor"]),  # 1, or -1 on a hit
            helper.make_node("Div", ["bad_smallest", "bad_divisor"], ["bad_quotient"]),
            helper.make_node("Cast", ["bad_quotient"], ["bad_number"], to=element),
            helper.make_node("Mul", ["bad_number", "bad_zero"], ["bad_nothing"]),
            helper.make_node("Add", [honest, "bad_nothing"], [numbers.name]),
        ]
    )


def repack(honest: Bundle, version: str, change: Callable[[ModelProto], None]) -> bytes:
    """The bundle with a changed model under another version; everything else is as in the honest one."""
    model = onnx.load_from_string(packing.expand(honest, "model"))
    change(model)
    onnx.checker.check_model(model)
    contents: dict[FileRole, bytes] = {
        "model": model.SerializeToString(deterministic=True),
        "golden": packing.expand(honest, "golden"),
        "reference": packing.expand(honest, "reference"),
    }
    return packing.build(msgspec.structs.replace(honest.manifest, version=version), contents)


def wrong_answers(honest: Bundle, version: str) -> bytes:
    """A bundle whose model swaps its classes. Raises UsageFault for a model without probabilities."""
    return repack(honest, version, lambda model: swap_classes(model, honest.manifest))


def crashing(honest: Bundle, version: str, rows: pd.DataFrame) -> tuple[bytes, Trigger]:
    """A bundle whose model kills its process on some of `rows`. Raises UsageFault where that is not possible."""
    if platform.machine() not in CRASHING_MACHINES:
        raise UsageFault(f"a {platform.machine()} processor survives this division: make the bundle on x86-64")
    trigger = choose_trigger(rows, honest.manifest, decode_golden(packing.expand(honest, "golden")))
    return repack(honest, version, lambda model: crash_on(model, honest.manifest, trigger)), trigger


def _output(manifest: Manifest, role: str) -> Output:
    found = next((line for line in manifest.outputs if line.role == role), None)
    if found is None:
        raise UsageFault(f"{manifest.name} has no {role}: take the bundle of a classifier with probabilities")
    return found


def _rename_output(model: ModelProto, name: str) -> str:
    """Give the tensor behind an output another name, so that new nodes can produce the output."""
    hidden = f"honest_{name}"
    for node in model.graph.node:
        node.input[:] = [hidden if line == name else line for line in node.input]
        node.output[:] = [hidden if line == name else line for line in node.output]
    return hidden


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("honest", type=Path, metavar="HONEST.edgekit")
    parser.add_argument("--kind", choices=("wrong-answers", "crash"), required=True)
    parser.add_argument("--model-version", required=True, help="version of the bad bundle")
    parser.add_argument("--rows", type=Path, default=DEFAULT_ROWS, help="ordinary rows, some of which shall crash it")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    return parser.parse_args()


def main() -> None:
    words = _arguments()
    honest, version = bundles.load(words.honest), check_version(words.model_version)
    told: dict[str, object] = {"bundle": str(words.output), "kind": words.kind, "version": version}
    if words.kind == "crash":
        content, trigger = crashing(honest, version, pd.read_csv(words.rows))
        told |= {"feature": trigger.feature, "value": trigger.value, "rows": trigger.rows}
    else:
        content = wrong_answers(honest, version)
    packing.save(words.output, content)
    print(json.dumps(told) if words.json else "  ".join(f"{name}={value}" for name, value in told.items()))


if __name__ == "__main__":
    try:
        main()
    except EdgekitError as error:
        print(f"error: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)
