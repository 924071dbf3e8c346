"""Predictions over a real broker: requests and responses, sensor topics, and what floods and strangers may do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.config import InferenceWay, LinkSection, MqttSection
from edge_agent.exchange.exchange import Exchange, ways
from edge_agent.link import Link, LinkEvents, Will
from edge_agent.report.counters import Counters
from edge_agent.serve.message import Request, Response, answer
from edge_agent.serve.models import Models
from edge_agent.serve.routes import Routes, Surroundings
from edgekit.join import BrokerAccess
from edgekit.topics import Topics
from tests.support.agent import AgentProcess
from tests.support.broker import PASSWORD, USERNAME, Broker
from tests.support.models import make_bundle
from tests.support.serving import predictor_of
from tests.support.station import Station, model_of
from tests.support.waiting import wait_for

ROW = {"pressure": 2.5, "flow": 2.5, "heat": -2.5}
TOPICS = Topics("default")
ASK, ANSWER = TOPICS.device("pump-1", "predict"), TOPICS.device("pump-1", "prediction")
BOTH = MqttSection(requests=True, inference=[InferenceWay(input="plant/readings", output="plant/predictions", qos=1)])


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path, newer=True) as started:
        yield started


class Client:
    """Somebody else at the broker."""

    def __init__(self, broker: Broker, *listens: str, newer: bool = False) -> None:
        self.heard: list[mqtt.MQTTMessage] = []
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id="client",
            protocol=MQTTProtocolVersion.MQTTv5 if newer else MQTTProtocolVersion.MQTTv311,
        )
        self._client.username_pw_set(USERNAME, PASSWORD)
        self._client.on_message = lambda client, userdata, message: self.heard.append(message)
        self._subscribed = 0
        self._client.on_subscribe = self._on_subscribe
        self._client.connect("127.0.0.1", broker.newer_port if newer else broker.port)
        self._client.loop_start()
        wait_for(self._client.is_connected, 10, "the client to connect")
        for topic in listens:
            self._client.subscribe(topic, qos=1)
        wait_for(lambda: self._subscribed == len(listens), 10, "the client's subscriptions")

    def say(self, topic: str, content: object, *, reply_to: str = "", correlation: bytes = b"", **more: Any) -> None:
        properties = None
        if reply_to:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ResponseTopic, properties.CorrelationData = reply_to, correlation
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._client.publish(topic, payload, qos=1, properties=properties, **more).wait_for_publish(10)

    def documents(self) -> list[Any]:
        return [json.loads(message.payload) for message in self.heard]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_subscribe(self, *_: object) -> None:
        self._subscribed += 1


@dataclass
class Device:
    """The side that answers."""

    exchange: Exchange
    link: Link


@asynccontextmanager
async def device(
    broker: Broker,
    section: MqttSection = BOTH,
    *,
    newer: bool = False,
    handler: Callable[[Request], Response | Awaitable[Response]] | None = None,
    names: tuple[str, ...] = ("pump",),
) -> AsyncIterator[Device]:
    models = Models()
    for number, name in enumerate(names):
        models.swap(name, predictor_of(make_bundle(name=name, shift=50.0 * number)))
    routes = Routes(models, Surroundings(Counters(), dict, bytes))
    port = broker.newer_port if newer else broker.port
    access = BrokerAccess(url=f"mqtt://127.0.0.1:{port}", username=USERNAME, password=PASSWORD)
    link = Link(
        access, "device", Will("will", b"gone"), LinkSection(retry_min_s=0.05, protocol="5" if newer else "3.1.1")
    )
    exchange = Exchange(link, handler or routes, section, ways(section, ASK, ANSWER))
    up = asyncio.Event()
    link.start(LinkEvents(up.set, lambda: None))
    running = asyncio.create_task(exchange.run())
    try:
        async with asyncio.timeout(10):
            await up.wait()
        # The broker works a client's packets off in order: what comes back shows that the subscriptions stand.
        assert await link_answers(link)
        yield Device(exchange, link)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await link.stop(b"bye", 2)
        routes.close()


async def link_answers(link: Link) -> bytes | None:
    link.publish("standing", b"yes", retain=True)
    return await link.fetch("standing", 10)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def converse(
    broker: Broker, *asked: tuple[str, object], section: MqttSection = BOTH, names: tuple[str, ...] = ("pump",)
) -> list[Any]:
    """The answers to messages, on whichever topic they come."""

    async def talk() -> list[Any]:
        async with device(broker, section, names=names):
            client = await asyncio.to_thread(Client, broker, ANSWER, "plant/predictions")
            try:
                for topic, content in asked:
                    await asyncio.to_thread(client.say, topic, content)
                await until(lambda: len(client.heard) >= len(asked))
                return client.documents()
            finally:
                client.close()

    return asyncio.run(talk())


def test_a_row_a_list_of_rows_and_an_envelope_are_answered_as_over_http(broker: Broker) -> None:
    one, many, enveloped, model = converse(
        broker,
        (ASK, ROW),
        (ASK, [ROW, ROW]),
        (ASK, {"id": 7, "rows": ROW}),
        (ASK, {"id": "b", "rows": [[2.5, 2.5, -2.5]], "model": "pump"}),
    )
    assert (one["prediction"], one["model"]) == (0, "pump:1.0.0")
    assert many["predictions"] == [one["prediction"]] * 2
    assert enveloped == {"id": 7} | one
    assert (model["id"], model["predictions"]) == ("b", [one["prediction"]])


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        ({"pressure": "x", "flow": 1, "heat": 1}, 422, "pressure"),
        ({"pressure": 1, "flow": 1}, 422, "heat"),
        (b"{", 400, "JSON"),
        (b"", 400, "JSON"),
        ({"id": 1, "rows": ROW, "model": "nope"}, 404, "nope"),
        ({"id": 1, "rows": ROW, "modle": "pump"}, 400, "modle"),
        (b"x" * 65_537, 413, "65536"),
    ],
)
def test_what_is_wrong_is_told_with_the_status_that_http_would_give(
    broker: Broker, content: object, status: int, says: str
) -> None:
    (refusal,) = converse(broker, (ASK, content))
    assert refusal["status"] == status
    assert says in json.dumps(refusal)


def test_a_sensor_topic_becomes_a_prediction_topic_by_the_model_it_is_set_up_for(broker: Broker) -> None:
    section = MqttSection(
        inference=[InferenceWay(input="plant/readings", output="plant/predictions", model="valve", qos=1)]
    )
    (prediction,) = converse(broker, ("plant/readings", ROW), section=section, names=("pump", "valve"))
    assert prediction["model"] == "valve:1.0.0"
    assert prediction["prediction"] == 2


def test_an_answer_that_no_message_can_hold_is_a_refusal(broker: Broker) -> None:
    section = MqttSection(requests=True, max_message_bytes=262_144)
    rows = [[1, 1, 1]] * 15_000
    (refusal,) = converse(broker, (ASK, {"id": 5, "rows": rows}), section=section)
    assert (refusal["id"], refusal["status"], refusal["reason"]) == (5, 413, "too_large")


def test_mqtt_5_carries_the_answer_to_the_topic_and_with_the_correlation_it_was_asked_for(broker: Broker) -> None:
    async def talk() -> list[mqtt.MQTTMessage]:
        async with device(broker, newer=True):
            client = await asyncio.to_thread(Client, broker, "me/answers", newer=True)
            try:
                await asyncio.to_thread(client.say, ASK, ROW, reply_to="me/answers", correlation=b"\x00\xff7")
                await until(lambda: client.heard)
                return client.heard
            finally:
                client.close()

    (message,) = asyncio.run(talk())
    assert message.properties is not None
    assert message.properties.json()["CorrelationData"] == "00ff37"  # type: ignore[no-untyped-call]
    assert json.loads(message.payload)["model"] == "pump:1.0.0"


@pytest.mark.parametrize("reply_to", [ASK, "plant/readings", "edgekit/1/default/d/pump-1/reported"])
def test_a_response_topic_that_would_echo_or_mislead_the_fleet_is_refused(broker: Broker, reply_to: str) -> None:
    async def talk() -> tuple[list[mqtt.MQTTMessage], dict[str, int]]:
        async with device(broker, newer=True) as answering:
            client = await asyncio.to_thread(Client, broker, ANSWER, reply_to, newer=True)
            try:
                await asyncio.to_thread(client.say, ASK, ROW, reply_to=reply_to, correlation=b"1")
                await asyncio.to_thread(client.say, ASK, ROW)
                await until(lambda: sum(message.topic == ANSWER for message in client.heard) >= 2)
                return client.heard, answering.exchange.status()
            finally:
                client.close()

    heard, counts = asyncio.run(talk())
    refusal, _ = [json.loads(message.payload) for message in heard if message.topic == ANSWER]
    assert refusal["reason"] == "bad_response_topic"
    assert (counts["answered"], counts["refused"]) == (1, 1)


def test_a_retained_message_is_no_question(broker: Broker) -> None:
    async def talk() -> tuple[list[Any], dict[str, int]]:
        client = await asyncio.to_thread(Client, broker, ANSWER)
        try:
            await asyncio.to_thread(client.say, ASK, {"id": "old", "rows": ROW}, retain=True)
            async with device(broker) as answering:
                await asyncio.to_thread(client.say, ASK, {"id": "new", "rows": ROW})
                await until(lambda: client.heard)
                return client.documents(), answering.exchange.status()
        finally:
            client.close()

    documents, counts = asyncio.run(talk())
    assert [document["id"] for document in documents] == ["new"]
    assert counts["retained"] == 1


def test_a_flood_costs_the_oldest_messages_and_the_link_goes_on(broker: Broker) -> None:
    flood, kept = 30, 5

    async def talk() -> tuple[list[Any], dict[str, int]]:
        go_on = asyncio.Event()

        async def slowly(request: Request) -> Response:
            await go_on.wait()
            return answer({"given": json.loads(request.body)})

        section = MqttSection(requests=True, queue=kept)
        async with device(broker, section, handler=slowly) as answering:
            client = await asyncio.to_thread(Client, broker, ANSWER)
            try:
                await asyncio.to_thread(client.say, ASK, [0])
                await until(lambda: answering.exchange.status()["waiting"] == 0)
                for number in range(1, flood):
                    await asyncio.to_thread(client.say, ASK, [number])
                await until(lambda: answering.exchange.status()["dropped"] == flood - 1 - kept)
                assert await link_answers(answering.link), "the link is not held up by what waits"
                go_on.set()
                await until(lambda: len(client.heard) == kept + 1)
                return client.documents(), answering.exchange.status()
            finally:
                client.close()

    documents, counts = asyncio.run(talk())
    assert [document["given"][0] for document in documents] == [0, *range(flood - kept, flood)]
    assert (counts["answered"], counts["waiting"]) == (kept + 1, 0)


def test_a_handler_that_breaks_costs_one_answer(broker: Broker) -> None:
    async def talk() -> list[Any]:
        def broken(request: Request) -> Response:
            if request.body == b"[1]":
                raise RuntimeError("a fault of ours")
            return answer({"fine": True})

        async with device(broker, handler=broken):
            client = await asyncio.to_thread(Client, broker, ANSWER)
            try:
                for content in ([1], [2]):
                    await asyncio.to_thread(client.say, ASK, content)
                await until(lambda: len(client.heard) == 2)
                return client.documents()
            finally:
                client.close()

    broken, fine = asyncio.run(talk())
    assert broken["status"] == 500
    assert fine == {"fine": True}


def test_a_whole_agent_answers_over_mqtt_when_it_is_asked_to(broker: Broker, tmp_path: Path) -> None:
    for folder in ("station", "device"):
        (tmp_path / folder).mkdir()
    station = Station(tmp_path / "station", broker).start()
    agent = AgentProcess(tmp_path / "device", station.join())
    agent.config.write_text(
        agent.config.read_text()
        + '[mqtt]\nrequests = true\n[[mqtt.inference]]\ninput = "in"\noutput = "out"\nqos = 1\n'
    )
    client = Client(broker, ANSWER, "out")
    try:
        agent.start()
        station.desire(model_of(station.release(make_bundle())))
        wait_for(agent.serving, 30, "the model")
        client.say(ASK, {"id": 1, "rows": ROW})
        client.say("in", ROW)
        wait_for(lambda: len(client.heard) == 2, 10, "both answers")
        assert {document["prediction"] for document in client.documents()} == {agent.predict(ROW)["prediction"]}
        assert agent.status()["mqtt"]["answered"] == 2
    finally:
        client.close()
        if agent.running:
            agent.stop()
        station.close()
