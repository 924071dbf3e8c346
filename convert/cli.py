"""`edgekit convert | inspect | verify | bundle`. Heavy imports sit inside the commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit import console, extras
from edgekit.errors import UsageFault

if TYPE_CHECKING:
    from convert.conversion import Conversion
    from edgekit.manifest import Manifest

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("model", type=_FILE)
@click.option("--data", "rows", type=_FILE, required=True, help="Rows: .csv, .csv.gz, .parquet, .npy or .npz.")
@click.option("--target", metavar="COLUMN", help="The column with the true answers; it is no feature.")
@click.option("--name", help="The bundle's name; by default the model file's.")
@click.option("--model-version", "version", default="1.0.0", show_default=True, help="The bundle's version.")
@click.option("-o", "--output", type=_FILE, help="Where to write; NAME-VERSION.edgekit here by default.")
@click.option(
    "--max-label-change", type=float, default=0.001, show_default=True, help="Share of answers that may change."
)
@click.option(
    "--max-metric-drop", type=float, default=0.005, show_default=True, help="How far accuracy or R² may fall."
)
@click.option("--trust-pickle", is_flag=True, help="Load a pickle, which runs code of whoever made it.")
@click.option("--measured", type=_FILE, help="measured.json of an earlier conversion, to rebuild identical bytes.")
@click.option("--report", type=_FILE, help="Report folder; NAME-VERSION.report beside the bundle by default.")
@console.json_option
def convert(*, model: Path, rows: Path, output: Path | None, report: Path | None, as_json: bool, **words: Any) -> None:
    """Convert a fitted scikit-learn MODEL into a verified bundle.

    MODEL is a skops file, an MLflow model folder, or (with --trust-pickle) a joblib or pickle file. Every answer of the
    ONNX form is compared with the model's own on rows held out from --data; beyond the budget nothing is written and
    the exit code is 3.
    """
    with extras.needs("convert"):
        import convert as converter

        places = _Places(output, report)
        places.check()
        done = converter.convert(model, rows, **words)
    written = places.write(done)
    console.emit(_converted(done, written), lambda: _converted_text(done, written), as_json=as_json)


@dataclass(frozen=True)
class _Places:
    """Where the user wants bundle and report; None means the default names."""

    output: Path | None
    report: Path | None

    def check(self) -> None:
        """Raise UsageFault before any work when a folder is missing or a place is taken by something else."""
        for path in (self.output, self.report):
            if path is not None and not path.absolute().parent.is_dir():
                raise UsageFault(f"folder {path.parent} does not exist: create it first", reason="folder_missing")
        if self.output is not None and self.output.is_dir():
            raise UsageFault(f"{self.output} is a folder: give a file name ending in .edgekit", reason="not_a_file")
        if self.report is not None:
            _refuse_taken(self.report)

    def write(self, done: Conversion) -> tuple[Path, Path]:
        """Write report and bundle, the bundle last. Raises UsageFault when a place cannot be written."""
        bundle = self.output or Path(done.file_name)
        report = self.report or bundle.parent / done.report_name
        _refuse_taken(report)
        try:
            done.save_report(report)
            done.save(bundle)
        except OSError as error:
            raise UsageFault(
                f"{error.filename or bundle} cannot be written ({error.strerror}): check folder and permissions",
                reason="not_writable",
            ) from error
        return bundle, report


def _refuse_taken(report: Path) -> None:
    """A report replaces an older one, never anything else of that name."""
    ours = report.is_dir() and (not any(report.iterdir()) or (report / "report.json").is_file())
    if report.exists() and not ours:
        raise UsageFault(f"{report} exists and is no report folder: give another name", reason="place_taken")


def _converted(done: Conversion, written: tuple[Path, Path]) -> dict[str, Any]:
    import msgspec

    figures: dict[str, Any] = msgspec.to_builtins(done.report)
    return {"bundle": str(written[0]), "report": str(written[1]), "name": done.manifest.name} | {
        "version": done.manifest.version,
        "sha256": done.sha256,
        "figures": figures,
    }


def _converted_text(done: Conversion, written: tuple[Path, Path]) -> str:
    from convert.report.words import summary

    pairs = [*summary(done.report), ("bundle", str(written[0])), ("report", str(written[1]))]
    return _lines(f"{done.manifest.name} {done.manifest.version}", pairs)


def _lines(head: str, pairs: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in pairs)
    return "\n".join([head, *(f"  {name:<{width}}  {value}" for name, value in pairs)])


@click.command()
@click.argument("bundle", type=_FILE)
@console.json_option
def inspect(bundle: Path, *, as_json: bool) -> None:
    """Show what a BUNDLE holds, without running it."""
    import msgspec

    from edgekit import bundle as bundles

    opened = bundles.load(bundle)
    known = {"sha256": opened.sha256, "bytes": opened.bytes, "manifest": msgspec.to_builtins(opened.manifest)}
    console.emit(known, lambda: _inspected(opened.manifest, opened.sha256, opened.bytes), as_json=as_json)


def _inspected(manifest: Manifest, sha256: str, size: int) -> str:
    model = manifest.file("model")
    pairs = [
        ("task", manifest.task),
        ("inputs", ", ".join(f"{line.name} ({line.dtype})" for line in manifest.inputs)),
        ("outputs", ", ".join(f"{line.role} ({line.dtype})" for line in manifest.outputs)),
        ("plan", manifest.plan),
        ("parity", f"{manifest.parity.label_changes} of {manifest.parity.rows:,} labels changed"),
        *((line.metric, f"{line.source:.4f} before, {line.converted:.4f} after") for line in manifest.quality),
        ("size", f"{console.size(size)} bundle, {console.size(model.expanded_bytes)} ONNX"),
        ("requires", f"onnxruntime {manifest.requires.onnxruntime_min}, {', '.join(manifest.requires.arch)}"),
        ("memory", f"{console.size(manifest.measured.load_peak_bytes)} to load"),
        ("latency", f"{manifest.measured.p50_us:g} µs median, {manifest.measured.p99_us:g} µs p99, one row"),
        ("created", manifest.created),
        ("sha256", sha256),
    ]
    return _lines(f"{manifest.name} {manifest.version}", pairs)


@click.command()
@click.argument("bundle", type=_FILE)
@console.json_option
def verify(bundle: Path, *, as_json: bool) -> None:
    """Check a BUNDLE as a device does: digests, load, golden rows."""
    with extras.needs("convert"):
        from convert.check.verify import verify as verify_bundle

        found = verify_bundle(bundle)
    known = {
        "sha256": found.bundle.sha256,
        "name": found.bundle.manifest.name,
        "version": found.bundle.manifest.version,
        "golden_rows": found.golden_rows,
        "max_abs_difference": found.max_absolute,
    }
    console.emit(known, f"{bundle}: sound, {found.golden_rows} golden rows repeated", as_json=as_json)


@click.group("bundle")
def bundle_group() -> None:
    """Take bundles apart."""


@bundle_group.command("export")
@click.argument("bundle", type=_FILE)
@click.option("-o", "--output", type=_FILE, required=True, help="Where to write the ONNX file.")
@console.json_option
def export(bundle: Path, *, output: Path, as_json: bool) -> None:
    """Write the ONNX file that a BUNDLE's model expands to."""
    from edgekit import bundle as bundles
    from edgekit import files, packing

    opened = bundles.load(bundle)
    content = packing.expand(opened, "model")
    try:
        files.write_atomic(output, content)
    except OSError as error:
        raise UsageFault(
            f"{output} cannot be written ({error.strerror}): check folder and permissions", reason="not_writable"
        ) from error
    known = {"output": str(output), "bytes": len(content), "sha256": opened.manifest.file("model").expanded_sha256}
    console.emit(known, f"wrote {output}: {console.size(len(content))}", as_json=as_json)


commands: tuple[click.Command, ...] = (convert, inspect, verify, bundle_group)
