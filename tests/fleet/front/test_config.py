"""`fleet.toml`: defaults that work, paths from the file's folder, all faults at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import ConfigError
from fleet import config


def _load(folder: Path, text: str) -> config.FleetConfig:
    (folder / "fleet.toml").write_text(text)
    return config.load(folder / "fleet.toml")


def test_an_empty_file_is_a_whole_configuration(tmp_path: Path) -> None:
    found = _load(tmp_path, "")
    assert (found.server.host, found.server.port, found.broker.mode) == ("127.0.0.1", 8800, "embedded")
    assert found.data_dir == tmp_path / "edgekit-fleet"
    assert found.keys_dir == tmp_path / "keys"
    assert found.database_url == f"sqlite:///{tmp_path}/edgekit-fleet/fleet.db"


def test_without_a_file_the_working_folder_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load(None).keys_dir == tmp_path / "keys"
    (tmp_path / "fleet.toml").write_text('[keys]\ndir = "mine"\n')
    assert config.load(None).keys_dir == tmp_path / "mine"


def test_relative_paths_start_at_the_file_and_absolute_ones_stay(tmp_path: Path) -> None:
    found = _load(tmp_path, '[server]\ndata_dir = "/var/lib/edgekit"\n[database]\nurl = "sqlite:///own.db"\n')
    assert found.data_dir == Path("/var/lib/edgekit")
    assert found.database_url == f"sqlite:///{tmp_path}/own.db"


def test_postgresql_is_reached_through_psycopg(tmp_path: Path) -> None:
    found = _load(tmp_path, '[database]\nurl = "postgresql://edgekit@db/fleet"\n')
    assert found.database_url == "postgresql+psycopg://edgekit@db/fleet"


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_SERVER_PORT", "0")
    monkeypatch.setenv("EDGEKIT_SERVER", "http://elsewhere:8800")
    assert _load(tmp_path, "[server]\nport = 9000\n").server.port == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[server]\nport = 70000\n", "port is 70000"),
        ('[server]\ntenant = "A B"\n', "tenant"),
        ('[server]\ncolour = "red"\n', "server.colour is not a known setting"),
        ('[broker]\nmode = "carrier-pigeon"\n', "broker.mode"),
        ('[broker]\nmode = "external"\n', "mqtt://"),
        ('[broker]\nmode = "external"\nurl = "mqtt://b"\nca_file = "ca.pem"\n', "mqtts://"),
        ('[database]\nurl = "mysql://x"\n', "sqlite:/// or postgresql://"),
        ("[broker]\nretained_max_bytes = 0\n", "retained_max_bytes"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        _load(tmp_path, text)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, '[server]\nport = "x"\ncolour = 1\n[broker]\nport = -1\n')
    assert len(caught.value.faults) == 3


def test_a_password_comes_from_its_file_and_never_into_a_message(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    assert config.read_secret(str(tmp_path / "password")) == "s3cret"
    assert config.read_secret("") == ""
    (tmp_path / "password").write_bytes(b"s3cret\xff")
    with pytest.raises(ConfigError) as caught:
        config.read_secret(str(tmp_path / "password"))
    assert "s3cret" not in str(caught.value)
