"""The files of the report folder by name. Pure."""

from __future__ import annotations

from convert.pack.report import Report, as_json
from convert.report.card import as_markdown as card
from convert.report.junit import as_junit
from convert.report.markdown import as_markdown
from convert.report.page import as_html


def write_documents(report: Report) -> dict[str, bytes]:
    """The files for people, for pull requests and for CI. `measured.json` is the conversion's own."""
    return {
        "report.html": as_html(report),
        "report.md": as_markdown(report),
        "model_card.md": card(report),
        "report.json": as_json(report),
        "junit.xml": as_junit(report),
    }
