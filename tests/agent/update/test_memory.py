"""Models and memory: what does not fit is refused with its reason, and what is proven comes back when there is room."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.config import UpdateSection
from edge_agent.serve.models import Models
from edge_agent.update.activation import Activation
from edge_agent.update.memory import Ledger, shortage
from edge_agent.update.slots import Slots
from edge_agent.update.soak import Served
from edge_agent.update.state import Outcome, Slot, Trial
from edge_agent.update.table import Event
from edge_agent.update.threads import DiskThread
from edgekit import bundle as bundles
from edgekit.errors import DeviceFault
from tests.support.agent import AgentProcess
from tests.support.models import expand_into, make_bundle
from tests.support.station import Station, model_of
from tests.support.waiting import wait_for

MIB = 1 << 20  # what the test bundles say that they take
END = Outcome(sha256="", version="", rollout="r", state="rolled_back", time="")


@pytest.mark.parametrize(
    ("need", "available", "left", "fits"),
    [
        (MIB, MIB, None, True),
        (MIB, MIB - 1, None, False),
        (MIB, MIB, MIB, True),
        (MIB, 9 * MIB, MIB - 1, False),
        (0, 0, -5, False),
    ],
)
def test_a_model_must_fit_into_what_is_free_and_into_the_budget(
    need: int, available: int, left: int | None, *, fits: bool
) -> None:
    assert (shortage(need, available, left) is None) == fits


def test_a_model_takes_the_place_of_its_own_old_version_and_of_no_other() -> None:
    ledger = Ledger(10, lambda: 100, {"pump": 4, "valve": 5})
    assert ledger.left_bytes("pump") == 5
    ledger.check("pump", 5)
    with pytest.raises(DeviceFault, match="budget") as caught:
        ledger.check("fan", 5)
    assert caught.value.reason == "memory_short"
    assert Ledger(0, lambda: 100).left_bytes("pump") is None


class Device:
    """Slots and models, with as much memory as a test says."""

    def __init__(self, folder: Path) -> None:
        self.free_bytes = 100 * MIB
        self.models, self.disk = Models(), DiskThread()
        self.slots = Slots(folder)
        ledger = Ledger(0, lambda: self.free_bytes)
        self.activation = Activation(self.slots, self.models, self.disk, UpdateSection(), lambda _: Served(), ledger)

    def store(self, version: str, shift: float = 0.0) -> Trial:
        content = make_bundle(version=version, shift=shift)
        folder = expand_into(content, self.slots.blobs.folder)
        digest = hashlib.sha256((folder / bundles.MANIFEST_PATH).read_bytes()).hexdigest()
        return Trial(sha256=folder.name, version=version, manifest_sha256=digest, counter=1, rollout="r", activated="")

    def prove(self, trial: Trial) -> None:
        self.slots.begin_trial("pump", trial)
        self.slots.commit("pump", END)

    def serves(self, version: str | None) -> bool:
        predictor = self.models.get("pump")
        return (predictor.manifest.version if predictor else None) == version


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path / "data")
    yield made
    made.disk.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        async with asyncio.timeout(20):
            await work()

    asyncio.run(all_of_it())


def test_a_newcomer_that_does_not_fit_is_refused_before_it_is_loaded(device: Device) -> None:
    async def try_it() -> None:
        device.prove(device.store("1.0.0"))
        device.activation.boot()
        assert device.serves("1.0.0")
        device.free_bytes = MIB - 1
        happened = await device.activation.activate("pump", device.store("1.1.0", shift=5.0), 0)
        assert (happened.event, happened.reason) == (Event.BROKEN, "memory_short")
        assert device.serves("1.0.0")

    run(try_it)


def test_a_proven_model_without_memory_keeps_its_slot_and_is_loaded_when_there_is_some(device: Device) -> None:
    async def starve_and_feed() -> None:
        device.prove(device.store("1.0.0"))
        device.prove(device.store("1.1.0", shift=5.0))
        device.free_bytes = 0
        device.activation.boot()
        assert device.serves(None)
        assert "pump" in device.activation.hungry
        current = device.slots.model("pump").current
        assert isinstance(current, Slot)
        assert current.version == "1.1.0", "a shortage is not held against the model"
        device.free_bytes = 100 * MIB
        feeding = asyncio.create_task(device.activation.feed())
        while device.activation.hungry:
            await asyncio.sleep(0.01)
        feeding.cancel()
        assert device.serves("1.1.0")

    run(starve_and_feed)


def test_a_rollback_unloads_the_trial_first_when_both_do_not_fit(device: Device) -> None:
    async def roll_back() -> None:
        device.prove(device.store("1.0.0"))
        trial = device.store("1.1.0", shift=5.0)
        assert (await device.activation.activate("pump", trial, 0)).event is Event.PASSED
        assert device.serves("1.1.0")
        ledger, rooms = device.activation.ledger, iter([0, 100 * MIB])
        ledger.available = lambda: next(rooms)
        await device.activation.restore("pump", END)
        assert device.serves("1.0.0")
        assert next(rooms, None) is None, "asked beside the trial, and again without it"

    run(roll_back)


def test_an_update_that_does_not_fit_fails_with_its_reason_and_shows_in_the_status(
    agent: AgentProcess, station: Station
) -> None:
    agent.config.write_text(agent.config.read_text() + "[agent]\nmemory_budget_bytes = 1\n")
    agent.start()
    station.desire(model_of(station.release(make_bundle())))
    failed = wait_for(lambda: station.event("1.0.0", "failed"), 30, "the refusal")
    assert failed.reason == "memory_short"
    memory = agent.status()["memory"]
    assert (memory["budget_bytes"], memory["models"]) == (1, {})
    assert memory["resident_bytes"] > 10 * MIB
    assert "budget of the models" in agent.command("status").stdout
