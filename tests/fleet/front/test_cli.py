"""The command line against a real server: what it prints, what it writes, and the exit codes of bad input."""

from __future__ import annotations

import json
import stat
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit import config as configs
from edgekit.cli import main
from edgekit.join import Join
from edgekit.trust.keys import decode_server_keys
from fleet.store.tokens import Role
from tests.fleet.front.bench import Bench


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Shell:
    """Runs `edgekit fleet …` as its entry point does, in the bench's folder and with a clean environment."""

    bench: Bench
    capsys: pytest.CaptureFixture[str]
    role: Role | None = Role.ADMIN

    def __call__(self, *words: str, expect: int = 0, token: str | None = None) -> Done:
        return self.edgekit("fleet", *words, expect=expect, token=token)

    def edgekit(self, *words: str, expect: int = 0, token: str | None = None) -> Done:
        secret = token if token is not None or self.role is None else self.bench.secrets[self.role]
        with pytest.MonkeyPatch.context() as surroundings:
            surroundings.chdir(self.bench.folder)
            surroundings.setenv("EDGEKIT_SERVER", self.bench.web.url)
            surroundings.delenv("EDGEKIT_TOKEN", raising=False)
            if secret is not None:
                surroundings.setenv("EDGEKIT_TOKEN", secret)
            surroundings.setattr(sys, "argv", ["edgekit", *words])
            with pytest.raises(SystemExit) as ended:
                main()
        done = Done(int(ended.value.code or 0), *self.capsys.readouterr())
        assert done.code == expect, (words, done)
        for known in self.bench.secrets.values():
            assert known not in done.stdout + done.stderr
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json").stdout)


