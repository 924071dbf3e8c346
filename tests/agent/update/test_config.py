"""The agent's configuration: `join.toml` alone, `agent.toml`, the environment, and every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import broker_address, load
from edgekit.errors import ConfigError
from edgekit.join import BrokerAccess, Join, TrustAnchor, to_toml

JOIN = Join(
    tenant="default",
    device="pump-1",
    broker=BrokerAccess(url="mqtt://127.0.0.1:1883", username="u", password="p"),
    trust=TrustAnchor(root="{}"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "join.toml").write_text(to_toml(JOIN))
    return tmp_path


def test_a_join_file_is_a_complete_configuration(folder: Path) -> None:
    config = load(folder / "join.toml", {})
    assert config.join == JOIN
    assert config.data_dir == folder / "edgekit-agent"
    assert (config.http.host, config.http.port, config.unix_socket) == ("127.0.0.1", 8700, None)


def test_an_agent_file_names_the_join_file_and_paths_are_relative_to_it(folder: Path) -> None:
    (folder / "sub").mkdir()
    path = folder / "sub" / "agent.toml"
    path.write_text('join = "../join.toml"\n[agent]\ndata_dir = "d"\n[http]\nunix_socket = "s.sock"\nport = 0\n')
    config = load(path, {})
    assert config.join == JOIN
    assert config.data_dir == folder / "sub" / "d"
    assert config.unix_socket == folder / "sub" / "s.sock"


def test_the_environment_overrides_both_files(folder: Path) -> None:
    environ = {"EDGEKIT_HTTP_PORT": "8701", "EDGEKIT_BROKER_PASSWORD": "other", "EDGEKIT_AGENT_DATA_DIR": "/d"}
    config = load(folder / "join.toml", environ)
    assert (config.http.port, config.join.broker.password, config.data_dir) == (8701, "other", Path("/d"))


def test_every_fault_is_listed(folder: Path) -> None:
    path = folder / "agent.toml"
    path.write_text("[http]\nport = 70000\n[update]\nchunk_window = 99\nnonsense = 1\n[health]\ninterval_s = 'x'\n")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    text = caught.value.message
    assert "http: port is 70000" in text
    assert "update.nonsense is not a known setting" in text
    assert "health.interval_s" in text


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "mqtt://h:port", "mqtt://h:1/path", "nonsense"])
def test_a_broker_address_that_is_none_is_refused(folder: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="mqtt://host:port"):
        load(folder / "join.toml", {"EDGEKIT_BROKER_URL": url})


def test_broker_ports_have_their_defaults() -> None:
    assert broker_address("mqtt://h") == ("h", 1883, False)
    assert broker_address("mqtts://h") == ("h", 8883, True)
    assert broker_address("mqtts://[::1]:9") == ("::1", 9, True)


def test_a_missing_join_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("")
    with pytest.raises(ConfigError, match=r"join\.toml cannot be read"):
        load(path, {})


def test_the_credential_is_not_shown(folder: Path) -> None:
    config = load(folder / "join.toml", {"EDGEKIT_BROKER_PASSWORD": "s3cret"})
    assert config.join.broker.password == "s3cret"
    assert "s3cret" not in repr(config)


def test_topics_in_and_out_are_read_with_their_defaults(folder: Path) -> None:
    path = folder / "agent.toml"
    path.write_text('[mqtt]\nrequests = true\n[[mqtt.inference]]\ninput = "a/in"\noutput = "a/out"\nmodel = "pump"\n')
    config = load(path, {})
    (way,) = config.mqtt.inference
    assert (config.mqtt.requests, way.input, way.output, way.model, way.qos) == (True, "a/in", "a/out", "pump", 0)


@pytest.mark.parametrize(
    ("ways", "says"),
    [
        ('input = "a/+"\noutput = "b"', "without"),
        ('input = "a"\noutput = "edgekit/1/default/d/x/health"', "belongs"),
        ('input = "a"\noutput = "a"', "answer itself"),
        ('input = "a"\noutput = "b"\nqos = 2', "qos"),
        ('input = "a"\noutput = "b"\ntopic = "c"', "topic"),
        ('input = "a"\noutput = "b"\n[[mqtt.inference]]\ninput = "a"\noutput = "c"', "twice"),
    ],
)
def test_topics_that_cannot_work_are_named(folder: Path, ways: str, says: str) -> None:
    path = folder / "agent.toml"
    path.write_text(f"[[mqtt.inference]]\n{ways}\n")
    with pytest.raises(ConfigError, match=says):
        load(path, {})
