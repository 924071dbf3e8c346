"""Whole agents on disks that fill up or lie, and updates that are cut, changed or doubled at the worst moment."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.update.slots import Slots
from edge_agent.update.state import Outcome
from edgekit.messages import CHUNK_BYTES, FINAL_STATES
from tests.agent.update.test_agent import ROW, install
from tests.support.agent import AgentProcess
from tests.support.models import make_bundle
from tests.support.station import Station, model_of
from tests.support.waiting import wait_for

needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="a disk of a chosen size takes root to mount")
_FILL = "filling"


class SmallDisk:
    """The agent's data folder on a file system of its own."""

    def __init__(self, folder: Path, mebibytes: int) -> None:
        self.folder = folder
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
        if subprocess.run(words, capture_output=True).returncode != 0:
            pytest.skip("this container may not mount")

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / _FILL).open("wb", buffering=0) as file:
            piece = 1 << 20
            while piece:
                try:
                    file.write(b"x" * piece)
                except OSError:
                    piece //= 2

    def relieve(self) -> None:
        """Free what `fill` took."""
        (self.folder / _FILL).unlink()

    def unmount(self) -> None:
        """Give it back."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True, capture_output=True)


@pytest.fixture
def disk(agent: AgentProcess) -> Iterator[SmallDisk]:
    made = SmallDisk(agent.data_dir, 48)
    yield made
    if agent.running:
        agent.kill()
    made.unmount()


# ---- a full disk --------------------------------------------------------------------------------------------------


@needs_mount
def test_an_agent_on_a_full_disk_starts_and_serves(agent: AgentProcess, station: Station, disk: SmallDisk) -> None:
    install(station, agent)
    agent.kill()
    disk.fill()
    agent.start()
    assert agent.predict(ROW)["model"] == "pump:1.0.0"
    wait_for(lambda: station.received.health and agent.status()["link"]["server_there"], 10, "reports all the same")
    assert agent.stop() == 0


@needs_mount
def test_a_trial_is_not_begun_on_a_disk_that_cannot_count_its_starts(
    agent: AgentProcess, station: Station, disk: SmallDisk
) -> None:
    install(station, agent)
    station.desire(model_of(station.release(make_bundle(version="1.1.0", shift=5.0)), "r2", soak_s=60.0))
    wait_for(lambda: station.event("1.1.0", "soaking"), 30, "the trial")
    agent.kill()
    disk.fill()
    agent.start()
    assert agent.predict(ROW)["model"] == "pump:1.0.0"
    disk.relieve()
    wait_for(lambda: agent.serving() == {"pump": "1.1.0"}, 20, "the trial to go on")


@needs_mount
def test_a_disk_that_fills_up_holds_an_update_up_and_says_so(
    agent: AgentProcess, station: Station, disk: SmallDisk
) -> None:
    install(station, agent)
    release = station.release(make_bundle(version="1.1.0", shift=5.0, padding_bytes=6 * CHUNK_BYTES), chunks=range(2))
    station.desire(model_of(release, "r2"))
    wait_for(lambda: agent.status()["updates"]["pump"]["chunks"]["fetched"] == 2, 20, "the first chunks")
    disk.fill()
    station.publish_chunks(make_bundle(version="1.1.0", shift=5.0, padding_bytes=6 * CHUNK_BYTES))
    reasons = {"disk_short", "state_unwritable", "outbox_unusable", "disk_failed"}
    update = wait_for(
        lambda: (found := agent.status()["updates"]["pump"])["reason"] in reasons and found, 20, "the reason"
    )
    assert update["state"] == "waiting"
    assert agent.predict(ROW)["model"] == "pump:1.0.0"
    disk.relieve()
    wait_for(lambda: station.event("1.1.0", "succeeded"), 30, "the update to go on by itself")


@needs_mount
def test_a_document_that_cannot_be_kept_leaves_the_trial_alone(
    agent: AgentProcess, station: Station, disk: SmallDisk
) -> None:
    install(station, agent)
    release = station.release(make_bundle(version="1.1.0", shift=5.0))
    station.desire(model_of(release, "r2", soak_s=60.0))
    wait_for(lambda: station.event("1.1.0", "soaking"), 30, "the trial")
    disk.fill()
    station.desire(model_of(release, "r2", soak_s=60.0))
    wait_for(lambda: agent.status()["desired_refused"], 20, "the refusal")
    assert agent.status()["desired_refused"]["waits"]
    disk.relieve()
    wait_for(lambda: agent.status()["applied_seq"] == 3, 20, "the document to be kept")
    assert station.states("1.1.0").count("activating") == 1
    assert agent.serving() == {"pump": "1.1.0"}


@needs_mount
def test_an_update_that_waits_says_so_once(agent: AgentProcess, station: Station, disk: SmallDisk) -> None:
    install(station, agent)
    with (disk.folder / _FILL).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 40 << 20)
    station.desire(model_of(station.release(make_bundle(version="1.1.0", shift=5.0)), "r2"))
    waiting = wait_for(lambda: station.event("1.1.0", "waiting"), 20, "the update to wait")
    assert waiting.reason == "disk_short"
    before = len(station.received.health)
    wait_for(lambda: len(station.received.health) >= before + 5, 20, "several more attempts")
    assert station.states("1.1.0") == ["queued", "waiting"]
    disk.relieve()
    wait_for(lambda: station.event("1.1.0", "succeeded"), 30, "the update to go on by itself")


# ---- damage and cuts ----------------------------------------------------------------------------------------------


def test_a_model_that_the_disk_damaged_is_healed_and_the_fleet_learns_why(
    agent: AgentProcess, station: Station
) -> None:
    release = install(station, agent)
    agent.stop()
    model = agent.data_dir / "blobs" / release.sha256 / "model.onnx"
    flipped = bytearray(model.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    model.write_bytes(bytes(flipped))
    agent.start()
    wait_for(lambda: agent.serving() == {"pump": "1.0.0"}, 30, "the model to be fetched again")
    queued = station.event("1.0.0", "queued")
    assert queued is not None
    assert queued.reason == "blob_damaged"


def test_an_end_that_was_cut_from_its_report_is_told_at_the_next_start(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    agent.stop()
    sha256 = hashlib.sha256(b"cut").hexdigest()
    end = Outcome(
        sha256=sha256, version="1.1.0", rollout="r2", state="rolled_back", time="", reason="crash_loop", told=False
    )
    Slots(agent.data_dir).record("pump", end)
    agent.start()
    told = wait_for(lambda: station.event("1.1.0", "rolled_back"), 20, "the report")
    assert (told.rollout, told.reason, told.sha256) == ("r2", "crash_loop", sha256)
    wait_for(lambda: not has_untold(agent), 10, "the end to count as told")
    agent.stop()
    agent.start()
    assert station.states("1.1.0") == ["rolled_back"]


def has_untold(agent: AgentProcess) -> bool:
    return b'"told": false' in (agent.data_dir / "state.json").read_bytes()


def test_kill_9_after_any_write_leaves_a_proven_model_and_the_update_goes_on(
    agent: AgentProcess, station: Station
) -> None:
    install(station, agent)
    proven = "1.0.0"
    for writes in (1, 2, 3, 4, 6, 8, 10, 13, 16, 20):
        version, rollout = f"1.{writes}.0", f"kill-{writes}"
        content = make_bundle(version=version, shift=float(writes), padding_bytes=2 * CHUNK_BYTES)
        release = station.release(content)
        written = _Writes(agent.data_dir)
        station.desire(model_of(release, rollout))
        wait_for(lambda: written.count() >= writes or station.event(version, "succeeded"), 30, "that many writes")  # noqa: B023 - called at once
        agent.kill()
        agent.start()
        assert agent.predict(ROW)["model"] in {f"pump:{proven}", f"pump:{version}"}
        wait_for(lambda: station.event(version, "succeeded"), 30, f"{version} after {writes} writes")  # noqa: B023
        wait_for(lambda: agent.serving() == {"pump": version}, 10, f"{version} to serve")  # noqa: B023
        assert {end for end in station.states(version) if end in FINAL_STATES} == {"succeeded"}
        proven = version
    counted = [(event.epoch, event.seq) for event in station.received.events]
    assert len({epoch for epoch, _ in counted}) == 1


class _Writes:
    """Counts how often the files of a folder were seen to change."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._seen = self._look()

    def count(self) -> int:
        found = self._look()
        self._count += len(found ^ self._seen)
        self._seen = found
        return self._count

    def _look(self) -> set[tuple[str, int, int]]:
        found = set()
        for path in self._folder.rglob("*"):
            if not path.name.startswith("outbox"):
                try:
                    seen = path.stat()
                except FileNotFoundError:
                    continue
                found.add((str(path), seen.st_size, seen.st_mtime_ns))
        return found


