"""Putting a stored model into service and taking it out again, while requests go on.

The trial is durable before the model is loaded, so a model that kills its process is known at the next start. Loading
and freeing happen on niced threads; a request sees the old model or the new one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edge_agent.config import UpdateSection
from edge_agent.report.system import anonymous_bytes
from edge_agent.serve.inference import Predictor, trim_heap
from edge_agent.serve.models import Models
from edge_agent.serve.selftest import run_golden
from edge_agent.update.blobs import MANIFEST_NAME
from edge_agent.update.memory import REASON, Ledger
from edge_agent.update.slots import Slots
from edge_agent.update.soak import Served, judge
from edge_agent.update.state import Outcome, Slot, Trial
from edge_agent.update.table import Event, Happened
from edge_agent.update.threads import DiskThread, run_niced
from edgekit import golden
from edgekit import manifest as manifests
from edgekit.bundle import MAX_BUNDLE_BYTES
from edgekit.errors import BundleError, DeviceFault, EdgekitError
from edgekit.files import read_bounded
from edgekit.packing import EXPANDED_NAMES

_LOG = logging.getLogger("edgekit.agent.update")
_SOAK_TICK_S = 1.0
_HUNGRY_S = 30.0


@dataclass(frozen=True)
class BootFinding:
    """A trial found at start. `happened`: what already speaks against it, or None: its soak goes on."""

    trial: Trial
    happened: Happened | None


@dataclass
class Activation:
    """Joins the slots on disk and the models in memory.

    `served`: counts since the start, by bundle digest. `damaged`: proven models that could not serve, and why, until
    the update that heals them has told it. `hungry`: proven models that found no memory, and why.
    """

    slots: Slots
    models: Models
    disk: DiskThread
    section: UpdateSection
    served: Callable[[str], Served]
    ledger: Ledger
    soaked_s: dict[str, float] = field(default_factory=dict)
    damaged: dict[str, Happened] = field(default_factory=dict)
    hungry: dict[str, str] = field(default_factory=dict)
    _loading: threading.Lock = field(default_factory=threading.Lock)

    # ---- at start -------------------------------------------------------------------------------------------

    def boot(self) -> dict[str, BootFinding]:
        """Serve what is proven, or on trial, for every model; trials that were found, by name. Before any request."""
        found = {}
        for name in sorted(self.slots.state.models):
            trial = self._counted_trial(name)
            happened = self._boot_trial(name, trial) if trial is not None else None
            if trial is None or happened is not None:
                self._boot_proven(name)
            if trial is not None:
                found[name] = BootFinding(trial, happened)
                self.soaked_s[name] = trial.soaked_s
        self.slots.collect()
        trim_heap()
        return found

    def _counted_trial(self, name: str) -> Trial | None:
        try:
            return self.slots.count_boot(name)
        except DeviceFault as error:
            # Uncounted, a trial that kills the process could do so for ever. It is tried again when the disk is well.
            _LOG.error("the trial of %s is not begun, the proven model serves: %s", name, error.message)
            return None

    def _boot_trial(self, name: str, trial: Trial) -> Happened | None:
        if trial.boots > self.section.max_trial_boots:
            return Happened(
                Event.UNHEALTHY, "crash_loop", f"the process ended {trial.boots - 1} times without standing its soak"
            )
        try:
            self.models.swap(name, self._load(name, trial))
        except (BundleError, DeviceFault) as error:
            return Happened(Event.UNHEALTHY, error.reason, error.message)
        return None

    def _boot_proven(self, name: str) -> None:
        model = self.slots.model(name)
        for slot in (model.current, model.previous):
            if slot is None:
                continue
            try:
                self.models.swap(name, self._load(name, slot))
                return
            except (BundleError, DeviceFault) as error:
                if error.reason == REASON:
                    self._note_hunger(name, error)
                    return
                self._note_damage(name, slot, error)
            try:
                self.slots.fall_back(name)
            except DeviceFault as error:
                _LOG.error("%s falls back without a record of it: %s", name, error.message)

    def _note_damage(self, name: str, slot: Slot, error: BundleError | DeviceFault) -> None:
        _LOG.error("%s %s cannot serve, the one before it does: %s", name, slot.version, error.message)
        self.damaged[name] = Happened(Event.BROKEN, error.reason, f"{slot.version} could not serve: {error.message}")

    def _note_hunger(self, name: str, error: EdgekitError) -> None:
        """Nothing is wrong with the model: it keeps its slot, and is loaded when there is room for it."""
        _LOG.error("%s. It is tried again every %.0f s", error.message, _HUNGRY_S)
        self.hungry[name] = error.message

    # ---- while running --------------------------------------------------------------------------------------

    async def activate(self, name: str, trial: Trial, load_peak_bytes: int) -> Happened:
        """Begin the trial: PASSED when it serves, REFUSED or BROKEN when it does not come up here.

        `load_peak_bytes`: as the test measured it, 0 when there was none.
        """
        try:
            self.ledger.check(name, load_peak_bytes)
        except DeviceFault as error:
            return Happened(Event.BROKEN, error.reason, error.message)
        await self.disk.run(self.slots.begin_trial, name, trial)
        try:
            await self._serve(name, trial)
        except BundleError as error:
            return Happened(Event.REFUSED, error.reason, error.message)
        except DeviceFault as error:
            return Happened(Event.BROKEN, error.reason, error.message)
        self.soaked_s[name] = 0.0
        return Happened(Event.PASSED)

    async def soak(self, name: str, trial: Trial) -> Happened:
        """Watch the trial until it is judged. Time counts only while this process serves it."""
        loop = asyncio.get_running_loop()
        started = loop.time() - trial.soaked_s
        base = self.served(trial.sha256)
        while True:
            self.soaked_s[name] = loop.time() - started
            now = self.served(trial.sha256)
            since = Served(now.ok - base.ok, now.server_error - base.server_error)
            happened = judge(since, self.soaked_s[name], trial.soak_s)
            if happened is not None:
                return happened
            await asyncio.sleep(min(_SOAK_TICK_S, max(0.01, trial.soak_s - self.soaked_s[name])))

    async def commit(self, name: str, end: Outcome) -> None:
        """The trial is proven."""
        await self.disk.run(self.slots.commit, name, end)
        await self.disk.run(self.slots.collect)

    async def restore(self, name: str, end: Outcome) -> None:
        """Serve what was proven before the trial; nothing, when nothing was."""
        await self.disk.run(self.slots.forget_trial, name, end)
        while (current := self.slots.model(name).current) is not None and not self.serves(name, current.sha256):
            try:
                await self._serve_again(name, current)
            except (BundleError, DeviceFault) as error:
                if error.reason == REASON:
                    self._note_hunger(name, error)
                    break
                self._note_damage(name, current, error)
                await self.disk.run(self.slots.fall_back, name)
        if current is None:
            await self._unload(name)
        await self.disk.run(self.slots.collect)

    async def feed(self) -> None:
        """Load the proven models that found no memory, as soon as there is some; for ever."""
        while True:
            for name in [*self.hungry]:
                current = self.slots.model(name).current
                if current is not None and self.models.get(name) is None:
                    try:
                        await self._serve(name, current)
                    except (BundleError, DeviceFault) as error:
                        self.hungry[name] = error.message
                        continue
                self.hungry.pop(name, None)
            await asyncio.sleep(_HUNGRY_S)

    def serves(self, name: str, sha256: str) -> bool:
        """True when that bundle's model answers requests."""
        predictor = self.models.get(name)
        return predictor is not None and predictor.identity[2] == sha256

    async def pause(self) -> None:
        """At a clean stop: trials are not blamed for it."""
        for name, model in self.slots.state.models.items():
            if model.trial is not None:
                await self.disk.run(self.slots.pause_trial, name, self.soaked_s.get(name, 0.0))

    async def _serve_again(self, name: str, current: Slot) -> None:
        """Go back to what was proven: beside the trial when both fit, else after the trial is gone."""
        try:
            await self._serve(name, current)
        except DeviceFault as error:
            if error.reason != REASON or self.models.get(name) is None:
                raise
            await self._unload(name)
            await self._serve(name, current)

    async def _serve(self, name: str, slot: Slot) -> None:
        loaded = await run_niced(partial(self._load, name, slot))
        await _free([self.models.swap(name, loaded)])

    async def _unload(self, name: str) -> None:
        self.ledger.taken.pop(name, None)
        await _free([self.models.swap(name, None)])

    def _load(self, name: str, slot: Slot) -> Predictor:
        """The model of a slot, if it fits. One at a time, so that what memory each takes can be told."""
        with self._loading:
            folder = self.slots.blobs.check(slot.sha256, slot.manifest_sha256)
            self.ledger.check(name, _need_bytes(folder, slot))
            trim_heap()
            before = anonymous_bytes()
            predictor = load(folder, slot)
            trim_heap()
            self.ledger.taken[name] = max(0, anonymous_bytes() - before)
            return predictor


