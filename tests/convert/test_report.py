"""The report folder: right figures, valid files, nothing from outside obeyed, and no rows where they do not belong."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import brier_score_loss, confusion_matrix, root_mean_squared_error

from convert import convert
from convert.check.classes import class_places
from convert.check.worst import WorstRow
from convert.conversion import Conversion
from convert.pack.report import Report, VariantLine
from convert.report import plots, words
from convert.report.confusion import MAX_CLASSES, confuse
from convert.report.documents import write_documents
from convert.report.junit import as_refusal
from convert.report.reliability import calibrate, reliability
from convert.report.residuals import residuals
from edgekit.errors import JudgedBad

HOSTILE = {
    "s0": "<script>alert(1)</script>",
    "s1": "a|b",
    "s2": "line\nbreak `code` ```",
    "s3": "Temperatur °C 温度",
    "s4": "@everyone [x](http://evil.example)",
    "s5": "\x00\x1b[31m\u202e]]>",
}
SECRET = 123456.789012


@pytest.fixture(scope="module")
def done(sensors: pd.DataFrame, measured: Path) -> Conversion:
    """A classifier with feature names that would like to be markup, and a row that nobody else should see."""
    features = sensors.drop(columns="target").rename(columns=HOSTILE)
    model = LogisticRegression(max_iter=500).fit(features, sensors["target"])
    return convert(model, features, sensors["target"], measured=measured, name="pump")


@pytest.fixture(scope="module")
def full(done: Conversion) -> Report:
    """The same with variants and worst rows."""

    def variant(name: str, wire: int | None, change: float | None, **words: Any) -> VariantLine:
        known = {"chosen": False, "pareto": True, "refused": None, "b1_us": 9.0, "b32_us": 20.0} | words
        return VariantLine(
            name=name,
            onnx_bytes=4000,
            wire_bytes=wire,
            load_peak_bytes=None,
            label_change=change,
            max_abs_difference=0.1,
            quality=0.9,
            **known,
        )

    worst = WorstRow(
        about="",
        row={HOSTILE["s0"]: SECRET, HOSTILE["s1"]: None, HOSTILE["s4"]: "<img src=x>"},
        expected_label=1,
        got_label=2,
        expected=[0.1, 0.5, 0.4],
        got=[0.1, 0.4, 0.5],
        difference=0.1,
        within=False,
    )
    variants = [
        variant("exact", 2000, 0.0, chosen=True),
        variant("<b>fp16</b>", 1000, 0.0002),
        variant("int8", 500, 0.2, refused="20 % of the answers change", b1_us=None),
        variant("broken", None, None, refused="does not run"),
    ]
    return msgspec.structs.replace(done.report, variants=variants, worst=[worst], notes=["unused: <i>@team</i>"])


class Page(HTMLParser):
    """Counts tags, and notes what a page may not have."""

    VOID = ("meta", "br", "link", "img", "input")

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.opened.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(full: Report) -> Page:
    return Page(write_documents(full)["report.html"])


def test_the_page_is_whole_and_asks_the_network_for_nothing(full: Report, page: Page) -> None:
    assert page.opened == []
    text = write_documents(full)["report.html"].decode()
    assert not re.search(
        r"""(src|href)\s*=\s*["'](?!#)|url\(|@import|https?:""", text.replace("http://evil.example", "")
    )
    assert {name for name, _ in page.tags} & {"script", "iframe", "object", "img", "link", "form", "b", "i"} <= {"i"}
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in page.all("meta"))


