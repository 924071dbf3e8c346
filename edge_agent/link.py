"""The connection to the broker: the only file of the device that knows the MQTT library.

It lives in threads of its own and hands everything to the asyncio loop; the loop never waits for the network. It keeps
no queue across connections: each connection is a new client, so nothing old is sent after something newer, and what
must not be lost waits in the outbox. Filters are plain topics with one owner each, so they never overlap.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from edge_agent.backoff import backoff_s
from edge_agent.config import LinkSection, broker_address
from edgekit.join import BrokerAccess
from edgekit.messages import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    import paho.mqtt.client as mqtt
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

_LOG = logging.getLogger("edgekit.agent.link")
_CONNECT_TIMEOUT_S = 5.0
_STEADY_S = 10.0  # a connection that ends sooner counts as a failed attempt, else two clients of one id would race

_TAKEN = 0  # MQTT_ERR_SUCCESS
_MAX_PACKET_BYTES = MAX_MESSAGE_BYTES + 4_096  # topic and packet head beside the largest message

_MAX_UNSENT = 64  # answers that the network has not taken yet: a slow one shall not fill the memory

OnMessage = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as it came. `response_topic` and `correlation` are MQTT 5's; `too_large_bytes`: the length of a content
    that was let go of.
    """

    payload: bytes
    retained: bool
    response_topic: str = ""
    correlation: bytes | None = None
    too_large_bytes: int = 0


OnDelivery = Callable[[Delivery], None]


@dataclass(frozen=True)
class Will:
    """What the broker publishes, retained, when the connection is lost."""

    topic: str
    payload: bytes


@dataclass(frozen=True)
class LinkEvents:
    """Called on the loop: `up` when a connection stands and what is watched is subscribed, `down` when it is lost."""

    up: Callable[[], None]
    down: Callable[[], None]


