"""Every MQTT topic of edgekit; the only place that spells one. `docs/protocol.md` has the table."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "edgekit/1"
DEVICE_LEAVES = ("desired", "reported", "presence", "event", "health", "ack", "want", "predict", "prediction")
DEVICE_TO_SERVER = ("reported", "presence", "event", "health", "want")


@dataclass(frozen=True)
class Topics:
    """The topics of one tenant."""

    tenant: str

    @property
    def _root(self) -> str:
        return f"{PREFIX}/{self.tenant}"

    def device(self, device: str, leaf: str) -> str:
        """`d/{device}/{leaf}`; leaf is one of DEVICE_LEAVES."""
        if leaf not in DEVICE_LEAVES:
            raise ValueError(f"no device topic is called {leaf!r}")
        return f"{self._root}/d/{device}/{leaf}"

    def all_devices(self, leaf: str) -> str:
        """The filter that matches `leaf` of every device."""
        return self.device("+", leaf)

    def server_presence(self) -> str:
        """Retained: the server is there (its last will says that it is not)."""
        return f"{self._root}/s/presence"

    def metadata(self, name: str) -> str:
        """TUF metadata by its file name, such as `3.snapshot.json`."""
        return f"{self._root}/meta/{name}"

    def index(self, sha256: str) -> str:
        """The chunk index of an artifact."""
        return f"{self._root}/a/{sha256}/index"

    def chunk(self, sha256: str, number: int) -> str:
        """Chunk `number` (from 0) of an artifact."""
        return f"{self._root}/a/{sha256}/{number}"

    def parse_device(self, topic: str) -> tuple[str, str] | None:
        """(device, leaf) of a device topic of this tenant, or None for any other topic."""
        head = f"{self._root}/d/"
        if not topic.startswith(head):
            return None
        device, slash, leaf = topic[len(head) :].partition("/")
        return (device, leaf) if slash and leaf in DEVICE_LEAVES else None
