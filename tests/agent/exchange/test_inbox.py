"""The way from the link's thread to the loop: nothing waits, the newest stay."""

from __future__ import annotations

import asyncio
import threading

import pytest

from edge_agent.exchange.inbox import Inbox


def test_the_oldest_give_way_and_are_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async def overfill() -> list[int]:
        inbox: Inbox[int] = Inbox(3)
        for number in range(10):
            inbox.put(number)
        assert inbox.dropped == 7
        return [await inbox.get() for _ in range(3)]

    assert asyncio.run(overfill()) == [7, 8, 9]
    assert sum("gives way" in record.getMessage() for record in caplog.records) == 1


def test_what_other_threads_put_in_arrives_once_and_in_order() -> None:
    count = 2_000

    async def receive() -> list[int]:
        inbox: Inbox[int] = Inbox(count)

        def put_all() -> None:
            for number in range(count):
                inbox.put(number)

        thread = threading.Thread(target=put_all)
        thread.start()
        async with asyncio.timeout(20):
            found = [await inbox.get() for _ in range(count)]
        thread.join()
        return found

    assert asyncio.run(receive()) == list(range(count))


def test_a_closed_loop_is_nobodys_fault() -> None:
    async def make() -> Inbox[int]:
        return Inbox(1)

    inbox = asyncio.run(make())
    inbox.put(1)
    assert len(inbox) == 1
