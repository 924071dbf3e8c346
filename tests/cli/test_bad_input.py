"""Whatever a user gets wrong, in a process of its own: one sentence, the right exit code, and nothing left behind.

What the converter and the client of the fleet refuse has tables of its own in `tests/convert` and `tests/fleet/front`;
here is what only shows from outside: addresses, what a server refuses, configuration files, ports.
"""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekit.join import BrokerAccess, Join, TrustAnchor, to_toml
from fleet.store.tokens import Role
from tests.cli.typed import NOWHERE, Case, Make, check, type_in
from tests.fleet.front.bench import Bench

# ---- a server that is not there, or does not want it ------------------------------------------------------------

SERVERS: dict[str, Case] = {
    **{
        f"nobody for {words}": Case(f"{words} --server {NOWHERE}", 7, ("nothing answers at", "check the address"))
        for words in (
            "fleet devices list",
            "fleet devices add press-7 -o join.toml",
            "fleet rollout status",
            "fleet rollout create pump 1.0.0",
            "release push",
        )
    },
    "a port that is none": Case("fleet devices list --server http://127.0.0.1:99999", 2, ("http://HOST:PORT",)),
    "an address that is none": Case("fleet devices list --server 127.0.0.1:8800", 2, ("must start with http://",)),
}


@pytest.mark.parametrize("fault", SERVERS)
def test_a_server_that_is_not_there_is_named(fault: str, desk: Path) -> None:
    check(SERVERS[fault], desk, EDGEKIT_TOKEN="ek_any")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("bench"))
    made.sign("pump", "1.0.0")
    yield made
    made.close()


def altered(pattern: str, change: Callable[[bytes], bytes]) -> Make:
    def make(folder: Path) -> None:
        [path] = (folder / "repo").glob(pattern)
        path.write_bytes(change(path.read_bytes()))

    return make


REFUSED: dict[str, Case] = {
    "an unknown token": Case("release push --repo repo", 6, ("token",), environ=(("EDGEKIT_TOKEN", "ek_wrong"),)),
    "a token for looking": Case("release push --repo repo", 6, ("needs the role operator",)),
    "a bundle altered after signing": Case(
        "release push --repo repo", 1, ("digest",), altered("bundles/*.edgekit", lambda content: content[:-1] + b"x")
    ),
    "metadata altered after signing": Case(
        "release push --repo repo",
        1,
        ("pump.json lacks the signatures",),
        altered("metadata/*.pump.json", lambda content: content.replace(b'"counter": 1', b'"counter": 9')),
    ),
    "https to a server without it": Case("fleet devices list --server https", 7, ("does not speak TLS",)),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_a_server_refuses_is_told_in_its_words(fault: str, bench: Bench, tmp_path: Path) -> None:
    case = REFUSED[fault]
    shutil.copytree(bench.folder / "repo", tmp_path / "repo")
    role = Role.VIEWER if fault == "a token for looking" else Role.ADMIN
    environ = {"EDGEKIT_TOKEN": bench.secrets[role], "EDGEKIT_SERVER": bench.web.url}
    words = case.words.replace("--server https", f"--server {bench.web.url.replace('http:', 'https:')}")
    check(Case(words, case.code, case.says, case.make, case.environ), tmp_path, **environ)


# ---- configuration ----------------------------------------------------------------------------------------------


def text(name: str, content: str) -> Make:
    return lambda folder: (folder / name).write_text(content)


JOIN = to_toml(
    Join(tenant="default", device="press-7", broker=BrokerAccess(url="mqtt://h"), trust=TrustAnchor(root="{}"))
)
FLEET_FAULTS = (
    '[server]\nport = 99999\ntenant = "A B"\ncolour = "red"\n[broker]\nmode = "both"\nretained_max_bytes = 0\n[extra]\n'
)
AGENT_FAULTS = "[http]\nport = -1\n[update]\nchunk_window = 99\nmax_trial_boots = 0\nnonsense = 1\n[healt]\n"
JOIN_FAULTS = JOIN.replace('device = "press-7"', 'device = "Press 7"').replace("tenant", "tennant")

CONFIGURATIONS: dict[str, Case] = {
    "no fleet.toml": Case("fleet serve --config no.toml", 2, ("no.toml cannot be read", "check the path")),
    "every fault of fleet.toml": Case(
        "fleet serve --config fleet.toml",
        2,
        ("6 faults", "port is 99999", "tenant must", "server.colour", "broker.mode", "retained_max_bytes", "extra"),
        text("fleet.toml", FLEET_FAULTS),
    ),
    "a fleet.toml that is no TOML": Case(
        "fleet migrate", 2, ("fleet.toml is not valid TOML",), text("fleet.toml", "x")
    ),
    "a setting of the environment": Case(
        "fleet serve", 2, ("EDGEKIT_SERVER_PORT",), environ=(("EDGEKIT_SERVER_PORT", "many"),)
    ),
    "a token over another file": Case(
        "fleet token create --name me --role admin -o fleet.toml", 2, ("fleet.toml exists",), text("fleet.toml", "")
    ),
    "a database that is not there": Case(
        "fleet migrate",
        7,
        ("cannot be opened", "check [database] url"),
        text("fleet.toml", '[database]\nurl = "postgresql://me:secret@127.0.0.1:1/fleet"\n'),
    ),
    "tokens of a server that was never set up": Case(
        "fleet token list", 2, ("no database at", "edgekit fleet migrate")
    ),
    "no join.toml": Case("agent run --config join.toml", 2, ("join.toml cannot be read", "check the path")),
    "an agent.toml without its join.toml": Case(
        "agent run --config agent.toml", 2, ("join.toml cannot be read",), text("agent.toml", "")
    ),
    "every fault of agent.toml": Case(
        "agent run --config agent.toml",
        2,
        ("5 faults", "port is -1", "chunk_window is 99", "max_trial_boots is 0", "update.nonsense", "healt is not"),
        text("agent.toml", AGENT_FAULTS),
    ),
    "every fault of join.toml": Case(
        "agent run --config join.toml", 2, ("tenant is missing", "tennant is not"), text("join.toml", JOIN_FAULTS)
    ),
    "a device id that is none": Case(
        "agent run --config join.toml",
        2,
        ("'Press 7' is not an id",),
        text("join.toml", JOIN.replace("press-", "Press ")),
    ),
    "an agent that was never started": Case(
        "agent status --config join.toml", 7, ("no agent answers", "edgekit agent run"), text("join.toml", JOIN)
    ),
}


@pytest.mark.parametrize("fault", CONFIGURATIONS)
def test_a_configuration_is_refused_before_anything_is_made(fault: str, tmp_path: Path) -> None:
    check(CONFIGURATIONS[fault], tmp_path)


# ---- ports ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("section", "other"), [("server", "broker"), ("broker", "server")])
def test_a_server_whose_port_is_taken_ends_at_once_and_says_which(section: str, other: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "fleet.toml").write_text(f"[{section}]\nport = {port}\n[{other}]\nport = 0\n")
        assert type_in(tmp_path, "fleet keys init").returncode == 0
        before = sorted(path.name for path in tmp_path.iterdir())
        done = type_in(tmp_path, "fleet serve --json")
    assert done.returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    fault = json.loads(done.stderr.splitlines()[-1])["error"]
    assert fault["reason"] == "port_taken"
    assert f"127.0.0.1:{port}" in fault["message"]
    assert f"[{section}] port" in fault["message"]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
