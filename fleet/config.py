"""`fleet.toml`: how a fleet server is set up. Every setting has a default; relative paths start at the file's folder.

`EDGEKIT_SERVER_PORT=0` overrides `port` in `[server]`, and so on. Passwords are given by file, never inline.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from edgekit import config as configs
from edgekit.errors import ConfigError
from edgekit.files import read_bounded
from edgekit.names import is_id

DEFAULT_NAME = "fleet.toml"
_MAX_SECRET_BYTES = 4096
_SQLITE = "sqlite:///"


def _unless(holds: bool, fault: str) -> str | None:
    return None if holds else fault


class ServerSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[server]`: where the API listens (port 0: any free port) and where files are kept."""

    host: str = "127.0.0.1"
    port: int = 8800
    data_dir: str = "edgekit-fleet"
    tenant: str = "default"

    def __post_init__(self) -> None:
        configs.check(
            configs.within("port", self.port, 0, 65_535),
            _unless(is_id(self.tenant), "tenant must be lower-case letters, digits and hyphens"),
        )


class DatabaseSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[database]`: an SQLAlchemy URL; empty means an SQLite file in the data folder."""

    url: str = ""

    def __post_init__(self) -> None:
        known = ("", "sqlite", "postgresql", "postgresql+psycopg")
        configs.check(_unless(self.url.partition("://")[0] in known, "url must start with sqlite:/// or postgresql://"))


class BrokerSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[broker]`: the embedded broker's address, or the external one's URL and the credentials of server and devices.

    `retained_max_bytes`: how much of artifacts may lie at the broker at once.
    """

    mode: Literal["embedded", "external"] = "embedded"
    host: str = "127.0.0.1"
    port: int = 1883
    url: str = ""
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    retained_max_bytes: int = 1 << 30
    device_username: str = ""
    device_password_file: str = ""

    def __post_init__(self) -> None:
        named = self.mode == "embedded" or self.url.startswith(("mqtt://", "mqtts://"))
        encrypted = not self.ca_file or self.url.startswith("mqtts://")
        configs.check(
            configs.within("port", self.port, 0, 65_535),
            _unless(self.retained_max_bytes > 0, "retained_max_bytes must be above 0"),
            _unless(named, "url must start with mqtt:// or mqtts://"),
            _unless(encrypted, "ca_file needs a url that starts with mqtts://"),
        )


class KeysSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[keys]`: the folder of the server's private keys (`edgekit fleet keys init`)."""

    dir: str = "keys"


class FleetConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. As `load` returns it, every path in it is absolute."""

    server: ServerSection = ServerSection()
    database: DatabaseSection = DatabaseSection()
    broker: BrokerSection = BrokerSection()
    keys: KeysSection = KeysSection()

    @property
    def data_dir(self) -> Path:
        """The folder of the SQLite database, the artifacts and the embedded broker's files."""
        return Path(self.server.data_dir)

    @property
    def keys_dir(self) -> Path:
        """The folder of `snapshot.pem`, `timestamp.pem` and `desired.pem`."""
        return Path(self.keys.dir)

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL to use; PostgreSQL always through psycopg 3."""
        url = self.database.url or f"{_SQLITE}{self.data_dir / 'fleet.db'}"
        return url.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite database."""
        return Path(self.database_url.removeprefix(_SQLITE)) if self.database_url.startswith(_SQLITE) else None


def load(path: Path | None) -> FleetConfig:
    """The configuration in `path`; without one, `fleet.toml` of the working folder if it is there, else the defaults.

    Raises ConfigError with every fault listed.
    """
    if path is None and Path(DEFAULT_NAME).exists():
        path = Path(DEFAULT_NAME)
    if path is None:
        config = configs.build({}, FleetConfig, origin="of the environment")
        return _resolved(config, Path.cwd())
    return _resolved(configs.load(path, FleetConfig), path.resolve().parent)


def read_secret(path: str) -> str:
    """The one line of a password file, or "" when no file is named. Raises ConfigError, which never quotes it."""
    if not path:
        return ""
    try:
        return read_bounded(Path(path), _MAX_SECRET_BYTES).decode().strip()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"password file {path} cannot be read ({type(error).__name__}): check the path and its permissions"
        ) from error


def _resolved(config: FleetConfig, folder: Path) -> FleetConfig:
    def absolute(path: str) -> str:
        return str(folder / Path(path).expanduser()) if path else ""

    broker = msgspec.structs.replace(
        config.broker,
        password_file=absolute(config.broker.password_file),
        ca_file=absolute(config.broker.ca_file),
        device_password_file=absolute(config.broker.device_password_file),
    )
    url = config.database.url
    if url.startswith(_SQLITE):
        url = _SQLITE + absolute(url.removeprefix(_SQLITE))
    return FleetConfig(
        server=msgspec.structs.replace(config.server, data_dir=absolute(config.server.data_dir)),
        database=DatabaseSection(url=url),
        broker=broker,
        keys=KeysSection(dir=absolute(config.keys.dir)),
    )
