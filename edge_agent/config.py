"""The agent's configuration: `join.toml` alone is enough, `agent.toml` names it and changes defaults.

    join = "join.toml"

    [agent]
    data_dir = "edgekit-agent"

Relative paths are relative to the file that holds them. `EDGEKIT_HTTP_PORT=8701` overrides `port` in `[http]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from edgekit import config
from edgekit.errors import ConfigError
from edgekit.join import Join
from edgekit.messages import MAX_MESSAGE_BYTES
from edgekit.names import is_id
from edgekit.topics import PREFIX

_BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883}


class AgentSection(msgspec.Struct, frozen=True, kw_only=True):
    """`data_dir`: everything the agent keeps. One running agent per folder. `memory_budget_bytes`: what all loaded
    models may take together; 0: whatever the machine and its control group have free.
    """

    data_dir: str = "edgekit-agent"
    memory_budget_bytes: int = 0

    def __post_init__(self) -> None:
        config.check(config.within("memory_budget_bytes", self.memory_budget_bytes, 0, 1 << 50))


class HttpSection(msgspec.Struct, frozen=True, kw_only=True):
    """The local API. `port` 0 takes any free one; `unix_socket` (a path) is served as well when it is given."""

    host: str = "127.0.0.1"
    port: int = 8700
    unix_socket: str = ""

    def __post_init__(self) -> None:
        config.check(config.within("port", self.port, 0, 65_535))


class HealthSection(msgspec.Struct, frozen=True, kw_only=True):
    """How often health is reported."""

    interval_s: float = 60.0

    def __post_init__(self) -> None:
        config.check(config.within("interval_s", self.interval_s, 0.2, 86_400))


class LinkSection(msgspec.Struct, frozen=True, kw_only=True):
    """The connection to the broker. Waits between attempts double from `retry_min_s` to `retry_max_s`, with jitter.
    `protocol`: the version of MQTT; every broker has 3.1.1, and 5 carries response topics.
    """

    protocol: Literal["3.1.1", "5"] = "3.1.1"
    keepalive_s: int = 45
    retry_min_s: float = 1.0
    retry_max_s: float = 120.0

    def __post_init__(self) -> None:
        config.check(
            config.within("keepalive_s", self.keepalive_s, 5, 3_600),
            config.within("retry_min_s", self.retry_min_s, 0.05, 3_600),
            config.within("retry_max_s", self.retry_max_s, self.retry_min_s, 86_400),
        )


class InferenceWay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sensor topic whose messages are predicted (`input`), and where the predictions go (`output`)."""

    input: str
    output: str
    model: str = ""
    qos: int = 0

    def __post_init__(self) -> None:
        config.check(
            config.within("qos", self.qos, 0, 1),
            *(_topic_fault(name, topic) for name, topic in (("input", self.input), ("output", self.output))),
            f"model {self.model[:63]!r} is not an id" if self.model and not is_id(self.model) else None,
        )