class Link:
    """One device's connection. All methods are called on the asyncio loop that was running at `start`."""

    def __init__(self, access: BrokerAccess, client_id: str, will: Will, section: LinkSection) -> None:
        self._access, self._client_id, self._will, self._section = access, client_id, will, section
        self._routes: dict[str, OnMessage] = {}
        self._listeners: dict[str, tuple[OnDelivery, int]] = {}
        self._unsent: deque[mqtt.MQTTMessageInfo] = deque()
        self._client: mqtt.Client | None = None
        self._stopping, self._lost = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep_connected, name="edgekit-link", daemon=True)

    @property
    def connected(self) -> bool:
        """True while a connection stands."""
        return self._client is not None

    def start(self, events: LinkEvents) -> None:
        """Begin to connect, and to connect again whenever the connection is lost."""
        self._events, self._loop = events, asyncio.get_running_loop()
        self._thread.start()

    async def stop(self, farewell: bytes, timeout_s: float) -> None:
        """Publish `farewell` on the will's topic, disconnect, and wait at most `timeout_s` for both."""
        self._stopping.set()
        client, self._client = self._client, None
        if client is not None:
            client.publish(self._will.topic, farewell, qos=1, retain=True)
            client.disconnect()
        else:
            self._lost.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, timeout_s)

    def watch(self, topic: str, on_message: OnMessage) -> None:
        """Subscribe to one topic, now and after every reconnection. A retained message comes each time."""
        if topic in self._routes or topic in self._listeners:
            raise ValueError(f"{topic} is watched already")
        self._routes[topic] = on_message
        if self._client is not None:
            self._client.subscribe(topic, qos=1)

    def unwatch(self, topic: str) -> None:
        """End a subscription."""
        if self._routes.pop(topic, None) is not None and self._client is not None:
            self._client.unsubscribe(topic)

    def listen(self, topic: str, on_delivery: OnDelivery, *, qos: int) -> None:
        """Like `watch`, with all that MQTT says about a message; but `on_delivery` is called on the link's own thread,
        and must return at once: what floods the device shall not reach the loop message by message.
        """
        if topic in self._routes or topic in self._listeners:
            raise ValueError(f"{topic} is watched already")
        self._listeners[topic] = on_delivery, qos
        if self._client is not None:
            self._client.subscribe(topic, qos=qos)

    def answer(self, topic: str, payload: bytes, *, qos: int, correlation: bytes | None) -> bool:
        """Hand an answer to the connection. False when there is none, or when it has not taken those before."""
        while self._unsent and _is_settled(self._unsent[0]):
            self._unsent.popleft()
        if self._client is None or len(self._unsent) >= _MAX_UNSENT:
            return False
        properties = None
        if correlation is not None and self._section.protocol == "5":
            properties = _correlated(correlation)
        given = self._client.publish(topic, payload, qos=qos, properties=properties)
        self._unsent.append(given)
        return given.rc == _TAKEN

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Hand one message at QoS 1 to the connection. False when there is none: nothing is queued."""
        if self._client is None:
            return False
        return self._client.publish(topic, payload, qos=1, retain=retain).rc == _TAKEN

    async def fetch(self, topic: str, timeout_s: float) -> bytes | None:
        """The retained message of a topic; None when none came in time (on MQTT what does not exist is silence)."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.watch(topic, lambda payload: answer.set_result(payload) if payload and not answer.done() else None)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            return None
        finally:
            self.unwatch(topic)

    # ---- on the link's own threads ----------------------------------------------------------------------------

    def _keep_connected(self) -> None:
        attempt = 0
        wait_s = random.uniform(0, self._section.retry_min_s)  # noqa: S311 - spreads a fleet that is switched on at once
        while not self._stopping.wait(wait_s):
            attempt = 0 if self._hold_one_connection() else attempt + 1
            wait_s = backoff_s(attempt, self._section.retry_min_s, self._section.retry_max_s)

    def _hold_one_connection(self) -> bool:
        """Connect and wait for the end of it; True when it was a steady connection."""
        self._lost.clear()
        began = time.monotonic()
        host, port, _ = broker_address(self._access.url)
        try:
            client = self._new_client()
            client.connect(host, port, keepalive=self._section.keepalive_s)
        except (OSError, ValueError) as error:
            _LOG.info("broker not reached: %s", error)
            return False
        client.loop_start()
        self._lost.wait()
        client.loop_stop()
        return time.monotonic() - began >= _STEADY_S

    def _new_client(self) -> mqtt.Client:
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        older = self._section.protocol == "3.1.1"
        client = _client_class()(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            # With MQTT 5 a session ends with its connection unless one asks for more.
            clean_session=True if older else None,
            protocol=MQTTProtocolVersion.MQTTv311 if older else MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_TIMEOUT_S
        if self._access.username:
            client.username_pw_set(self._access.username, self._access.password)
        if broker_address(self._access.url)[2]:
            client.tls_set_context(ssl.create_default_context(cadata=self._access.ca_pem or None))
        client.will_set(self._will.topic, self._will.payload, qos=1, retain=True)
        client.on_connect, client.on_disconnect, client.on_message = self._on_connect, self._on_lost, self._on_message
        return client

    def _on_connect(
        self, client: mqtt.Client, userdata: object, flags: object, code: ReasonCode, properties: object
    ) -> None:
        if code.is_failure:
            _LOG.warning("the broker refused the connection: %s", code)
            return  # the broker closes it, or the next loop does
        self._hand_over(self._came_up, client)

    def _on_lost(
        self,
        client: mqtt.Client,
        userdata: object,
        flags: object,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._hand_over(self._went_down, client)
        self._lost.set()

    def _on_message(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        listener = self._listeners.get(message.topic)
        if listener is not None:
            listener[0](_delivery(message))
        elif message.topic in self._routes:  # what nobody asked for does not even reach the loop
            self._hand_over(self._deliver, client, message.topic, message.payload)

    def _hand_over(self, call: Callable[..., None], *values: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *values)
        except RuntimeError:
            pass  # the loop is closed: the process is ending and nobody listens any more

    # ---- on the loop ------------------------------------------------------------------------------------------

    def _came_up(self, client: mqtt.Client) -> None:
        if self._stopping.is_set():
            client.disconnect()
            return
        self._client = client
        self._unsent.clear()
        for topic in self._routes:
            client.subscribe(topic, qos=1)
        for topic, (_, qos) in self._listeners.items():
            client.subscribe(topic, qos=qos)
        self._events.up()

    def _went_down(self, client: mqtt.Client) -> None:
        if self._client is client:
            self._client = None
            self._events.down()

    def _deliver(self, client: mqtt.Client, topic: str, payload: bytes) -> None:
        on_message = self._routes.get(topic)
        if on_message is not None and client is self._client:
            on_message(payload)


@cache
def _client_class() -> type[mqtt.Client]:
    """The library's client with a bound. Imported on the link's thread: predictions do not wait for it."""
    import paho.mqtt.client

    class Client(paho.mqtt.client.Client):
        """It would take packets up to 256 MiB: more than a device has to spare."""

        def _sock_recv(self, bufsize: int) -> bytes:
            if bufsize > _MAX_PACKET_BYTES:
                raise ConnectionError("the broker sends a packet that is too large")
            return super()._sock_recv(bufsize)

    return Client


def _correlated(correlation: bytes) -> Properties:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.CorrelationData = correlation
    return properties


def _delivery(message: mqtt.MQTTMessage) -> Delivery:
    sent = message.properties
    return Delivery(
        payload=bytes(message.payload),
        retained=message.retain,
        response_topic=getattr(sent, "ResponseTopic", ""),
        correlation=getattr(sent, "CorrelationData", None),
    )


def _is_settled(given: mqtt.MQTTMessageInfo) -> bool:
    try:
        return given.is_published()
    except (ValueError, RuntimeError):
        return True  # it was never taken
