"""`measured.json`: what a conversion measured and chose by it, so that it can be repeated to the byte.

Latencies are noise: another run may measure others and choose another form. The record therefore holds the choice too.
Fields may be missing: a record without a form stands for the exact one.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from convert.pack.report import PlainExport, VariantLine
from convert.shrink.ship import Choice
from convert.shrink.variants import EXACT
from edgekit import wire
from edgekit.errors import UsageFault
from edgekit.files import read_bounded
from edgekit.manifest import Measured

_MAX_RECORD_BYTES = 1 << 16


class Record(Measured, frozen=True, kw_only=True, omit_defaults=True):
    """`form`: the name of the form that shipped; `remarks`: what was said about the choice."""

    form: str = EXACT
    variants: list[VariantLine] = msgspec.field(default_factory=list)
    plain: PlainExport | None = None
    remarks: list[str] = msgspec.field(default_factory=list)

    def measured(self) -> Measured:
        """The part that goes into the manifest."""
        return Measured(**{name: getattr(self, name) for name in Measured.__struct_fields__})


def make_record(measured: Measured, choice: Choice, form: str, remarks: list[str]) -> Record:
    """The record of a conversion that shipped `form`, which is marked as chosen, with its memory as measured."""
    peak = measured.load_peak_bytes
    lines = [
        msgspec.structs.replace(line, chosen=line.name == form, load_peak_bytes=peak)
        if line.name == form
        else msgspec.structs.replace(line, chosen=False)
        for line in choice.variants
    ]
    fields = msgspec.structs.asdict(measured)
    return Record(**fields, form=form, variants=lines, plain=choice.plain, remarks=remarks)


def read_record(path: Path) -> Record:
    """The record of an earlier conversion, to be packed again. Raises UsageFault."""
    try:
        record = msgspec.json.decode(read_bounded(path, _MAX_RECORD_BYTES), type=Record)
    except (OSError, ValueError) as error:
        raise UsageFault(
            f"{path} is no readable measured.json ({error}): give the one from an earlier conversion's report folder",
            reason="measured_unreadable",
        ) from error
    if record.zstd != wire.zstd_version():
        raise UsageFault(
            f"{path} was made with zstd {record.zstd} and {wire.zstd_version()} is installed here: the bytes would "
            "differ; install the same version, or measure anew without --measured",
            reason="zstd_version",
        )
    return record
