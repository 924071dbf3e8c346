"""Limits of control groups, read from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.report.groups import memory_room_bytes

MIB = 1 << 20


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def room(tmp_path: Path, own: str) -> int | None:
    (tmp_path / "own").write_text(own + "\n")
    return memory_room_bytes(tmp_path / "own", tmp_path / "groups")


def test_what_the_limit_leaves_with_the_cache_that_can_be_dropped(tmp_path: Path) -> None:
    stat = f"anon 5\ninactive_file {3 * MIB}"
    group(tmp_path / "groups/a/b", memory__max=str(100 * MIB), memory__current=str(60 * MIB), memory__stat=stat)
    assert room(tmp_path, "0::/a/b") == 43 * MIB


def test_the_tightest_group_above_counts(tmp_path: Path) -> None:
    group(tmp_path / "groups/a/b", memory__max="max", memory__current="7")
    group(tmp_path / "groups/a", memory__max=str(50 * MIB), memory__current=str(49 * MIB))
    assert room(tmp_path, "0::/a/b") == MIB


def test_version_one_is_read_too(tmp_path: Path) -> None:
    limits = {"memory__limit_in_bytes": str(10 * MIB), "memory__usage_in_bytes": str(4 * MIB)}
    group(tmp_path / "groups/memory/x", memory__stat=f"total_inactive_file {MIB}", **limits)
    assert room(tmp_path, "8:pids:/x\n4:memory:/x\n0::/") == 7 * MIB


def test_in_a_container_the_mount_is_its_own_group(tmp_path: Path) -> None:
    group(tmp_path / "groups", memory__max=str(8 * MIB), memory__current=str(9 * MIB))
    assert room(tmp_path, "0::/host/names/that/are/not/here") == 0


@pytest.mark.parametrize("own", ["", "0::/a", "4:memory:/a", "0::/../../etc", "nonsense"])
def test_no_limit_is_no_limit(tmp_path: Path, own: str) -> None:
    group(tmp_path / "groups/a", memory__max="max", memory__current="1")
    group(tmp_path / "groups/memory/a", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="1")
    assert room(tmp_path, own) is None
