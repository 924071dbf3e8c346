"""The connection under hostile brokers and wrong settings: it costs little, and it goes on trying."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from edge_agent.config import LinkSection
from edge_agent.link import Link, LinkEvents, Will
from edgekit.join import BrokerAccess
from edgekit.messages import MAX_MESSAGE_BYTES
from tests.support.broker import Broker
from tests.support.station import Station

CONNACK = bytes((0x20, 2, 0, 0))
HUGE = bytes((0x30, 0xFF, 0xFF, 0xFF, 0x7F))  # a PUBLISH that announces 256 MiB
SECTION = LinkSection(retry_min_s=0.05, retry_max_s=0.1)


def link_to(access: BrokerAccess, client_id: str = "edgekit-default-pump-1") -> Link:
    return Link(access, client_id, Will("will", b"gone"), SECTION)


def plain(port: int) -> BrokerAccess:
    return BrokerAccess(url=f"mqtt://127.0.0.1:{port}", username="u", password="p")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_packet_that_is_too_large_ends_the_connection_before_it_takes_memory() -> None:
    async def meet_it() -> None:
        taken, closed = 0, 0

        async def hostile(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal taken, closed
            await reader.read(100)
            writer.write(CONNACK + HUGE)
            try:
                while True:
                    writer.write(b"x" * 65_536)
                    await writer.drain()
                    taken += 65_536
            except ConnectionError:
                closed += 1
            writer.close()

        server = await asyncio.start_server(hostile, "127.0.0.1", 0)
        link = link_to(plain(server.sockets[0].getsockname()[1]))
        link.start(LinkEvents(lambda: None, lambda: None))
        await until(lambda: closed >= 2)
        await link.stop(b"bye", 2)
        server.close()
        assert taken / closed < 16 << 20, "what fits into the socket's buffers"

    asyncio.run(meet_it())


def test_the_largest_message_that_is_allowed_comes_through(station: Station, broker: Broker) -> None:
    content = b"x" * (MAX_MESSAGE_BYTES - 100)  # the broker counts the topic too
    station.retain("edgekit/1/default/meta/large.json", content)

    async def fetch() -> bytes | None:
        link = link_to(broker.access)
        link.start(LinkEvents(lambda: None, lambda: None))
        try:
            return await link.fetch("edgekit/1/default/meta/large.json", 10)
        finally:
            await link.stop(b"bye", 2)

    assert asyncio.run(fetch()) == content


def test_settings_that_cannot_work_do_not_end_the_attempts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    access = BrokerAccess(url="mqtts://127.0.0.1:1", username="u", password="p", ca_pem="no certificate")

    async def try_it() -> None:
        link = link_to(access)
        link.start(LinkEvents(lambda: None, lambda: None))
        await until(lambda: sum("not reached" in record.getMessage() for record in caplog.records) >= 2)
        await link.stop(b"bye", 2)

    asyncio.run(try_it())


def test_watches_made_while_the_link_is_down_hold_when_it_comes_up(station: Station, broker: Broker) -> None:
    station.retain("edgekit/1/default/meta/a.json", b"a")

    async def fetch() -> bytes | None:
        link = link_to(broker.access)
        waiting = asyncio.create_task(link.fetch("edgekit/1/default/meta/a.json", 10))
        await asyncio.sleep(0)
        link.start(LinkEvents(lambda: None, lambda: None))
        try:
            return await waiting
        finally:
            await link.stop(b"bye", 2)

    assert asyncio.run(fetch()) == b"a"
