"""The commands `convert`, `inspect`, `verify` and `bundle export`, each in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import onnxruntime
import pytest

from edgekit.bundle import load
from tests.convert.conftest import Process, Run


def convert_words(folder: Path) -> list[str | Path]:
    return ["convert", folder / "model.joblib", "--data", folder / "rows.csv", "--target", "target", "--trust-pickle"]


def test_a_bundle_and_its_report_are_written_and_told_as_json(fitted: Path, edgekit: Run) -> None:
    done = edgekit(*convert_words(fitted), "--name", "pump", "--model-version", "1.4.0", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    bundle = load(fitted / "pump-1.4.0.edgekit")
    assert told["sha256"] == bundle.sha256
    assert told["bundle"] == "pump-1.4.0.edgekit"
    assert bundle.manifest.parity.label_changes == 0
    assert bundle.manifest.measured.load_peak_bytes > 0
    report = fitted / "pump-1.4.0.report"
    assert {file.name for file in report.iterdir()} == {
        *("report.html", "report.md", "model_card.md", "report.json", "junit.xml", "measured.json"),
    }
    assert json.loads((report / "report.json").read_bytes())["bundle_sha256"] == bundle.sha256


def test_converting_again_replaces_bundle_and_report(fitted: Path, measured: Path, edgekit: Run) -> None:
    for _ in range(2):
        done = edgekit(*convert_words(fitted), "--measured", measured, "-o", "out.edgekit", "--report", "shown")
        assert done.returncode == 0, done.stderr
    assert (fitted / "shown" / "report.md").read_text().startswith("# model 1.0.0")
    assert not list(fitted.glob(".edgekit-tmp-*"))


def test_the_same_record_of_measurement_gives_identical_bytes(fitted: Path, edgekit_process: Process) -> None:
    first = edgekit_process(*convert_words(fitted), "-o", "a.edgekit", "--report", "a", PYTHONHASHSEED="1")
    assert first.returncode == 0, first.stderr
    again = edgekit_process(
        *convert_words(fitted), "-o", "b.edgekit", "--report", "b", "--measured", "a/measured.json", PYTHONHASHSEED="2"
    )
    assert again.returncode == 0, again.stderr
    assert (fitted / "a.edgekit").read_bytes() == (fitted / "b.edgekit").read_bytes()
    assert (fitted / "a" / "report.json").read_bytes() == (fitted / "b" / "report.json").read_bytes()


def test_the_date_of_a_bundle_can_be_set(fitted: Path, edgekit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    done = edgekit(*convert_words(fitted), "-o", "a.edgekit")
    assert done.returncode == 0, done.stderr
    assert load(fitted / "a.edgekit").manifest.created == "2023-11-14T22:13:20.000Z"


def test_a_bundle_can_be_inspected_verified_and_exported(fitted: Path, measured: Path, edgekit: Run) -> None:
    assert edgekit(*convert_words(fitted), "--measured", measured, "-o", "a.edgekit").returncode == 0
    inspected = edgekit("inspect", "a.edgekit")
    assert "multiclass" in inspected.stdout
    assert "s0 (float32)" in inspected.stdout
    verified = edgekit("verify", "a.edgekit", "--json")
    assert json.loads(verified.stdout)["golden_rows"] == 32
    exported = edgekit("bundle", "export", "a.edgekit", "-o", "model.onnx")
    assert exported.returncode == 0, exported.stderr
    session = onnxruntime.InferenceSession(fitted / "model.onnx")
    assert [line.name for line in session.get_outputs()] == ["label", "probabilities"]


def test_inspecting_loads_no_numeric_library(
    fitted: Path, measured: Path, edgekit: Run, edgekit_process: Process
) -> None:
    assert edgekit(*convert_words(fitted), "--measured", measured, "-o", "a.edgekit").returncode == 0
    looked = edgekit_process("inspect", "a.edgekit", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in looked.stderr.splitlines()}
    assert "edgekit.bundle" in imported
    assert not imported & {"numpy", "onnxruntime", "sklearn", "pandas"}


def test_an_altered_bundle_is_refused_naming_the_entry(fitted: Path, measured: Path, edgekit: Run) -> None:
    assert edgekit(*convert_words(fitted), "--measured", measured, "-o", "a.edgekit").returncode == 0
    content = bytearray((fitted / "a.edgekit").read_bytes())
    place = content.index(b"model.wire") + 200
    content[place] ^= 1
    (fitted / "a.edgekit").write_bytes(content)
    done = edgekit("verify", "a.edgekit")
    assert done.returncode == 1
    assert "error: a.edgekit: " in done.stderr
    assert "Traceback" not in done.stderr
