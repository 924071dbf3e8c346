"""`report.html`: one self-contained page, light and dark, without scripts and without a single request. Pure.

Everything from outside (feature names, classes, remarks) is escaped by the template engine; a content security policy
forbids whatever might get past it.
"""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from convert.pack.report import Report
from convert.report import plots, words
from convert.report.checks import checks
from convert.report.details import Confusion
from convert.report.worst import worst_lines
from edgekit import __version__
from edgekit.manifest import Quality

MAX_FEATURES_SHOWN = 200


@dataclass(frozen=True)
class Tile:
    """A figure that is read first."""

    title: str
    value: str
    note: str


@dataclass(frozen=True)
class SizeBar:
    """One size beside others: `share` of the largest, 0 to 100; `own` when it is this conversion's."""

    name: str
    value: str
    share: float
    own: bool


def as_html(report: Report) -> bytes:
    """The whole page."""
    details = report.details
    page = _environment().get_template("report.html")
    text = page.render(
        report=report,
        manifest=report.manifest,
        details=details,
        version=__version__,
        exact=report.reported.label_changes == report.reported.rows_off == 0 and not words.lossy(report),
        model=words.model_of(report),
        why=words.why_this_plan(report),
        tiles=_tiles(report),
        checks=checks(report),
        sizes=_sizes(report),
        worst=worst_lines(report),
        pareto=plots.pareto(report.variants, report.manifest.parity.max_label_change) if report.variants else None,
        reliability=plots.reliability(details.calibration) if details and details.calibration else None,
        residuals=plots.residual_bars(details.residuals) if details and details.residuals else None,
        matrices=_matrices(details.confusion) if details and details.confusion else [],
        max_features=MAX_FEATURES_SHOWN,
        frame=plots,
    )
    return text.encode()


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("convert.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "share": words.share,
        "number": words.number,
        "bytes": words.bytes_of,
        "microseconds": words.microseconds,
        "disagreed": words.disagreed,
        "line": words.one_line,
    }
    return environment


def _tiles(report: Report) -> list[Tile]:
    manifest, measured, plain = report.manifest, report.manifest.measured, report.plain
    wire = manifest.file("model").bytes
    against = (
        f"{wire / plain.zstd_bytes:.2f} × the plain export with zstd"
        if plain and plain.zstd_bytes
        else f"{wire:,} bytes of model"
    )
    latency = f"99 % within {words.microseconds(measured.p99_us)}"
    found = report.reported
    changed = found.rows_off if manifest.task in ("regression", "transformation") else found.label_changes
    return [
        Tile("answers changed", words.number(changed), f"of {found.rows:,} held-out rows"),
        *(_quality_tile(line) for line in manifest.quality),
        Tile("download", words.bytes_of(report.bundle_bytes), against),
        Tile("one row", words.microseconds(measured.p50_us), latency),
        Tile("memory to load", words.bytes_of(measured.load_peak_bytes), f"{words.bytes_of(report.onnx_bytes)} ONNX"),
    ]


def _quality_tile(line: Quality) -> Tile:
    change = line.converted - line.source
    moved = "as before" if abs(change) < 5e-5 else f"{change:+.4f} against the source model"
    return Tile(words.METRICS.get(line.metric, line.metric), f"{line.converted:.4f}", moved)


def _sizes(report: Report) -> list[SizeBar]:
    sizes = [("bundle", report.bundle_bytes, True), ("model as it travels", report.manifest.file("model").bytes, True)]
    sizes.append(("model as ONNX", report.onnx_bytes, True))
    if report.plain is not None:
        if report.plain.zstd_bytes is not None:
            sizes.append(("plain export with zstd (level 19)", report.plain.zstd_bytes, False))
        sizes.append(("plain export as ONNX", report.plain.onnx_bytes, False))
    largest = max(count for _, count, _ in sizes)
    return [SizeBar(name, words.bytes_of(count), round(100 * count / largest, 2), own) for name, count, own in sizes]


def _matrices(found: Confusion) -> list[tuple[str, list[tuple[str, list[tuple[int, float, bool]]]]]]:
    """Each matrix with its title; rows with their class; cells as count, share of the row, and whether it is right."""
    titles = (
        ("Before: the source model", "After: the converted model") if found.before else ("Source against converted",)
    )
    matrices = [found.before, found.after] if found.before else [found.after]
    return [
        (title, [(name, _cells(row, i)) for i, (name, row) in enumerate(zip(found.classes, matrix or [], strict=True))])
        for title, matrix in zip(titles, matrices, strict=True)
    ]


def _cells(row: list[int], place: int) -> list[tuple[int, float, bool]]:
    total = max(sum(row), 1)
    return [(count, round(count / total, 3), i == place) for i, count in enumerate(row)]
