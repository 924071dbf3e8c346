"""A finished conversion: the bundle's bytes and its report, in memory until told where to go."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import msgspec

from convert.check.worst import worst_rows
from convert.export.candidates import Attempt
from convert.pack import report
from convert.pack.record import Record
from convert.report import words
from convert.report.documents import write_documents
from convert.report.evidence import Evidence, examine
from edgekit import packing
from edgekit.bundle import SUFFIX, Bundle, parse
from edgekit.console import size
from edgekit.errors import BundleError, ModelFault
from edgekit.files import TEMPORARY_PREFIX, publish_folder, remove_folder
from edgekit.manifest import MAX_MANIFEST_BYTES, Manifest


@dataclass(frozen=True, repr=False)
class Conversion:
    """A model that converted, and agreed with its source. Made by `convert.convert`.

    `manifest`: what the bundle says of itself; `content`: the bundle's bytes; `report`: all figures; `documents`: the
    report folder's files by name.
    """

    manifest: Manifest
    content: bytes
    report: report.Report
    documents: Mapping[str, bytes]

    @property
    def sha256(self) -> str:
        """The bundle's identity."""
        return self.report.bundle_sha256

    @property
    def file_name(self) -> str:
        """What the bundle is called by default: `name-1.4.0.edgekit`."""
        return f"{self.manifest.name}-{self.manifest.version}{SUFFIX}"

    @property
    def report_name(self) -> str:
        """What the report folder is called by default: `name-1.4.0.report`."""
        return f"{self.manifest.name}-{self.manifest.version}.report"

    def __repr__(self) -> str:
        """What it is in one line."""
        found = words.changed(self.report.reported, self.manifest.task)
        return f"<Conversion {self.manifest.name} {self.manifest.version}: {found}, {size(len(self.content))}>"

    def _repr_html_(self) -> str:
        """The figures as a small table, for notebooks."""
        rows = (
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in words.summary(self.report)
        )
        name = escape(f"{self.manifest.name} {self.manifest.version}")
        return f"<table><caption>{name}</caption><tbody>{''.join(rows)}</tbody></table>"

    def save(self, path: Path | str) -> Path:
        """Write the bundle: wholly or not at all. Raises OSError."""
        packing.save(Path(path), self.content)
        return Path(path)

    def save_report(self, folder: Path | str) -> Path:
        """Write the report folder, in place of an older one: wholly or not at all. Raises OSError."""
        return write_folder(Path(folder), self.documents)


def write_folder(target: Path, documents: Mapping[str, bytes]) -> Path:
    """Write these files into a folder, in place of an older one: wholly or not at all. Raises OSError."""
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=target.parent))
    try:
        temporary.chmod(0o755)
        for name, content in documents.items():
            (temporary / name).write_bytes(content)
        remove_folder(target)
        publish_folder(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


@dataclass(frozen=True)
class Outcome:
    """What a conversion has found, for its report."""

    attempts: list[Attempt]
    seen: Evidence
    record: Record
    notes: tuple[str, ...]


def finish(content: bytes, outcome: Outcome) -> Conversion:
    """Read the bundle back as any reader would, and write up what happened. Raises ModelFault."""
    bundle = _read_back(content)
    figures = _report(bundle, outcome)
    record = msgspec.json.encode(outcome.record, order="sorted") + b"\n"
    return Conversion(bundle.manifest, content, figures, write_documents(figures) | {"measured.json": record})


def _report(bundle: Bundle, outcome: Outcome) -> report.Report:
    verdict, panel = outcome.seen.verdict, outcome.seen.panel
    return report.Report(
        schema=report.SCHEMA,
        bundle_sha256=bundle.sha256,
        bundle_bytes=bundle.bytes,
        onnx_bytes=bundle.manifest.file("model").expanded_bytes,
        manifest=bundle.manifest,
        reported=report.disagreement(verdict.reported),
        plans=[report.outcome(attempt) for attempt in outcome.attempts],
        notes=list(outcome.notes),
        variants=outcome.record.variants,
        plain=outcome.record.plain,
        worst=worst_rows(panel.rows, verdict.got, verdict.reported.bad),
        worst_edge=worst_rows(panel.edge.trial, verdict.got_edge, verdict.edge.bad, panel.edge.rows.labels),
        edge_kinds=[report.EdgeKind(**line) for line in panel.edge.by_kind(verdict.edge)],
        edge=report.disagreement(verdict.edge.counted),
        details=examine(outcome.seen),
    )


def _read_back(content: bytes) -> Bundle:
    try:
        return parse(content)
    except BundleError as error:
        if error.reason != "manifest_too_large":
            raise
        raise ModelFault(
            f"the names, ranges and categories of the features take more than the {MAX_MANIFEST_BYTES >> 20} MiB that "
            "a bundle's manifest may have: shorten the feature names, or train with fewer features",
            reason="manifest_too_large",
        ) from error
