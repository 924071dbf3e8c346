"""Where work goes that the event loop must not wait for: one thread for the disk, niced ones for loading models."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

# A thread needs the interpreter's lock now and then, and whoever waits for it waits as long as that thread is starved:
# on a machine whose cores are all busy, the loop stalled 220 to 560 ms behind a thread at nice 19, 44 to 126 at nice 5.
_LOADER_NICENESS = 5

Given = ParamSpec("Given")
Result = TypeVar("Result")


class DiskThread:
    """Runs durable moves one after the other on one thread, so that none sees another half done."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="edgekit-disk")

    async def run(self, call: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """The result of `call`. It runs, and to its end, even when the caller is canceled while it waits its turn."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._executor, lambda: call(*args, **kwargs)))

    def close(self) -> None:
        """Wait for what is under way."""
        self._executor.shutdown()


async def run_niced(call: Callable[[], Result]) -> Result:
    """The result of `call`, run on a new thread of lower priority (a thread cannot raise its priority again)."""

    def niced() -> Result:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOADER_NICENESS)
        return call()

    return await run_apart(niced)


async def run_apart(call: Callable[[], Result]) -> Result:
    """The result of `call`, run on a new thread. Nobody waits for it at the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def work() -> None:
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - carried over to the caller, who judges it
            _settle(loop, future, error=error)
        else:
            _settle(loop, future, result=result)

    threading.Thread(target=work, name="edgekit-apart", daemon=True).start()
    return await future


def _settle(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[Result],
    *,
    result: Result | None = None,
    error: Exception | None = None,
) -> None:
    def settle() -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None is a result where Result allows it

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        pass  # the loop is closed: the process is ending
