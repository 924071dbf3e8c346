"""A child process that answers one request over standard input and output, and is gone afterwards, come what may."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge_agent.update.dialog import MAX_LINE_BYTES

_MAX_COMPLAINT_BYTES = 4_096
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # each thread would reserve address space


class ChildFailed(Exception):
    """The child ended without an answer. `complaint`: the last line it wrote to standard error."""

    def __init__(self, returncode: int, complaint: str) -> None:
        super().__init__(complaint)
        self.returncode, self.complaint = returncode, complaint


class Child:
    """One running child; see `running`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self._complaint = asyncio.create_task(_last_of(process.stderr))

    async def say(self, line: bytes) -> None:
        """Send one line. A child that is gone shows itself when it is heard."""
        try:
            self._stdin.write(line)
            await self._stdin.drain()
        except ConnectionError:
            pass

    async def hear(self) -> bytes:
        """The next line. Raises ChildFailed when the child ended instead."""
        try:
            line = await self._stdout.readline()
        except ValueError:
            line = b""  # longer than any honest line
        if line.endswith(b"\n"):
            return line
        await self.end()
        complaint = (await self._complaint).decode(errors="replace").strip()
        raise ChildFailed(self._process.returncode or 0, complaint.rpartition("\n")[2][:300])

    async def end(self) -> None:
        """Kill it if it still runs, and wait for it."""
        if self._process.returncode is None:
            try:
                self._process.kill()
            except ProcessLookupError:
                pass
        await self._process.wait()
        await self._complaint


async def _last_of(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while piece := await stream.read(_MAX_COMPLAINT_BYTES):
        kept = (kept + piece)[-_MAX_COMPLAINT_BYTES:]
    return kept


@asynccontextmanager
async def running(module: str) -> AsyncIterator[Child]:
    """A fresh interpreter with `python -m module`; killed on leaving, also when the caller is canceled.

    It works in a temporary folder of its own, and knows none of the agent's settings: a password given in the
    environment is not for a process that opens foreign bytes.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-child-", ignore_cleanup_errors=True) as folder:
        child = Child(await _start(module, folder))
        try:
            yield child
        finally:
            await child.end()


async def _start(module: str, folder: str) -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EDGEKIT_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # or a file in the folder that the agent was started in could stand in for a module
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
        env=inherited | _ONE_THREAD | {"TMPDIR": folder},
    )
