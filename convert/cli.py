"""`edgekit convert | inspect | verify | bundle`. Heavy imports sit inside the commands."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit import console, extras
from edgekit.errors import JudgedBad, UsageFault

if TYPE_CHECKING:
    from convert.conversion import Conversion
    from edgekit.manifest import Manifest

_FILE = click.Path(path_type=Path)
_OBJECTIVES = click.Choice(["size", "latency", "balanced"])


@click.command()
@click.argument("model", type=_FILE)
@click.option("--data", "rows", type=_FILE, required=True, help="Rows: .csv, .csv.gz, .parquet, .npy or .npz.")
@click.option("--target", metavar="COLUMN", help="The column with the true answers; it is no feature.")
@click.option("--name", help="The bundle's name; by default the model file's.")
@click.option("--model-version", "version", default="1.0.0", show_default=True, help="The bundle's version.")
@click.option("-o", "--output", type=_FILE, help="Where to write; NAME-VERSION.edgekit here by default.")
@click.option(
    "--max-label-change",
    type=float,
    default=0.001,
    show_default=True,
    help="Share of answers that may change; 0: none.",
)
@click.option(
    "--max-drift",
    type=float,
    default=0.02,
    show_default=True,
    help="How far a rounded form's numbers may move: a probability by this, a value by this share of its spread.",
)
@click.option(
    "--max-metric-drop",
    type=float,
    show_default="0.005",
    help="How far accuracy or R² may fall; when given, forms with fewer trees are weighed too.",
)
@click.option(
    "--objective", type=_OBJECTIVES, default="balanced", show_default=True, help="What to choose by within the budgets."
)
@click.option("--trust-pickle", is_flag=True, help="Load a pickle, which runs code of whoever made it.")
@click.option("--measured", type=_FILE, help="measured.json of an earlier conversion, to rebuild identical bytes.")
@click.option(
    "--report", type=_FILE, help="Report folder, also of a refusal; NAME-VERSION.report beside the bundle by default."
)
@console.json_option
def convert(*, model: Path, rows: Path, output: Path | None, report: Path | None, as_json: bool, **words: Any) -> None:
    """Convert a fitted scikit-learn MODEL into a verified bundle.

    MODEL is a skops file, an MLflow model folder, or (with --trust-pickle) a joblib or pickle file. Every answer of the
    ONNX form is compared with the model's own on rows held out from --data; beyond the budget no bundle is written and
    the exit code is 3. The report folder holds report.html for people, report.md for pull requests, junit.xml for CI.
    """
    with extras.needs("convert"):
        import convert as converter
        from convert.display import for_terminal
        from convert.places import Places

        places = Places(output, report)
        places.check()
        try:
            with for_terminal(as_json=as_json) as display:
                done = converter.convert(model, rows, progress=display, **words)
        except JudgedBad as refusal:
            places.write_refusal(words["name"] or model.stem, refusal)
            raise
    written = places.write(done)
    console.emit(_converted(done, written), lambda: _converted_text(done, written), as_json=as_json)


def _converted(done: Conversion, written: tuple[Path, Path]) -> dict[str, Any]:
    """For machines. Rows of the user's data stay in the report folder: this output ends up in logs."""
    import msgspec

    figures: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(done.report, worst=[], worst_edge=[]))
    return {"bundle": str(written[0]), "report": str(written[1]), "name": done.manifest.name} | {
        "version": done.manifest.version,
        "sha256": done.sha256,
        "figures": figures,
    }


def _converted_text(done: Conversion, written: tuple[Path, Path]) -> str:
    from convert.report.words import summary

    notes = [("remark", note) for note in done.report.notes]
    pairs = [*summary(done.report), *notes, ("bundle", str(written[0])), ("report", str(written[1] / "report.html"))]
    return _lines(f"{done.manifest.name} {done.manifest.version}", pairs)


def _lines(head: str, pairs: list[tuple[str, str]]) -> str:
    """Names and values in two columns; on a terminal, values that are too long go on below themselves."""
    width = max(len(name) for name, _ in pairs)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1 << 16
    room = max(columns - width - 5, 20)
    lines = [head]
    for name, value in pairs:
        parts = textwrap.wrap(console.one_line(value), room, break_on_hyphens=False) or [""]
        lines += [f"  {label:<{width}}  {part}" for label, part in zip([name] + [""] * len(parts), parts, strict=False)]
    return "\n".join(lines)


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
