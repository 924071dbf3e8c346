"""Readings of the machine: memory, disk, load. Linux' `/proc` and `statvfs`; nothing is decided here."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from edge_agent.report.groups import memory_room_bytes
from edgekit.messages import Hardware, SystemHealth

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC_BYTES = 16 << 10


def system_health(folder: Path) -> SystemHealth:
    """Gauges of this process and this machine; `folder` is on the disk that counts. `uptime_s` is the machine's."""
    return SystemHealth(
        rss_bytes=int(_proc("self/statm").split()[1]) * _PAGE_BYTES,
        memory_available_bytes=memory_available_bytes(),
        disk_free_bytes=disk_free_bytes(folder),
        load1=round(os.getloadavg()[0], 2),
        uptime_s=float(_proc("uptime").split()[0]),
    )


class Gauges:
    """Readings that may wait for a disk: `read` by whoever may wait, `latest` for those who may not."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.latest = system_health(folder)

    def read(self) -> None:
        """Take them anew."""
        self.latest = system_health(self._folder)


def hardware() -> Hardware:
    """What the device is."""
    return Hardware(
        arch=platform.machine(),
        cpu_count=os.cpu_count() or 1,
        memory_total_bytes=_meminfo("MemTotal"),
    )


def memory_available_bytes() -> int:
    """Memory that this process may still take without swapping: the kernel's estimate, or what the limit of its control
    group leaves when that is less.
    """
    available, room = _meminfo("MemAvailable"), memory_room_bytes()
    return available if room is None else min(available, room)


def anonymous_bytes() -> int:
    """Resident memory of this process that is not backed by files: what loading a model adds to."""
    line = next(line for line in _proc("self/status").splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) << 10


def disk_free_bytes(folder: Path) -> int:
    """Room for an unprivileged writer on the file system of `folder`."""
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def _meminfo(field: str) -> int:
    """A line of /proc/meminfo, such as `MemAvailable:  1234 kB`, in bytes."""
    line = next(line for line in _proc("meminfo").splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) << 10


def _proc(name: str) -> str:
    with Path("/proc", name).open("rb") as file:
        return file.read(_PROC_BYTES).decode()
