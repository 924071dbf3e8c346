"""Answers what comes over MQTT with the very handler that answers HTTP, one message in a turn of the loop.

Between two messages the loop serves everybody else; long runs go to the inference thread, as for HTTP. Retained
messages are ignored: they are old, and come again with every connection. Nothing is answered twice on purpose, but
with QoS 1 a message may come twice, and then two answers go out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from edge_agent.config import MqttSection
from edge_agent.exchange import envelope
from edge_agent.exchange.envelope import Ask
from edge_agent.exchange.inbox import Inbox
from edge_agent.link import Delivery, Link, OnDelivery
from edge_agent.serve.connection import Handler
from edge_agent.serve.message import Request, Response, fault
from edgekit.errors import MessageError
from edgekit.messages import MAX_MESSAGE_BYTES

_LOG = logging.getLogger("edgekit.agent.exchange")
_HEADERS = {b"content-type": b"application/json"}
_MAX_ANSWER_BYTES = MAX_MESSAGE_BYTES - 2_048  # brokers count the topic and the packet's head too


@dataclass(frozen=True)
class Way:
    """A topic that is listened to and the one answers go to. `model`: asked when the message names none. `replies`:
    an MQTT 5 response topic that the message carries takes the place of `output`.
    """

    input: str
    output: str
    model: str | None
    qos: int
    replies: bool = False


@dataclass
class Counts:
    """Messages since the start. `refused` were answered with an error; `retained` were ignored; `unsent` answers had
    no connection, or one too slow to take them.
    """

    answered: int = 0
    refused: int = 0
    retained: int = 0
    unsent: int = 0


def ways(section: MqttSection, request_topic: str, answer_topic: str) -> list[Way]:
    """What the configuration asks for; empty when it asks for nothing."""
    asked = [Way(each.input, each.output, each.model or None, each.qos) for each in section.inference]
    if section.requests:
        asked.append(Way(request_topic, answer_topic, None, section.qos, replies=True))
    return asked


class Exchange:
    """Listens on `ways` of the link. Made on the loop; `run` answers, for ever."""

    def __init__(self, link: Link, handler: Handler, section: MqttSection, ways: Sequence[Way]) -> None:
        self._link, self._handler, self._section = link, handler, section
        self._inputs = {way.input for way in ways}
        self._inbox: Inbox[tuple[Way, Delivery]] = Inbox(section.queue)
        self._counts = Counts()
        for way in ways:
            link.listen(way.input, self._listener(way), qos=way.qos)

    def status(self) -> dict[str, int]:
        """For the status page and the metrics."""
        return asdict(self._counts) | {"dropped": self._inbox.dropped, "waiting": len(self._inbox)}

    async def run(self) -> None:
        """Answer one message after the other."""
        while True:
            way, delivery = await self._inbox.get()
            await self._serve(way, delivery)
            await asyncio.sleep(0)  # everybody else's turn

    def _listener(self, way: Way) -> OnDelivery:
        def on_delivery(delivery: Delivery) -> None:
            """On the link's thread."""
            if delivery.retained:
                self._counts.retained += 1
            else:
                self._inbox.put((way, self._bounded(delivery)))

        return on_delivery

    def _bounded(self, delivery: Delivery) -> Delivery:
        """What is too large is not kept while it waits; its length stays, for the refusal."""
        if len(delivery.payload) <= self._section.max_message_bytes:
            return delivery
        return replace(delivery, payload=b"", too_large_bytes=len(delivery.payload))

    async def _serve(self, way: Way, delivery: Delivery) -> None:
        topic, why = self._answer_topic(way, delivery)
        ask = Ask(b"")
        try:
            if why is not None:
                raise MessageError(f"the response topic cannot be used: {why}", reason="bad_response_topic")
            if delivery.too_large_bytes:
                response = self._too_large(delivery.too_large_bytes)
            else:
                ask = envelope.read(delivery.payload)
                response = await self._predict(ask, way)
        except MessageError as error:
            response = fault(400, error.message, reason=error.reason)
        content = envelope.spell(response, ask.id)
        if len(content) > _MAX_ANSWER_BYTES:
            response = fault(413, "the answer is larger than a message may be: send fewer rows", reason="too_large")
            content = envelope.spell(response, ask.id)
        self._count(response)
        if not self._link.answer(topic, content, qos=way.qos, correlation=delivery.correlation):
            self._counts.unsent += 1

    def _answer_topic(self, way: Way, delivery: Delivery) -> tuple[str, str | None]:
        if not way.replies or delivery.response_topic in ("", way.output):
            return way.output, None
        why = envelope.topic_fault(delivery.response_topic, self._inputs)
        return (way.output, why) if why else (delivery.response_topic, None)

    def _too_large(self, size: int) -> Response:
        limit = self._section.max_message_bytes
        return fault(
            413, f"the message has {size} bytes, over the {limit} allowed: send fewer rows", reason="too_large"
        )

    async def _predict(self, ask: Ask, way: Way) -> Response:
        model = ask.model or way.model
        path = f"/predict/{model}" if model else "/predict"
        try:
            result = self._handler(Request("POST", path, headers=_HEADERS, body=ask.body))
            return result if isinstance(result, Response) else await result
        except Exception:  # noqa: BLE001 - the top of the loop: one faulty message must not end the exchange
            _LOG.exception("a message on %s could not be answered", way.input)
            return fault(500, "internal fault: see the agent's log")

    def _count(self, response: Response) -> None:
        if response.status == 200:
            self._counts.answered += 1
        else:
            self._counts.refused += 1
