"""The server's connection to the broker; the only file of the server that imports paho.

A new client for every connection: paho would otherwise send again, after a reconnect, what it never got acknowledged,
and an older desired document could then overtake a newer one. Nothing is queued here while there is no connection:
the database is the queue. The server's presence is published only once the subscriptions stand, for devices then send
what they kept.
"""

from __future__ import annotations

import logging
import random
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from edgekit.errors import ConfigError, Unreachable
from edgekit.join import BrokerAccess
from edgekit.messages import ServerPresence, encode
from edgekit.topics import Topics

log = logging.getLogger(__name__)

_KEEPALIVE_S = 20
_ANSWER_S = 10.0
_STOP_S = 3.0
_WINDOW = 32  # messages in flight; 32 chunks are 2 MiB
_MAX_BACKOFF_S = 30.0
# Retained state is read at QoS 0: at QoS 1 brokers drop what exceeds their queue, in silence (measured).
_FILTERS = (("reported", 0), ("presence", 0), ("event", 1), ("health", 1), ("want", 1))


@dataclass(frozen=True)
class Arrival:
    """A message of a device. `retained`: kept by the broker from earlier, so no sign of life."""

    device: str
    leaf: str
    payload: bytes
    retained: bool


@dataclass(frozen=True)
class Message:
    """A message to publish."""

    topic: str
    payload: bytes
    retain: bool = True


@dataclass(frozen=True)
class Hooks:
    """`fresh` is called before anything of a new connection arrives, `arrived` for each message, `stands` when the
    subscriptions stand. None of them may raise or wait for the link."""

    fresh: Callable[[], None]
    arrived: Callable[[Arrival], None]
    stands: Callable[[], None]


