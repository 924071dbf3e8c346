"""A device by hand: a real MQTT client that collects what the server publishes and says what the test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgekit import messages as m
from edgekit.join import BrokerAccess
from edgekit.messages import Desired
from edgekit.topics import Topics
from edgekit.trust.desired import peek

WITHIN_S = 15.0


class Device:
    """`kept`: the last payload of each topic; an empty one is removed, as at a broker."""

    def __init__(self, access: BrokerAccess, name: str, tenant: str = "default") -> None:
        self.name, self.topics = name, Topics(tenant)
        self.kept: dict[str, bytes] = {}
        self.log: list[tuple[str, bytes]] = []
        self._changed = threading.Condition()
        self._subscribed = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, f"device-{name}")
        self._client.username_pw_set(access.username, access.password)
        self._client.will_set(*self._presence(online=False), qos=1, retain=True)
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.on_connect = self._on_connect
        self._client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
        url = urlsplit(access.url)
        self._filters: list[tuple[str, int]] = [
            (self.topics.device(name, "desired"), 1),
            (self.topics.device(name, "ack"), 1),
            (self.topics.server_presence(), 1),
            (self.topics.metadata("+"), 0),
        ]
        self._client.connect(url.hostname or "", url.port or 0, keepalive=20)
        self._client.loop_start()
        self.wait(lambda: self._subscribed > 0)

    def close(self) -> None:
        """Leave in good order."""
        self._client.disconnect()
        self._client.loop_stop()

    def vanish(self) -> None:
        """Leave without a word, so that the broker speaks the last will."""
        self._client.loop_stop()
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    def subscribe(self, topic: str) -> None:
        """One more topic."""
        before = self._subscribed
        self._client.subscribe(topic, 0)
        self.wait(lambda: self._subscribed > before)

    def say(self, leaf: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish under the device's own topics."""
        self._client.publish(self.topics.device(self.name, leaf), payload, qos=1, retain=retain).wait_for_publish(10)

    def event(self, model: m.DesiredModel, seq: int, state: m.UpdateState) -> None:
        """Report a transition."""
        event = m.Event(
            device=self.name,
            epoch="e1",
            seq=seq,
            time="2026-11-22T12:00:00.000Z",
            model=model.name,
            version=model.version,
            sha256=model.sha256,
            rollout=model.rollout,
            state=state,
        )
        self.say("event", m.encode(event))

    def report(self, *models: m.ReportedModel, seq: int = 0) -> None:
        """Say what runs."""
        document = m.Reported(
            device=self.name,
            boot_id="b1",
            agent_version="0.1.0",
            applied_seq=seq,
            time="2026-11-22T12:00:00.000Z",
            models=list(models),
            hardware=m.Hardware(arch="x86_64", cpu_count=2, memory_total_bytes=1 << 30),
            disk_free_bytes=1,
            memory_available_bytes=1,
        )
        self.say("reported", m.encode(document), retain=True)

    def runs(self, model: m.DesiredModel) -> m.ReportedModel:
        """A slot that serves that release."""
        return m.ReportedModel(name=model.name, version=model.version, sha256=model.sha256, state="serving")

    def desired(self) -> Desired | None:
        """The last desired document."""
        content = self.kept.get(self.topics.device(self.name, "desired"))
        return None if content is None else peek(content)

    def wait_for_version(self, version: str | None) -> Desired:
        """Wait until the desired document names that version of one model (None: no model)."""

        def named() -> bool:
            document = self.desired()
            return document is not None and [item.version for item in document.models] == ([version] if version else [])

        self.wait(named)
        document = self.desired()
        assert document is not None
        return document

    def acked(self) -> list[int]:
        """Every acknowledged seq."""
        topic = self.topics.device(self.name, "ack")
        return [seq for name, payload in self.log if name == topic for seq in m.decode(payload, m.Ack).seqs]

    def wait(self, holds: Callable[[], object]) -> None:
        """Wait until something that arrives makes it true."""
        with self._changed:
            assert self._changed.wait_for(holds, WITHIN_S), f"not within {WITHIN_S:.0f} s; arrived: {self._topics()}"

    def _topics(self) -> list[str]:
        return [topic for topic, _ in self.log][-30:]

    def _presence(self, *, online: bool) -> tuple[str, bytes]:
        return self.topics.device(self.name, "presence"), m.encode(m.Presence(online=online, boot_id="b1"))

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(self._filters)
        client.publish(*self._presence(online=True), qos=1, retain=True)

    def _on_subscribe(self, *_: Any) -> None:
        with self._changed:
            self._subscribed += 1
            self._changed.notify_all()

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            payload = bytes(message.payload)
            self.log.append((message.topic, payload))
            if payload:
                self.kept[message.topic] = payload
            else:
                self.kept.pop(message.topic, None)
            self._changed.notify_all()