def test_the_page_can_be_heard_and_used_by_keyboard(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    assert all(picture.get("role") == "img" and picture.get("aria-label") for picture in page.all("svg"))
    assert all(box.get("tabindex") == "0" and box.get("aria-label") for box in page.all("div") if "role" in box)
    anchors = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {(link["href"] or "")[1:] for link in page.all("a")} <= anchors
    assert {section["aria-labelledby"] for section in page.all("section")} <= anchors


def test_names_from_outside_are_shown_and_never_obeyed(full: Report) -> None:
    written = write_documents(full)
    text = written["report.html"].decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "Temperatur °C 温度" in text
    for document in ("report.md", "model_card.md"):
        markdown = written[document].decode()
        outside_code = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", markdown)
        assert not re.search(r"<(?!/?(details|summary)>)", outside_code), document
        assert not re.search(r"@\w|\]\(|\x1b|\x00", outside_code), document
        rows = [line for line in markdown.splitlines() if line.startswith("|")]
        assert all(line.endswith(" |") for line in rows)


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_head(full: Report) -> None:
    for document in ("report.md", "model_card.md"):
        width = 0
        for line in write_documents(full)[document].decode().splitlines():
            cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            assert not (cells and width) or cells == width, line
            width = cells


def test_rows_of_the_data_are_in_the_page_and_in_the_json_alone(full: Report, done: Conversion) -> None:
    shown = {name for name, content in write_documents(full).items() if b"123456.789" in content}
    assert shown == {"report.html", "report.json"}
    assert b"123456.789" not in done.content


def test_the_verdict_comes_first(done: Conversion) -> None:
    assert done.documents["report.md"].startswith(b"# pump 1.0.0: 0 of 600 labels changed\n")
    assert "Right" in done.documents["report.html"].decode()


def test_a_form_that_rounds_is_not_called_right(full: Report) -> None:
    rounded = [msgspec.structs.replace(line, lossy=line.chosen) for line in full.variants]
    text = write_documents(msgspec.structs.replace(full, variants=rounded))["report.html"].decode()
    assert "Within its budget" in text
    assert ">Right <" not in text


# Jenkins' junit-10.xsd: attributes and children that an element may have.
JUNIT: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname", "id", "package"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": (
        {"name", "classname", "time", "status", "assertions"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": ({"type", "message"}, set()),
    "system-out": (set(), set()),
}


def check_junit(element: ElementTree.Element) -> None:
    attributes, children = JUNIT[element.tag]
    assert set(element.attrib) <= attributes, element.tag
    for child in element:
        assert child.tag in children, f"{child.tag} in {element.tag}"
        check_junit(child)


def test_ci_gets_a_test_case_for_every_check(full: Report) -> None:
    root = ElementTree.fromstring(write_documents(full)["junit.xml"])
    check_junit(root)
    assert [case.get("name") for case in root.iter("testcase")] == ["parity", "edge_rows", "quality", "size"]
    assert not list(root.iter("failure"))
    assert [line.get("name") for line in root.iter("property")][:2] == ["plan", "bundle_sha256"]


def test_a_refusal_is_a_test_case_that_failed() -> None:
    refusal = JudgedBad("the form of \x00 <Model> answers differently", reason="parity")
    root = ElementTree.fromstring(as_refusal("pump", "2026-01-01T00:00:00.000Z", refusal))
    check_junit(root)
    [failure] = root.iter("failure")
    assert "<Model> answers differently" in (failure.get("message") or "")
    assert root.get("failures") == "1"


def test_the_json_can_be_read_back(full: Report) -> None:
    assert msgspec.json.decode(write_documents(full)["report.json"], type=Report) == full


def test_reliability_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(2000)
    came = rng.random(2000) < probability**2
    found = reliability(probability, came)
    observed, predicted = calibration_curve(came, probability, n_bins=10)
    assert [line.observed for line in found.bins] == pytest.approx(observed)
    assert [line.predicted for line in found.bins] == pytest.approx(predicted)
    assert found.brier == pytest.approx(brier_score_loss(came, probability))
    assert found.error == pytest.approx(np.mean(np.abs(observed - predicted)), abs=0.01)


def test_probabilities_of_nought_and_one_fall_into_the_outermost_bins() -> None:
    found = reliability(np.array([0.0, 1.0, 1.0]), np.array([False, True, True]))
    assert [line.rows for line in found.bins] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert (found.error, found.brier) == (0.0, 0.0)
    assert found.bins[1].observed is None


def test_of_several_classes_the_predicted_one_is_judged() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    found = calibrate(np.array([0, 2]), probabilities, probabilities, ("a", "b", "c"))
    assert found.of is None
    assert found.before.brier == pytest.approx((0.3**2 + 0.8**2) / 2)


def test_confusion_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, before, after = (rng.integers(0, 4, 500) for _ in range(3))
    found = confuse(truth, before, after, tuple("abcd"))
    assert found.before == confusion_matrix(truth, before).tolist()
    assert found.after == confusion_matrix(truth, after).tolist()


def test_rare_classes_are_counted_together_and_none_is_lost() -> None:
    rng = np.random.default_rng(0)
    truth = np.minimum(rng.geometric(0.1, 3000), 39)
    found = confuse(None, truth, truth, tuple(range(40)))
    assert len(found.classes) == MAX_CLASSES
    assert found.classes[-1] == f"{40 - MAX_CLASSES + 1} others"
    assert sum(map(sum, found.after)) == 3000
    assert np.trace(np.array(found.after)) == 3000


@pytest.mark.parametrize(
    ("labels", "classes", "places"),
    [
        (np.array([0.0, 1.0, 2.0]), (0, 1), [0, 1, -1]),
        (np.array([True, False]), (False, True), [1, 0]),
        (np.array(["b", "a", "c"]), ("a", "b"), [1, 0, -1]),
        (np.array(["1", "0"]), (0, 1), [1, 0]),
        (np.array(["yes", "0"]), (0, 1), [-1, 0]),
        (np.array([3, 1]), (3, 1), [0, 1]),
        (np.array(["nan", "1"]), ("1", "nan"), [1, 0]),
    ],
)
def test_a_label_is_found_however_it_is_spelled(labels: Any, classes: Any, places: list[int]) -> None:
    assert class_places(labels, classes).tolist() == places


def test_residuals_count_every_row_and_tell_their_spread() -> None:
    rng = np.random.default_rng(0)
    truth, before = rng.normal(size=1000), rng.normal(size=1000)
    found = residuals(truth, before, before + 0.1)
    assert sum(found.before) == sum(found.after) == 1000
    assert found.rmse[0] == pytest.approx(root_mean_squared_error(truth, before))
    assert residuals(truth, truth, truth).rmse == (0.0, 0.0)


def test_the_details_fit_the_task(sensors: pd.DataFrame, measured: Path) -> None:
    features = sensors.drop(columns="target")
    value = convert(LinearRegression().fit(features, features["s0"]), features, features["s0"], measured=measured)
    assert value.report.details is not None
    assert value.report.details.residuals is not None
    assert value.report.details.confusion is None
    assert value.report.details.calibration is None
    assert b"values off" in value.documents["report.md"]
    groups = convert(KMeans(3, random_state=0).fit(features), features, measured=measured)
    assert groups.report.details is not None
    assert groups.report.details.confusion is not None
    assert groups.report.details.confusion.before is None
    assert "Source against converted" in groups.documents["report.html"].decode()


def test_a_plot_of_one_variant_and_of_none_that_runs_has_axes(full: Report) -> None:
    for shown in (full.variants[:1], full.variants[3:], []):
        drawn = plots.pareto(shown, 0.0)
        assert len(drawn.marks) == len([line for line in shown if line.wire_bytes])
        assert len(drawn.x_ticks) >= 2
        assert len(drawn.y_ticks) >= 2


def test_marks_lie_inside_the_frame_and_beside_one_another(full: Report) -> None:
    drawn = plots.pareto([full.variants[0]] * 6 + full.variants, 0.001)
    places = [(mark.x, mark.y) for mark in drawn.marks]
    assert len(set(places)) == len(places)
    assert all(plots.LEFT <= x <= plots.RIGHT and plots.TOP <= y <= plots.BOTTOM for x, y in places)


@pytest.mark.parametrize(("highest", "end"), [(1, 1), (7, 8), (23, 25), (0.003, 0.003), (99.5, 100), (0, 1)])
def test_ticks_are_round_numbers_that_cover_everything(highest: float, end: float) -> None:
    ticks, top = plots.nice_ticks(highest)
    assert top >= highest
    assert ticks[-1] == pytest.approx(top)
    assert len(ticks) <= 6
    assert top == pytest.approx(end)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 %"), (0.00001, "< 0.01 %"), (0.0001, "0.01 %"), (0.00123, "0.12 %"), (0.5, "50 %"), (1.0, "100 %")],
)
def test_shares_have_the_digits_that_say_something(value: float, text: str) -> None:
    assert words.share(value) == text


@pytest.mark.parametrize(
    ("text", "span"), [("a", "`a`"), ("a|b", "`a\\|b`"), ("`", "`` ` ``"), ("a\nb", "`a b`"), ("", "(empty)")]
)
def test_code_spans_hold_anything(text: str, span: str) -> None:
    assert words.code(text) == span


def test_many_features_do_not_swell_the_page(full: Report) -> None:
    assert full.details is not None
    many = msgspec.structs.replace(full.details, features=full.details.features * 200)
    page = write_documents(msgspec.structs.replace(full, details=many))["report.html"]
    assert b"more in report.json" in page
    assert len(page) < 200_000


def test_the_command_prints_no_rows_as_json(fitted: Path, measured: Path, edgekit: Any) -> None:
    done = edgekit("convert", "model.joblib", "--data", "rows.csv", "--trust-pickle", "--measured", measured, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["figures"]
    assert figures["worst"] == figures["worst_edge"] == []
    assert figures["details"]["rows"] == 1200
