"""The memory limit of the control group that the agent runs in: systemd's MemoryMax, a container's limit.

Both versions of control groups, and every group above one's own, because each limit binds. What the kernel could drop
from the page cache counts as free, as it does in MemAvailable. https://docs.kernel.org/admin-guide/cgroup-v2.html#memory
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MAX_BYTES = 64 << 10
_NO_LIMIT = 1 << 60  # version 1 says "none" with the largest number of pages


def memory_room_bytes(own: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> int | None:
    """How much more may be taken before the tightest limit; None when there is none, or none that can be read."""
    rooms = [room for group in _groups(own, mounted) if (room := _room(group)) is not None]
    return max(0, min(rooms)) if rooms else None


def _groups(own: Path, mounted: Path) -> Iterator[Path]:
    """The folders of one's own groups and of those above. In a container the names may be the host's: those that are
    not there are passed over, and the mount itself is the container's own group.
    """
    for line in _read(own).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if number == "0":
            root = mounted
        elif "memory" in controllers.split(","):
            root = mounted / "memory"
        else:
            continue
        path = PurePosixPath(name.lstrip("/"))
        yield from (root / each for each in (path, *path.parents) if ".." not in each.parts)


def _room(group: Path) -> int | None:
    for limit_name, used_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = _number(group / limit_name), _number(group / used_name)
        if limit is not None and used is not None and limit < _NO_LIMIT:
            return limit - used + _stat(group, cache_name)
    return None


def _stat(group: Path, field: str) -> int:
    pairs = (line.split() for line in _read(group / "memory.stat").splitlines())
    return next((int(words[1]) for words in pairs if len(words) == 2 and words[0] == field), 0)


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None  # "max": no limit


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode(errors="replace")
    except OSError:
        return ""
