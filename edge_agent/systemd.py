"""The agent as a service of systemd: readiness, watchdog and a line of status over its socket, and the unit file.

The protocol is a datagram of `NAME=value` lines (sd_notify(3)); a library would be longer than it. The watchdog is fed
only by a turning event loop whose models have just answered: a process that lives and predicts nothing is started anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, MutableMapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Protocol

from edge_agent.update.threads import run_apart
from edgekit.errors import ConfigError, EdgekitError, UsageFault

UNIT_NAME = "edgekit-agent.service"

_LOG = logging.getLogger("edgekit.agent.systemd")
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_STATUS_EVERY_S = 30.0
_MEMORY = re.compile(r"infinity|[0-9]+[KMGT]?|[0-9]{1,2}%|100%")


class Living(Protocol):
    """A model that can give a sign of life."""

    def probe(self) -> None:
        """Answer something. Raises DeviceFault."""


class Notifier:
    """Speaks to the service manager; says nothing when there is none.

    `watchdog_s`: how long it waits for a sign of life before it ends the process, None when it does not wait.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Notifier:
        """From the environment, and out of it: a child must not speak for its parent."""
        address, micros, pid = (environ.pop(name, "") for name in _VARIABLES)
        ours = pid in ("", str(os.getpid()))
        watched = bool(address) and ours and micros.isdecimal() and int(micros) > 0
        return cls(address, int(micros) / 1e6 if watched else None)

    @property
    def listened_to(self) -> bool:
        """True when there is a service manager."""
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """Send `NAME=value` lines. Never waits, and a manager that does not listen is not our fault."""
        if not self._address:
            return
        content = "\n".join(line.replace("\n", " ") for line in lines).encode(errors="replace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as ours:
                ours.sendto(content, self._address)
        except (OSError, ValueError) as error:
            _LOG.warning("the service manager was not told %s: %s", lines[0], error)


async def keep_alive(notifier: Notifier, models: Callable[[], Sequence[Living]], status: Callable[[], str]) -> None:
    """Tell the status, and that all is well while it is, twice in each of the watchdog's periods; for ever."""
    period_s = notifier.watchdog_s / 2 if notifier.watchdog_s else _STATUS_EVERY_S
    while True:
        fault = await _fault(models(), period_s / 2) if notifier.watchdog_s else None
        if fault is not None:
            _LOG.error("not well: %s", fault)
            notifier.tell(f"STATUS=not well: {fault}")
        elif notifier.watchdog_s:
            notifier.tell("WATCHDOG=1", f"STATUS={status()}")
        else:
            notifier.tell(f"STATUS={status()}")
        await asyncio.sleep(period_s)


async def _fault(models: Sequence[Living], within_s: float) -> str | None:
    """What is wrong with the models, asked on a thread of its own, where one that hangs holds nobody up."""

    def ask() -> None:
        for model in models:
            model.probe()

    try:
        async with asyncio.timeout(within_s):
            await run_apart(ask)
    except TimeoutError:
        return f"a model gave no answer within {within_s:g} s"
    except EdgekitError as error:
        return error.message
    return None


def unit_text(files: Sequence[Path], memory_max: str) -> str:
    """The unit for this installation. `files`: the configuration, and the join file when that is another. Raises
    UsageFault, ConfigError.
    """
    if _MEMORY.fullmatch(memory_max) is None:
        raise UsageFault(f"--memory-max {memory_max[:40]!r} is not a size: give such as 512M, 75% or infinity")
    names = ["agent.toml", "join.toml"] if len(files) == 2 else ["join.toml"]
    lines = [f"LoadCredential={name}:{_path(file)}" for name, file in zip(names, files, strict=True)]
    if len(files) == 2:
        lines.append("Environment=EDGEKIT_JOIN=join.toml")
    text = resources.files("edge_agent").joinpath(UNIT_NAME).read_text()
    for mark, value in (
        ("@PYTHON@", f'"{_path(Path(sys.executable))}"'),
        ("@CONFIG@", names[0]),
        ("@CREDENTIALS@", "\n".join(lines)),
        ("@MEMORY_MAX@", memory_max),
    ):
        text = text.replace(mark, value)
    return text


def _path(path: Path) -> str:
    """A path as a unit spells it: systemd.unit(5) expands %, and systemd.service(5) $ and backslashes."""
    text = str(path.absolute())
    if any(not char.isprintable() or char in '"\\$' for char in text):
        raise ConfigError(f"{text!r} cannot be spelled in a unit file: move it to a plainer path")
    return text.replace("%", "%%")
