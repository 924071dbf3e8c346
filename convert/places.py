"""Where the command writes: checked before any work, written at the end, the bundle last. Light to import."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import JudgedBad, UsageFault
from edgekit.files import remove_folder

if TYPE_CHECKING:
    from convert.conversion import Conversion


@dataclass(frozen=True)
class Places:
    """Where the user wants bundle and report; None means the default names in the working folder."""

    output: Path | None
    report: Path | None

    def check(self) -> None:
        """Raise UsageFault before any work when a folder is missing, read-only, or taken by something else."""
        for path in (self.output or Path("default"), self.report or self.output or Path("default")):
            parent = path.absolute().parent
            if not parent.is_dir():
                raise UsageFault(f"folder {path.parent} does not exist: create it first", reason="folder_missing")
            if not os.access(parent, os.W_OK | os.X_OK):
                raise UsageFault(
                    f"folder {parent} cannot be written: give another place with -o, or change its permissions",
                    reason="not_writable",
                )
        if self.output is not None and self.output.is_dir():
            raise UsageFault(f"{self.output} is a folder: give a file name ending in .edgekit", reason="not_a_file")
        if self.report is not None:
            _refuse_taken(self.report)

    def write(self, done: Conversion) -> tuple[Path, Path]:
        """Write report and bundle, the bundle last. Raises UsageFault when a place cannot be written."""
        bundle = self.output or Path(done.file_name)
        report = self.report or bundle.parent / done.report_name
        _refuse_taken(report)
        fresh = not report.exists()
        with _writing(bundle):
            done.save_report(report)
            try:
                done.save(bundle)
            except OSError:
                if fresh:  # a report without its bundle would tell of something that is not there
                    remove_folder(report)
                raise
        return bundle, report

    def write_refusal(self, name: str, refusal: JudgedBad) -> None:
        """Where a report was asked for by name, it tells of the refusal; otherwise nothing is written."""
        if self.report is None:
            return
        from convert.conversion import write_folder
        from convert.report.refused import refusal_documents

        with _writing(self.report):
            write_folder(self.report, refusal_documents(name, refusal))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageFault(
            f"{error.filename or path} cannot be written ({error.strerror}): check folder, permissions and free space",
            reason="not_writable",
        ) from error


def _refuse_taken(report: Path) -> None:
    """A report replaces an older one, never anything else of that name."""
    ours = report.is_dir() and (not any(report.iterdir()) or (report / "report.json").is_file())
    if report.exists() and not ours:
        raise UsageFault(f"{report} exists and is no report folder: give another name", reason="place_taken")