class Link:
    """Keeps one connection up from `start` to `stop`. Thread-safe."""

    def __init__(self, access: BrokerAccess, topics: Topics, clock: Callable[[], datetime]) -> None:
        """Raises ConfigError when the URL is no broker's address."""
        _address(access)
        self._access = access
        self._topics = topics
        self._clock = clock
        self._session = secrets.token_hex(8)
        self._stopping = threading.Event()
        self._connection: _Connection | None = None
        self._thread: threading.Thread | None = None
        self.generation = 0
        """Rises with every connection whose subscriptions stand."""
        self.standing_since: datetime | None = None
        """Since when devices are heard; None while they are not."""

    def start(self, hooks: Hooks) -> None:
        """Connect, and reconnect until `stop`."""
        self._thread = threading.Thread(target=self._run, args=[hooks], name="link", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say good-bye and disconnect. Returns within a few seconds."""
        self._stopping.set()
        connection = self._connection
        if connection is not None:
            connection.ended.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)

    def publish(self, message: Message) -> None:
        """Publish and wait for the broker's acknowledgement. Raises Unreachable."""
        self.publish_all([message])

    def publish_all(self, messages: Iterable[Message]) -> None:
        """Publish in order and wait until the broker acknowledged every one. Raises Unreachable at the first fault."""
        waiting = iter(messages)
        while window := list(islice(waiting, _WINDOW)):
            self._standing().publish(window)

    def post(self, message: Message) -> None:
        """Publish without waiting; lost when there is no connection."""
        connection = self._connection
        if connection is not None and self.standing_since is not None:
            connection.send(message)

    # ---- the link's thread ------------------------------------------------------------------------------------

    def _standing(self) -> _Connection:
        connection = self._connection
        if connection is None or self.standing_since is None:
            raise Unreachable(f"there is no connection to the broker {self._access.url}", reason="link_down")
        return connection

    def _run(self, hooks: Hooks) -> None:
        backoff = 0.2
        while not self._stopping.is_set():
            stood = False
            try:
                stood = self._connect_once(hooks)
            except (OSError, ValueError, Unreachable) as error:
                log.warning("broker %s is not reachable: %s", self._access.url, error)
            backoff = 0.2 if stood else min(backoff * 2, _MAX_BACKOFF_S)
            # Jitter: servers and devices that lost one broker must not come back at one moment.
            self._stopping.wait(backoff * random.uniform(0.5, 1.0))  # noqa: S311 - no secret depends on it

    def _connect_once(self, hooks: Hooks) -> bool:
        """One connection from beginning to end. True when its subscriptions stood."""
        connection = _Connection(self._access, self._presence(online=False), self._forward_to(hooks))
        try:
            connection.open()
            hooks.fresh()
            connection.subscribe([(self._topics.all_devices(leaf), qos) for leaf, qos in _FILTERS])
            self._connection = connection
            connection.publish([self._presence(online=True)])
            self.generation += 1
            self.standing_since = self._clock()
            log.info("connected to the broker %s", self._access.url)
            hooks.stands()
            if not self._stopping.is_set():
                connection.ended.wait()
        finally:
            stood, self.standing_since, self._connection = self.standing_since is not None, None, None
            connection.close(self._presence(online=False))
        if not self._stopping.is_set():
            log.warning("the connection to the broker %s broke", self._access.url)
        return stood

    def _forward_to(self, hooks: Hooks) -> Callable[[mqtt.MQTTMessage], None]:
        def forward(message: mqtt.MQTTMessage) -> None:
            parsed = self._topics.parse_device(message.topic)
            if parsed is not None:
                hooks.arrived(Arrival(*parsed, payload=bytes(message.payload), retained=message.retain))

        return forward

    def _presence(self, *, online: bool) -> Message:
        document = ServerPresence(online=online, session=self._session)
        return Message(self._topics.server_presence(), encode(document))


class _Connection:
    """One paho client for one connection."""

    def __init__(self, access: BrokerAccess, will: Message, arrived: Callable[[mqtt.MQTTMessage], None]) -> None:
        self._host, self._port, tls = _address(access)
        self._accepted: ReasonCode | None = None
        self._granted: list[ReasonCode] | None = None
        self._changed = threading.Condition()
        self.ended = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, f"edgekit-fleet-{secrets.token_hex(6)}", reconnect_on_failure=False
        )
        self._client.max_inflight_messages_set(1000)
        self._client.username_pw_set(access.username or None, access.password or None)
        self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = lambda _client, _userdata, message: arrived(message)

    def open(self) -> None:
        """Connect and log in. Raises OSError, Unreachable."""
        self._client.connect(self._host, self._port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()
        self._wait(lambda: self._accepted is not None, "it closed the connection: check user name and password")
        if self._accepted is not None and self._accepted.is_failure:
            raise Unreachable(f"it refused the login ({self._accepted})", reason="link_refused")

    def subscribe(self, filters: list[tuple[str, int]]) -> None:
        """Subscribe and wait until it stands. Raises Unreachable."""
        self._client.subscribe(filters)
        self._wait(lambda: self._granted is not None, "it did not answer the subscription")
        if any(code.is_failure for code in self._granted or []):
            raise Unreachable("it refused a subscription: check the broker's access rules", reason="link_refused")

    def publish(self, messages: list[Message]) -> None:
        """Publish and wait for every acknowledgement. Raises Unreachable."""
        deadline = time.monotonic() + _ANSWER_S
        sent = [self.send(message) for message in messages]
        try:
            for one in sent:
                while not one.is_published():
                    if self.ended.is_set() or time.monotonic() > deadline:
                        raise Unreachable("the broker did not acknowledge a message", reason="link_down")
                    one.wait_for_publish(0.2)
        except (RuntimeError, ValueError) as error:
            raise Unreachable(f"the broker did not take a message ({error})", reason="link_down") from error

    def send(self, message: Message) -> mqtt.MQTTMessageInfo:
        """Hand a message to paho."""
        return self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)

    def close(self, farewell: Message) -> None:
        """Take back the presence if the connection still stands, and end."""
        try:
            if not self.ended.is_set() or self._client.is_connected():
                self.ended.clear()
                self.publish([farewell])
        except Unreachable:
            log.debug("the broker was gone before the farewell")
        self._client.disconnect()
        self._client.loop_stop()

    def _wait(self, holds: Callable[[], bool], otherwise: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: holds() or self.ended.is_set(), _ANSWER_S)
            if not holds():
                raise Unreachable(otherwise, reason="link_down")

    def _on_connect(
        self, _client: object, _data: object, _flags: object, code: ReasonCode, _properties: object
    ) -> None:
        with self._changed:
            self._accepted = code
            self._changed.notify_all()

    def _on_subscribe(
        self, _client: object, _data: object, _mid: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        with self._changed:
            self._granted = codes
            self._changed.notify_all()

    def _on_disconnect(self, *_arguments: Any) -> None:
        with self._changed:
            self.ended.set()
            self._changed.notify_all()


def _address(access: BrokerAccess) -> tuple[str, int, ssl.SSLContext | None]:
    try:
        url = urlsplit(access.url)
        port = url.port
    except ValueError as error:
        raise ConfigError(f"[broker] url {access.url!r} is not an address: use mqtt://host:port") from error
    if url.scheme not in {"mqtt", "mqtts"} or not url.hostname:
        raise ConfigError(f"[broker] url {access.url!r} is not an address: use mqtt://host:port or mqtts://host:port")
    if url.scheme == "mqtt":
        return url.hostname, port or 1883, None
    try:
        context = ssl.create_default_context(cadata=access.ca_pem or None)
    except ssl.SSLError as error:
        raise ConfigError("[broker] ca_file holds no certificate: give a PEM file") from error
    return url.hostname, port or 8883, context