def test_a_refused_bundle_leaves_nothing_on_the_disk(agent: AgentProcess, station: Station) -> None:
    good = install(station, agent)
    station.desire(model_of(station.release(make_bundle(version="1.2.0", wrong_golden=True)), "r2"))
    wait_for(lambda: station.event("1.2.0", "rejected"), 30, "the release to be refused")
    assert [entry.name for entry in (agent.data_dir / "blobs").iterdir()] == [good.sha256]
    assert list((agent.data_dir / "partial").iterdir()) == []


# ---- documents that change while an update is under way -----------------------------------------------------------


def test_a_release_that_is_forbidden_while_it_is_fetched_never_runs(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    content = make_bundle(version="1.1.0", shift=5.0, padding_bytes=4 * CHUNK_BYTES)
    forbidden = station.release(content, chunks=range(1))
    station.desire(model_of(forbidden, "r2"))
    wait_for(lambda: station.event("1.1.0", "downloading"), 20, "the download")
    station.release(make_bundle(version="1.2.0"), min_counter=3)
    station.desire(model_of(forbidden, "r2"))
    rejected = wait_for(lambda: station.event("1.1.0", "rejected"), 20, "the release to be refused")
    assert rejected.reason == "below_floor"
    assert "activating" not in station.states("1.1.0")
    assert agent.predict(ROW)["model"] == "pump:1.0.0"


def test_the_same_wish_under_a_higher_number_neither_restarts_nor_soaks_again(
    agent: AgentProcess, station: Station
) -> None:
    release = station.release(make_bundle(version="1.0.0"))
    agent.start()
    for _ in range(3):
        station.desire(model_of(release, "r1", soak_s=1.0))
        wait_for(lambda: station.event("1.0.0", "soaking"), 30, "the trial")
    wait_for(lambda: station.event("1.0.0", "succeeded"), 30, "the end")
    station.desire(model_of(release, "r1", soak_s=1.0))
    wait_for(lambda: agent.status()["applied_seq"] == 4, 20, "the last document")
    states = station.states("1.0.0")
    assert (states.count("soaking"), states.count("succeeded"), len(states)) == (1, 1, 7)


def test_several_models_are_installed_by_one_document(agent: AgentProcess, station: Station) -> None:
    agent.start()
    releases = [station.release(make_bundle(name=name)) for name in ("pump", "fan", "valve")]
    bad = station.release(make_bundle(name="gate", wrong_golden=True))
    station.desire(*(model_of(release) for release in [*releases, bad]))
    wait_for(lambda: agent.serving() == {"fan": "1.0.0", "pump": "1.0.0", "valve": "1.0.0"}, 40, "all of them")
    wait_for(lambda: [event for event in station.received.events if event.state == "rejected"], 20, "the bad one")
    assert {event.model for event in station.received.events if event.state == "rejected"} == {"gate"}


def test_documents_that_nobody_signed_cannot_fill_the_disk(agent: AgentProcess, station: Station) -> None:
    agent.start()
    release = station.release(make_bundle())
    for seq in (1, 2, 3):
        models = [
            replace(model_of(release), sha256=hashlib.sha256(b"%d %d" % (seq, each)).hexdigest()) for each in range(60)
        ]
        document = station.signing.document(station.device, seq, models)
        stale = replace(document, meta=replace(document.meta, timestamp=99 + seq))
        station.send_envelope(station.signing.sign(stale))
        wait_for(partial(_is_refused, agent, f"timestamp {99 + seq}"), 20, "the refusal")
    assert sum(event.state == "waiting" for event in station.received.events) <= 32


def _is_refused(agent: AgentProcess, words: str) -> bool:
    refused = agent.status()["desired_refused"]
    return bool(refused) and words in refused["message"]


def test_thirty_swaps_leak_nothing(agent: AgentProcess, station: Station) -> None:
    install(station, agent)
    releases = [install(station, agent, f"1.{number}.0", shift=float(number)) for number in (1, 2)]

    def swap(number: int) -> None:
        release = releases[number % 2]
        station.desire(model_of(release, f"swap-{number}"))
        wait_for(lambda: "succeeded" in station.states(release.version, f"swap-{number}"), 20, "the swap")

    for number in range(6):
        swap(number)
    before = _held(agent.pid)
    for number in range(6, 36):
        swap(number)
    after = _held(agent.pid)
    assert after[0] <= before[0] + 2, "file descriptors"
    assert after[1] <= before[1] + 1, "threads"
    assert after[2] <= before[2] + 6_000, "KiB of memory"


def _held(pid: int) -> tuple[int, int, int]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return descriptors, int(status["Threads"]), int(status["VmRSS"].split()[0])
