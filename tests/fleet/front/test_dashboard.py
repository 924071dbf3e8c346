"""The dashboard shows the fleet to whoever has a token, and hostile text stays text."""

from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser

import httpx
import pytest

from fleet.dashboard import shapes
from fleet.store import tokens
from fleet.store.moments import stored
from fleet.store.tokens import Role
from tests.fleet.front.bench import Bench

HOSTILE = "<script>alert(1)</script>\"'&"


class _Page(HTMLParser):
    """Tags of a page, checked for balance."""

    VOID = frozenset({"meta", "link", "input", "img", "rect", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def _browser(bench: Bench, role: Role = Role.VIEWER) -> httpx.Client:
    client = bench.client(None)
    answer = client.post("/login", data={"token": bench.secrets[role]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    return client


def _populate(bench: Bench, devices: int = 2) -> None:
    bench.sign("pump", "1.0.0")
    bench.push()
    for number in range(devices):
        bench.client().post("/api/v1/devices", json={"id": f"press-{number:02}"})
    plan = {"model": "pump", "version": "1.0.0", "stages": [{"devices": "1"}, {"devices": "100%"}]}
    bench.client().post("/api/v1/rollouts", json=plan)


def test_without_a_session_the_page_leads_to_the_login(shared: Bench) -> None:
    client = shared.client(None)
    answer = client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    fragment = client.get("/fragment")
    assert (fragment.status_code, fragment.headers["hx-redirect"], fragment.content) == (401, "/login", b"")
    assert _Page(client.get("/login").text).all("input")[0]["type"] == "password"


def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(shared: Bench) -> None:
    answer = shared.client(None).post("/login", data={"token": shared.secrets[Role.VIEWER]})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize("token", ["", "ek_wrong", "x" * 5000, HOSTILE])
def test_a_wrong_token_opens_nothing(shared: Bench, token: str) -> None:
    answer = shared.client(None).post("/login", data={"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "alert(1)" not in answer.text


def test_a_session_ends_with_its_token_and_with_the_logout(bench: Bench) -> None:
    client = _browser(bench)
    assert client.get("/").status_code == 200
    client.post("/logout")
    assert client.get("/").status_code == 303
    client = _browser(bench)
    with bench.database.begin() as connection:
        tokens.revoke(connection, "viewer", now_ms=stored(bench.now))
    assert client.get("/").status_code == 303


def test_a_bearer_token_does_not_open_the_page_and_a_cookie_does_not_open_the_api(shared: Bench) -> None:
    assert shared.client().get("/").status_code == 303
    assert _browser(shared, Role.ADMIN).get("/api/v1/devices").status_code == 401


def test_the_page_shows_devices_and_rollouts_to_eyes_and_screen_readers(bench: Bench) -> None:
    _populate(bench)
    bench.hear_of("press-00", version="1.0.0", ok=12, server_error=3)
    bench.pass_time(seconds=30)
    text = _browser(bench).get("/").text
    page = _Page(text)
    assert "30 s ago" in text
    assert "press-01" in text
    assert "60 MB" in text
    assert len(page.all("caption")) == 1
    assert all(cell.get("scope") for cell in page.all("th"))
    bars = [tag for tag in page.all("div") if tag.get("role") == "progressbar"]
    assert len(bars) == 2
    assert all(bar["aria-label"] and bar["aria-valuetext"] is not None for bar in bars)
    assert page.all("html")[0]["lang"] == "en"
    assert not any(attributes.get("style") for _, attributes in page.found), "the policy forbids inline style"
    assert all(script.get("src") for script in page.all("script"))


def test_an_empty_fleet_says_what_to_do_next(shared: Bench) -> None:
    text = _browser(shared).get("/").text
    assert "edgekit fleet devices add" in text
    assert "edgekit fleet rollout create" in text


def test_hostile_words_stay_words(bench: Bench) -> None:
    _populate(bench)
    bench.client().post("/api/v1/devices/press-00/tags", json={"tags": {"hall": HOSTILE}})
    bench.hear_of("press-00", version=HOSTILE, model=HOSTILE)
    for path in ("/", "/fragment"):
        text = _browser(bench).get(path).text
        assert "<script>alert" not in text
        assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
        _Page(text)


def test_hostile_page_marks_are_only_marks(bench: Bench) -> None:
    _populate(bench)
    for after in (HOSTILE, "é", "%00", "' OR 1=1 --"):
        answer = _browser(bench).get("/", params={"after": after})
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text


def test_devices_are_paged_on_the_server(bench: Bench) -> None:
    _populate(bench, devices=27)
    client = _browser(bench)
    first = _Page(client.get("/").text)
    rows = [tag for tag in first.all("th") if tag.get("role") == "rowheader"]
    assert len(rows) == 25
    (link,) = [tag for tag in first.all("a") if tag.get("id") == "page-next"]
    second = _Page(client.get(str(link["href"])).text)
    assert len([tag for tag in second.all("th") if tag.get("role") == "rowheader"]) == 2
    main = second.all("main")[0]
    assert main["hx-get"] == "/fragment?after=press-24"


def test_updates_can_be_paused(shared: Bench) -> None:
    main = _Page(_browser(shared).get("/?live=false").text).all("main")[0]
    assert "hx-get" not in main


def test_the_fragment_is_the_live_part_alone(shared: Bench) -> None:
    text = _browser(shared).get("/fragment").text
    assert not _Page(text).all("html")
    assert "Devices" in text


def test_ages_and_sizes_read_like_a_person_says_them(shared: Bench) -> None:
    now = shared.now
    spoken = {5: "5 s ago", 600: "10 min ago", 7200: "2 h ago", 661_119: "8 days ago", -5: "0 s ago"}
    for seconds, words in spoken.items():
        assert shapes.age((now - timedelta(seconds=seconds)).isoformat(), now) == words
    assert [shapes.size(60_000_000), shapes.size(2_500_000_000)] == ["60 MB", "2.5 GB"]
