"""The report folder of a conversion that was judged bad: what CI and a pull request need to know.

Its sentence quotes a few values of the first row that differs, as the command line does.
"""

from __future__ import annotations

import msgspec

from convert.report.junit import as_refusal
from convert.report.words import prose
from edgekit.errors import JudgedBad
from edgekit.times import rfc3339, utc_now

SCHEMA = "edgekit.refusal/1"


def refusal_documents(name: str, refusal: JudgedBad) -> dict[str, bytes]:
    """`report.md`, `report.json` and `junit.xml`, which fails."""
    created = rfc3339(utc_now())
    told = {"schema": SCHEMA, "name": name, "created": created, "reason": refusal.reason, "message": refusal.message}
    page = f"# {prose(name)}: not converted\n\n✗ {prose(refusal.message)}\n\nReason: `{refusal.reason}`. No bundle.\n"
    return {
        "report.md": page.encode(),
        "report.json": msgspec.json.format(msgspec.json.encode(told, order="sorted"), indent=2) + b"\n",
        "junit.xml": as_refusal(name, created, refusal),
    }