@pytest.fixture
def shell(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(bench, capsys)


@pytest.fixture
def shared_shell(shared: Bench, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(shared, capsys)


def _ready(bench: Bench, devices: int = 2) -> None:
    bench.sign("pump", "1.0.0")
    bench.push()
    for number in range(devices):
        assert bench.client().post("/api/v1/devices", json={"id": f"press-{number}"}).status_code == 201


# ---- on the server itself -------------------------------------------------------------------------------------


def test_a_server_is_set_up_from_nothing_and_twice_over(tmp_path: Path, bench: Bench, shell: Shell) -> None:
    (tmp_path / "fleet.toml").write_text('[server]\ndata_dir = "state"\n[keys]\ndir = "own-keys"\n')
    assert shell.json("migrate", "--config", "fleet.toml")["before"] is None
    assert shell.json("migrate")["before"] is not None, "fleet.toml of the working folder is found"
    made = shell.json("keys", "init", "-o", "server-keys.json")
    assert made["made"] == ["snapshot", "timestamp", "desired"]
    content = (tmp_path / "server-keys.json").read_bytes()
    assert shell.json("keys", "init", "-o", "server-keys.json")["made"] == []
    assert (tmp_path / "server-keys.json").read_bytes() == content
    assert decode_server_keys(content).keys() == {"snapshot", "timestamp", "desired"}
    assert shell("keys", "init").stdout.encode() == content
    assert shell("keys", "init", "--json").stdout.count("\n") == 1
    for name in ("snapshot", "timestamp", "desired"):
        assert stat.S_IMODE((tmp_path / f"own-keys/{name}.pem").stat().st_mode) == 0o600


def test_a_token_is_made_shown_once_listed_and_revoked(tmp_path: Path, shell: Shell) -> None:
    config = ["--config", "fleet.toml"]
    (tmp_path / "fleet.toml").write_text("")
    made = shell.json("token", "create", "--name", "ci", "--role", "operator", *config)
    assert made["token"].startswith("ek_")
    listed = shell("token", "list", *config).stdout
    assert "ci" in listed
    assert made["token"] not in listed
    shell("token", "create", "--name", "file", "--role", "viewer", "-o", "token", *config)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert shell.json("token", "revoke", "ci", *config)["revoked"] == [made["id"]]
    shell("token", "revoke", "ci", *config, expect=1)


# ---- from anywhere --------------------------------------------------------------------------------------------


def test_the_join_document_is_written_for_its_owner_alone(bench: Bench, shell: Shell) -> None:
    _ready(bench, devices=0)
    shell("devices", "add", "press-7", "-o", "join.toml", "--tag", "hall=3")
    path = bench.folder / "join.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    join = configs.load(path, Join, environ={})
    assert (join.device, join.broker.password) == ("press-7", "broker-secret")
    printed = tomllib.loads(shell("devices", "add", "press-8").stdout)
    assert printed["device"] == "press-8"
    assert msgspec.convert(shell.json("devices", "add", "press-9"), Join).device == "press-9"


def test_a_join_document_that_cannot_be_written_registers_nothing(bench: Bench, shell: Shell) -> None:
    _ready(bench, devices=0)
    (bench.folder / "join.toml").write_text("another device's")
    for output in ("join.toml", "no/such/join.toml"):
        shell("devices", "add", "press-7", "-o", output, expect=2)
    assert bench.client().get("/api/v1/devices").json()["devices"] == []
    assert (bench.folder / "join.toml").read_text() == "another device's"


def test_release_push_sends_what_is_missing_and_no_more(bench: Bench, shell: Shell) -> None:
    bench.sign("pump", "1.0.0")
    words = ("release", "push", "--repo", "repo", "--json")
    first = json.loads(shell.edgekit(*words).stdout)
    assert (first["bundles_sent"], first["releases"]) == (1, ["pump 1.0.0"])
    again = json.loads(shell.edgekit(*words).stdout)
    assert (again["bundles_sent"], again["releases"], again["snapshot"]) == (0, [], first["snapshot"])


def test_devices_are_listed_shown_tagged_and_retired(bench: Bench, shell: Shell) -> None:
    _ready(bench)
    bench.hear_of("press-0", version="1.0.0", ok=5)
    lines = shell("devices", "list").stdout.splitlines()
    assert lines[0].split()[:2] == ["device", "online"]
    assert "pump 1.0.0 (serving)" in lines[1]
    assert [device["id"] for device in shell.json("devices", "list")] == ["press-0", "press-1"]
    assert "5 requests" in shell("devices", "show", "press-0").stdout
    assert shell.json("devices", "tag", "press-0", "hall=3")["tags"] == {"hall": "3"}
    assert shell.json("devices", "tag", "press-0", "hall-")["tags"] == {}
    shell("devices", "retire", "press-1")
    assert [device["id"] for device in shell.json("devices", "list")] == ["press-0"]


def test_a_terminal_gets_no_control_characters_from_devices(bench: Bench, shell: Shell) -> None:
    _ready(bench, devices=1)
    bench.hear_of("press-0", version="\x1b[2J\x07evil")
    for words in (("devices", "list"), ("devices", "show", "press-0"), ("models", "show", "pump")):
        printed = shell(*words).stdout
        assert "evil" in printed
        assert "\x1b" not in printed
        assert "\x07" not in printed


def test_releases_and_models_are_listed_and_shown(bench: Bench, shell: Shell) -> None:
    _ready(bench)
    bench.hear_of("press-0", version="1.0.0", ok=5)
    assert [item["version"] for item in shell.json("releases", "list")] == ["1.0.0"]
    assert "0 label changes in 1000 rows" in shell("releases", "show", "pump", "1.0.0").stdout
    assert shell.json("models", "list")[0]["devices"] == {"1.0.0": 1}
    assert "1.0.0" in shell("models", "show", "pump").stdout


def test_a_rollout_is_planned_created_steered_and_told(bench: Bench, shell: Shell) -> None:
    _ready(bench)
    assert [len(stage) for stage in shell.json("rollout", "create", "pump", "1.0.0", "--dry-run")["stages"]] == [1, 1]
    made = shell.json("rollout", "create", "pump", "1.0.0", "--stage", "100%", "--soak-s", "2", "--on-fail", "pause")
    assert (made["plan"]["soak_s"], made["plan"]["on_fail"], len(made["stages"])) == (2, "pause", 1)
    assert made["id"] in shell("rollout", "list").stdout
    assert "is running" in shell("rollout", "status").stdout
    shell("rollout", "pause", made["id"])
    assert "paused" in shell("rollout", "history", made["id"]).stdout
    assert shell.json("rollout", "status", made["id"])["state"] == "paused"


def test_a_plan_file_is_read_and_overridden(bench: Bench, shell: Shell) -> None:
    _ready(bench)
    (bench.folder / "plan.toml").write_text('soak_s = 5\nwait_max_s = 90\n[[stages]]\ndevices = ["press-1"]\n')
    (bench.folder / "plan.json").write_text('{"model": "fan"}')
    words = ["rollout", "create", "pump", "1.0.0", "--plan"]
    made = shell.json(*words, "plan.toml", "--soak-s", "7")
    assert (made["plan"]["soak_s"], made["plan"]["wait_max_s"], made["devices_total"]) == (7, 90, 1)
    shell(*words, "plan.json", expect=2)
    shell(*words, "absent.toml", expect=2)


@pytest.mark.parametrize(("state", "code"), [("completed", 0), ("rolled_back", 3), ("aborted", 3), ("paused", 5)])
def test_watching_ends_with_the_exit_code_of_the_end(bench: Bench, shell: Shell, state: str, code: int) -> None:
    _ready(bench)
    made = shell.json("rollout", "create", "pump", "1.0.0")["id"]
    bench.end_rollout(made, state)
    done = shell("rollout", "status", made, "--watch", "--json", expect=code)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["state"] == state
    if code:
        assert json.loads(done.stderr)["error"]["reason"] == state


def test_watching_stops_at_its_timeout_while_the_rollout_goes_on(bench: Bench, shell: Shell) -> None:
    _ready(bench)
    done = shell("rollout", "create", "pump", "1.0.0", "--wait", "--timeout", "0.2", expect=4)
    assert "still running" in done.stderr
    assert bench.client().get("/api/v1/rollouts").json()["rollouts"][0]["state"] == "running"


# ---- bad input ------------------------------------------------------------------------------------------------

BAD_INPUT: list[tuple[str, list[str], int, str]] = [
    ("unknown command", ["dance"], 2, "No such command"),
    ("unknown device", ["devices", "show", "nobody"], 1, "not known here"),
    ("bad device id", ["devices", "add", "Press 7"], 2, "not allowed"),
    ("device without a root", ["devices", "add", "press-7"], 1, "release push"),
    ("bad tag", ["devices", "add", "press-7", "--tag", "hall"], 2, "NAME=VALUE"),
    ("path as an id", ["devices", "show", "../status"], 1, "not known here"),
    ("unknown release", ["releases", "show", "pump", "9.9.9"], 1, "not known here"),
    ("unknown model", ["models", "show", "fan"], 1, "not known here"),
    ("rollout of an unknown release", ["rollout", "create", "fan", "1.0.0"], 1, "not known here"),
    ("rollout of a bad version", ["rollout", "create", "fan", "newest"], 2, "not allowed"),
    ("bad stage", ["rollout", "create", "fan", "1.0.0", "--stage", "half"], 2, "stage 1"),
    ("bad soak", ["rollout", "create", "fan", "1.0.0", "--soak-s", "long"], 2, "--soak-s"),
    ("no rollouts", ["rollout", "status"], 1, "no rollouts yet"),
    ("unknown rollout", ["rollout", "pause", "r1"], 1, "r1"),
    ("no server address", ["devices", "list", "--server", ""], 2, "EDGEKIT_SERVER"),
    ("malformed server address", ["devices", "list", "--server", "localhost"], 2, "http://"),
    ("unreachable server", ["devices", "list", "--server", "http://127.0.0.1:1"], 7, "nothing answers"),
    ("absent token file", ["devices", "list", "--token-file", "absent"], 2, "token file"),
    ("absent configuration", ["migrate", "--config", "absent.toml"], 2, "cannot be read"),
    ("faulty configuration", ["serve", "--config", "faulty.toml"], 2, "2 faults"),
    ("bad role", ["token", "create", "--name", "x", "--role", "king"], 2, "king"),
    ("absent folder for keys", ["keys", "init", "-o", "no/such/keys.json"], 2, "folder does not exist"),
]


@pytest.mark.parametrize(("words", "code", "says"), [row[1:] for row in BAD_INPUT], ids=[row[0] for row in BAD_INPUT])
def test_bad_input_gives_one_clear_sentence(shared_shell: Shell, words: list[str], code: int, says: str) -> None:
    (shared_shell.bench.folder / "faulty.toml").write_text('[server]\nport = "x"\ncolour = "red"\n')
    done = shared_shell(*words, expect=code)
    assert says in done.stderr
    assert done.stdout == ""
    faults = [line for line in done.stderr.splitlines() if line.lower().startswith("error")]
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("role", "token", "says"),
    [
        (None, None, "EDGEKIT_TOKEN"),
        (None, "ek_wrong", "not known here"),
        (None, "ek_ä", "copy it again"),
        (Role.VIEWER, None, "needs the role operator"),
    ],
    ids=["no token", "wrong token", "no token at all", "role too low"],
)
def test_what_is_not_allowed_ends_with_6(
    shared: Bench, capsys: pytest.CaptureFixture[str], role: Role | None, token: str | None, says: str
) -> None:
    done = Shell(shared, capsys, role)("devices", "add", "press-7", expect=6, token=token)
    assert says in done.stderr


def test_the_token_may_come_from_a_file(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (bench.folder / "token").write_text(bench.secrets[Role.VIEWER] + "\n")
    assert Shell(bench, capsys, None).json("devices", "list", "--token-file", "token") == []