class MqttSection(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions over MQTT. `requests`: answer what is asked on the device's `predict` topic. `queue`: messages that
    may wait, the oldest gives way.
    """

    requests: bool = False
    qos: int = 1
    queue: int = 64
    max_message_bytes: int = 65_536
    inference: list[InferenceWay] = []

    def __post_init__(self) -> None:
        inputs = [way.input for way in self.inference]
        twice = sorted({topic for topic in inputs if inputs.count(topic) > 1})
        loops = sorted({way.output for way in self.inference} & set(inputs))
        config.check(
            config.within("qos", self.qos, 0, 1),
            config.within("queue", self.queue, 1, 10_000),
            config.within("max_message_bytes", self.max_message_bytes, 256, MAX_MESSAGE_BYTES),
            *(f"inference: input {topic!r} is named twice" for topic in twice),
            *(f"inference: {topic!r} is an input and an output: it would answer itself" for topic in loops),
        )


class UpdateSection(msgspec.Struct, frozen=True, kw_only=True):
    """How updates are carried out.

    `chunk_window`: chunks asked for at once. `chunk_timeout_s`: a chunk or index that has not come by then is asked
    for again. `stall_limit_s`: a download without a new chunk for so long, link up, fails. `max_trial_boots`: a trial
    that was started so often without standing its soak is rolled back at the next start. `retry_min_s`/`retry_max_s`:
    how soon and how rarely a waiting update tries again.
    """

    chunk_window: int = 8
    chunk_timeout_s: float = 10.0
    stall_limit_s: float = 3_600.0
    preflight_timeout_s: float = 60.0
    preflight_memory_mib: int = 4_096
    trust_timeout_s: float = 60.0
    metadata_timeout_s: float = 10.0
    max_trial_boots: int = 3
    retry_min_s: float = 5.0
    retry_max_s: float = 900.0

    def __post_init__(self) -> None:
        waits = ("chunk_timeout_s", "stall_limit_s", "preflight_timeout_s", "trust_timeout_s")
        config.check(
            config.within("chunk_window", self.chunk_window, 1, 16),
            config.within("max_trial_boots", self.max_trial_boots, 1, 100),
            config.within("preflight_memory_mib", self.preflight_memory_mib, 512, 1 << 20),
            *(config.within(name, getattr(self, name), 0.1, 86_400) for name in waits),
            config.within("metadata_timeout_s", self.metadata_timeout_s, 0.1, self.trust_timeout_s),
            config.within("retry_min_s", self.retry_min_s, 0.05, 86_400),
            config.within("retry_max_s", self.retry_max_s, self.retry_min_s, 86_400),
        )


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """`agent.toml`."""

    join: str = "join.toml"
    agent: AgentSection = AgentSection()
    http: HttpSection = HttpSection()
    health: HealthSection = HealthSection()
    link: LinkSection = LinkSection()
    mqtt: MqttSection = MqttSection()
    update: UpdateSection = UpdateSection()


@dataclass(frozen=True)
class AgentConfig:
    """A checked configuration. `data_dir` and `unix_socket` are absolute; `unix_socket` is None when not asked for."""

    join: Join
    data_dir: Path
    unix_socket: Path | None
    agent: AgentSection
    http: HttpSection
    health: HealthSection
    link: LinkSection
    update: UpdateSection
    mqtt: MqttSection


def load(path: Path, environ: Mapping[str, str] | None = None) -> AgentConfig:
    """Read `agent.toml`, or `join.toml` itself. Raises ConfigError listing every fault of the file that has some."""
    folder = path.absolute().parent
    table, file = _read(path, environ)
    join_path = path
    if table is None:
        join_path = folder / file.join
        table = config.read_toml(join_path)
    join = config.build(table, Join, environ=environ, origin=str(join_path))
    broker_address(join.broker.url)
    unix_socket = folder / file.http.unix_socket if file.http.unix_socket else None
    data_dir = folder / file.agent.data_dir
    return AgentConfig(
        join, data_dir, unix_socket, file.agent, file.http, file.health, file.link, file.update, file.mqtt
    )


def files(path: Path) -> list[Path]:
    """The files that a configuration is made of: `path`, and the join file when that is another. Raises ConfigError."""
    table, file = _read(path, None)
    return [path] if table is not None else [path, path.absolute().parent / file.join]


def _read(path: Path, environ: Mapping[str, str] | None) -> tuple[dict[str, Any] | None, _File]:
    """The join document's table when `path` is one, and the settings: defaults then."""
    table = config.read_toml(path)
    is_join = "schema" in table
    file = config.build({} if is_join else table, _File, environ=environ, origin=str(path))
    return (table if is_join else None), file


def broker_address(url: str) -> tuple[str, int, bool]:
    """(host, port, TLS?) of a broker URL. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port or _BROKER_PORTS[parts.scheme]
        host = parts.hostname
    except (ValueError, KeyError):
        host, port = None, 0
    if not host or parts.path not in ("", "/"):
        raise ConfigError("broker.url must look like mqtt://host:port or mqtts://host:port")
    return host, port, parts.scheme == "mqtts"


def _topic_fault(name: str, topic: str) -> str | None:
    """What is wrong with a topic of the configuration: a plain one that is not edgekit's own is asked for."""
    if not topic or any(char in topic for char in "+#\0") or len(topic.encode()) > 1_024:
        return f"{name} {topic[:80]!r} must be a topic of 1 to 1024 bytes without + and #"
    if topic.startswith("$") or topic.partition("/")[0] == PREFIX.partition("/")[0]:
        return f"{name} {topic[:80]!r} belongs to the broker or to edgekit: choose another"
    return None
