"""Every route asks for a token of its role; nothing leaks without one."""

from __future__ import annotations

import pytest

from edgekit.errors import Conflict
from fleet.store import tokens
from fleet.store.moments import stored
from fleet.store.tokens import Role
from tests.fleet.front.bench import Bench

SHA = "ab" * 32
V, O, A = Role.VIEWER, Role.OPERATOR, Role.ADMIN  # noqa: E741
ROUTES: list[tuple[str, str, Role]] = [
    ("GET", "/metrics", V),
    ("GET", "/api/v1/status", V),
    ("GET", "/api/v1/devices", V),
    ("GET", "/api/v1/devices/press-7", V),
    ("POST", "/api/v1/devices", O),
    ("POST", "/api/v1/devices/press-7/tags", O),
    ("POST", "/api/v1/devices/press-7/retire", A),
    ("GET", "/api/v1/releases", V),
    ("GET", "/api/v1/releases/pump/1.0.0", V),
    ("HEAD", f"/api/v1/artifacts/{SHA}", V),
    ("PUT", f"/api/v1/artifacts/{SHA}", O),
    ("POST", "/api/v1/metadata", O),
    ("GET", "/api/v1/metadata/timestamp.json", V),
    ("GET", "/api/v1/rollouts", V),
    ("POST", "/api/v1/rollouts", O),
    ("GET", "/api/v1/rollouts/r1", V),
    ("GET", "/api/v1/rollouts/r1/history", V),
    ("POST", "/api/v1/rollouts/r1/pause", O),
    ("GET", "/api/v1/models", V),
    ("GET", "/api/v1/models/pump", V),
]


@pytest.mark.parametrize(("method", "path", "minimum"), ROUTES, ids=[f"{m} {p}" for m, p, _ in ROUTES])
def test_a_route_lets_in_its_role_and_no_lower_one(shared: Bench, method: str, path: str, minimum: Role) -> None:
    assert shared.client(None).request(method, path).status_code == 401
    wrong = shared.client(None).request(method, path, headers={"Authorization": "Bearer ek_wrong"})
    assert wrong.status_code == 401
    for role in Role:
        status = shared.client(role).request(method, path).status_code
        assert (status == 403) == (role < minimum), (role, status)
        assert status != 401
        assert status != 500


def test_the_table_names_every_route(shared: Bench) -> None:
    """A route that nobody put into the table would be tested by nobody."""
    described = shared.client(None).get("/openapi.json").json()["paths"]
    known = {(method.upper(), path) for path, operations in described.items() for method in operations}
    patterns = {
        ("GET", "/health"),
        *((method, _pattern(path)) for method, path, _ in ROUTES),
    }
    assert known == patterns


def _pattern(path: str) -> str:
    words = {"press-7": "{device}", "r1": "{rollout}", "pause": "{action}", SHA: "{sha256}"}
    words |= {"timestamp.json": "{name}", "1.0.0": "{version}"}
    model = "{model}" if "/releases/" in path else "{name}"
    return "/".join(words.get(part, model if part == "pump" else part) for part in path.split("/"))


def test_health_needs_no_token_and_tells_nothing_of_the_fleet(shared: Bench) -> None:
    answer = shared.client(None).get("/health")
    assert answer.json().keys() == {"status", "version"}


def test_a_revoked_token_is_refused_at_once(bench: Bench) -> None:
    client = bench.client(Role.OPERATOR)
    assert client.get("/api/v1/devices").status_code == 200
    with bench.database.begin() as connection:
        tokens.revoke(connection, "operator", now_ms=stored(bench.now))
    answer = client.get("/api/v1/devices")
    assert (answer.status_code, answer.json()["reason"]) == (401, "token_revoked")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_secrets_are_stored_nowhere(bench: Bench) -> None:
    content = b"".join(path.read_bytes() for path in (bench.folder / "data").glob("fleet.db*"))
    for secret in bench.secrets.values():
        assert secret.encode() not in content
        assert len(secret) >= 43


def test_a_name_has_one_active_token(bench: Bench) -> None:
    with bench.database.begin() as connection, pytest.raises(Conflict):
        tokens.create(connection, name="admin", role=Role.VIEWER, now_ms=0)


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/api/v1/nonsense", 404, "not_found"),
        ("DELETE", "/api/v1/devices", 405, "method_not_allowed"),
        ("GET", "/api/v1/devices?limit=0", 400, "usage"),
        ("GET", "/api/v1/devices/none", 404, "not_found"),
        ("PUT", "/api/v1/artifacts/xyz", 400, "usage"),
        ("POST", "/api/v1/rollouts/r1/dance", 400, "usage"),
    ],
)
def test_faults_are_one_sentence_and_a_word(shared: Bench, method: str, path: str, status: int, reason: str) -> None:
    answer = shared.client().request(method, path)
    assert answer.status_code == status
    assert answer.json()["reason"] == reason
    assert answer.json().keys() == {"detail", "reason"}


def test_a_body_over_its_limit_is_refused(shared: Bench) -> None:
    answer = shared.client().post("/api/v1/devices", content=b" " * ((1 << 20) + 1))
    assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")


def test_no_body_is_taken_in_before_the_token_is_known(shared: Bench) -> None:
    """The control: with a token, the same body is found to be no JSON."""
    body = b"[" * (2 << 20)
    assert shared.client(None).post("/api/v1/metadata", content=body).status_code == 401
    assert shared.client().post("/api/v1/metadata", content=body).status_code == 400


def test_every_answer_carries_the_protective_headers(shared: Bench) -> None:
    for path in ("/health", "/login", "/static/htmx.min.js", "/nowhere"):
        headers = shared.client(None).get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