def _need_bytes(folder: Path, slot: Slot) -> int:
    """What loading takes: with the manifest's margin for a newcomer, without for one that has served here before."""
    manifest = manifests.decode(read_bounded(folder / MANIFEST_NAME, manifests.MAX_MANIFEST_BYTES))
    return manifest.requires.free_memory_bytes if isinstance(slot, Trial) else manifest.measured.load_peak_bytes


def load(folder: Path, slot: Slot) -> Predictor:
    """The model in a checked folder, its golden rows answered. Raises BundleError, DeviceFault."""
    predictor = Predictor.open(folder, sha256=slot.sha256)
    try:
        rows = golden.decode_golden(read_bounded(folder / EXPANDED_NAMES["golden"], MAX_BUNDLE_BYTES))
    except (OSError, ValueError) as error:
        raise DeviceFault(f"the golden rows of {predictor.label} cannot be read", reason="model_unreadable") from error
    result = run_golden(predictor, rows)
    if not result.passed:
        raise BundleError(f"{predictor.label} does not answer as it should: {result.detail}", reason="golden_mismatch")
    return predictor


async def _free(old: list[Predictor | None]) -> None:
    # The list is the only reference left: clearing it frees the model there, off the loop.
    def free() -> None:
        old.clear()
        trim_heap()

    await run_niced(free)
