"""`junit.xml`: one test case per check, the plans tried as properties, as Jenkins, GitLab and GitHub read it.

The form is that of Jenkins' `junit-10.xsd`. It holds figures, never rows of the user's data.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from convert.pack.report import PlanOutcome, Report
from convert.report.checks import Check, checks
from convert.report.words import changed, one_line
from edgekit.errors import EdgekitError
from edgekit.manifest import Task

# What XML 1.0 (§2.2) cannot carry, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(report: Report) -> bytes:
    """The checks of a finished conversion: each held, or it would not have finished."""
    name = f"{report.manifest.name} {report.manifest.version}"
    properties = [
        ("plan", report.manifest.plan),
        ("bundle_sha256", report.bundle_sha256),
        *((f"plan {i}: {line.plan}", _outcome(line, report.manifest.task)) for i, line in enumerate(report.plans, 1)),
    ]
    return _document(name, report.manifest.created, properties, checks(report))


def as_refusal(name: str, created: str, error: EdgekitError) -> bytes:
    """A conversion that was judged bad: one test case that failed."""
    check = Check(error.reason, "conversion", holds=False, found=error.message, allowed="")
    return _document(name, created, [], [check])


def _outcome(line: PlanOutcome, task: Task) -> str:
    if line.selection is None or line.edge is None:
        return f"not possible: {line.fault}"
    return f"{changed(line.selection, task)}, edge rows: {changed(line.edge, task)}"


def _document(name: str, created: str, properties: list[tuple[str, str]], lines: list[Check]) -> bytes:
    counts = {"tests": str(len(lines)), "failures": str(sum(not line.holds for line in lines)), "errors": "0"}
    suites = ElementTree.Element("testsuites", {"name": "edgekit convert", **counts, "time": "0"})
    # xs:dateTime without a zone is what the schema's readers expect.
    stamp = {"timestamp": created[:19], "skipped": "0", "time": "0"}
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _clean(name), **counts, **stamp})
    if properties:
        holder = ElementTree.SubElement(suite, "properties")
        for key, value in properties:
            ElementTree.SubElement(holder, "property", {"name": _clean(key), "value": _clean(value)})
    for line in lines:
        _case(suite, name, line)
    ElementTree.indent(suites)
    content: bytes = ElementTree.tostring(suites, encoding="UTF-8", xml_declaration=True)
    return content + b"\n"


def _case(suite: ElementTree.Element, name: str, line: Check) -> None:
    case = ElementTree.SubElement(suite, "testcase", {"classname": _clean(name), "name": line.name, "time": "0"})
    text = f"{line.title}: {line.found}" + (f" (allowed: {line.allowed})" if line.allowed else "")
    if line.holds:
        ElementTree.SubElement(case, "system-out").text = _clean(text)
    else:
        ElementTree.SubElement(case, "failure", {"message": _clean(line.found), "type": line.name}).text = _clean(text)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", one_line(text))
