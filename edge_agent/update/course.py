"""One update of one model, from `queued` to its end: does what the table says and reports every state it enters.

A state on the way is reported (durably) before its work begins: a cut between the two repeats a report and loses none.
An end is reported after it was made durable, so that no end is told that did not happen; the next start tells an end
that was cut from its report.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec.structs import asdict

from edge_agent.backoff import backoff_s
from edge_agent.config import UpdateSection
from edge_agent.update import dialog, table
from edge_agent.update.activation import Activation
from edge_agent.update.child import ChildFailed, running
from edge_agent.update.dialog import PreflightReport, PreflightRequest
from edge_agent.update.download import Download, Progress, Source
from edge_agent.update.partial import Partials
from edge_agent.update.slots import Slots
from edge_agent.update.state import Outcome, Slot, Target, Trial
from edge_agent.update.table import Action, Event, Happened, Step
from edge_agent.update.threads import DiskThread
from edgekit.bundle import MAX_BUNDLE_BYTES
from edgekit.errors import BundleError
from edgekit.messages import UpdateState
from edgekit.times import parse_rfc3339, rfc3339, utc_now

_MODULE = "edge_agent.update.preflight"
_DISK_MARGIN_BYTES = 16 << 20
_MEMORY_MARGIN = 1.3
_MAX_DETAIL_CHARS = 300

OnState = Callable[[Target, UpdateState, Happened | None], Awaitable[None]]


@dataclass(frozen=True)
class Workshop:
    """What every update works with. `on_state` makes a report of a state durable. `one_test`: bundles are tested one at
    a time, for each test counts on the free memory that it finds.
    """

    slots: Slots
    partials: Partials
    activation: Activation
    source: Source
    disk: DiskThread
    section: UpdateSection
    on_state: OnState
    one_test: asyncio.Lock = field(default_factory=asyncio.Lock)


class Course:
    """The update to `target`."""

    def __init__(self, shop: Workshop, target: Target) -> None:
        self.target = target
        self.state: UpdateState = "queued"
        self.last: Happened | None = None
        self.progress = Progress()
        self._shop = shop
        self._tested: PreflightReport | None = None
        self._waits = 0
        self._nudged = asyncio.Event()
        self._interrupted: asyncio.Future[Happened] = asyncio.get_running_loop().create_future()
        self._told_wait: str | None = None
        # The works of the table yield what happened; the moves make an end durable.
        self._works: dict[Action, Callable[[], Coroutine[None, None, Happened]]] = {
            Action.CHECK: self._check,
            Action.WAIT: self._wait,
            Action.DOWNLOAD: lambda: self._download().run(),
            Action.VERIFY: lambda: self._download().verify(),
            Action.TEST: self._test,
            Action.ACTIVATE: self._activate,
            Action.SOAK: self._soak,
        }
        self._moves: dict[Action, Callable[[Outcome], Coroutine[None, None, None]]] = {
            Action.COMMIT: self._commit,
            Action.RESTORE: self._restore,
            Action.DISCARD: self._discard,
            Action.RECORD: self._record,
        }

    def nudge(self) -> None:
        """Look again now, if it waits: something may have changed."""
        self._nudged.set()

    def interrupt(self, event: Event, detail: str | None = None) -> None:
        """SUPERSEDED or CANCELED: end it at the next possible moment, the proven model serving."""
        if not self._interrupted.done():
            self._interrupted.set_result(Happened(event, event.value, detail))

    async def run(self, state: UpdateState = "queued", first: Happened | None = None) -> None:
        """Follow the table to an end. `first`: what is known to have happened already."""
        self.state = state
        if first is None:
            await self._report(state, self._shop.activation.damaged.pop(self.target.name, None))
            first = await self._until_interrupted(table.resume_action(state))
        happened = first
        while True:
            step = table.step(self.state, happened.event)
            if table.is_final(step.state):
                await self._end(step, happened)
                return
            await self._report(step.state, happened)
            for action in step.actions:
                if action in self._works:
                    happened = await self._until_interrupted(action)
                else:
                    await self._publish()

    async def _end(self, step: Step, happened: Happened) -> None:
        target = self.target
        end = Outcome(
            sha256=target.sha256,
            version=target.version,
            rollout=target.rollout,
            state=step.state,
            time=rfc3339(utc_now()),
            reason=happened.reason,
            detail=happened.detail and happened.detail[:_MAX_DETAIL_CHARS],
            told=False,
        )
        for action in step.actions:
            await self._moves[action](end)
        await self._abandon()
        await self._report(step.state, happened)
        await self._shop.disk.run(self._shop.slots.mark_told, target.name, end)

    async def _report(self, state: UpdateState, happened: Happened | None) -> None:
        again = self.state == "waiting"
        self.state, self.last = state, happened
        if again and state == "queued":
            return  # it only looks again: what is told is what comes of it
        if state == "waiting" and happened is not None:
            if happened.reason == self._told_wait:
                return
            self._told_wait = happened.reason
        else:
            self._told_wait = None
        await self._shop.on_state(self.target, state, happened)

    def break_off(self, happened: Happened) -> None:
        """A fault ended this attempt: for the status page, until the next one begins."""
        self.state, self.last = "waiting", happened

    async def _until_interrupted(self, action: Action) -> Happened:
        work = asyncio.create_task(self._works[action]())
        try:
            await asyncio.wait({work, self._interrupted}, return_when=asyncio.FIRST_COMPLETED)
            return self._interrupted.result() if self._interrupted.done() else work.result()
        finally:
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

    async def _publish(self) -> None:
        await self._shop.disk.run(self._shop.slots.publish, self.target.name, self.target.sha256)

    async def _abandon(self) -> None:
        await self._shop.disk.run(self._shop.slots.blobs.abandon, self.target.sha256)

    async def _commit(self, end: Outcome) -> None:
        await self._shop.activation.commit(self.target.name, end)

    async def _restore(self, end: Outcome) -> None:
        await self._shop.activation.restore(self.target.name, end)

    async def _discard(self, end: Outcome) -> None:
        await self._shop.disk.run(self._shop.partials.discard, end.sha256)

    async def _record(self, end: Outcome) -> None:
        await self._shop.disk.run(self._shop.slots.record, self.target.name, end)

    # ---- before anything is fetched ------------------------------------------------------------------------

    async def _check(self) -> Happened:
        target, slots = self.target, self._shop.slots
        if target.refused is not None:
            return Happened(Event.REFUSED, target.refused, target.refused_detail)
        current = slots.model(target.name).current
        if current is not None and current.sha256 == target.sha256:
            return Happened(Event.SERVING)
        if self._expired():
            return Happened(Event.BLOCKED, "desired_expired", "the document that asks for it has expired")
        stored = slots.find(target.name, target.sha256)
        if stored is not None and await self._sound(stored):
            return Happened(Event.STORED)
        return await self._check_size()

    async def _check_size(self) -> Happened:
        if self.target.bytes > MAX_BUNDLE_BYTES:
            return Happened(Event.REFUSED, "too_large", f"bundles over {MAX_BUNDLE_BYTES >> 20} MiB are not taken")
        free = (await self._shop.disk.run(shutil.disk_usage, self._shop.slots.blobs.folder)).free
        if free < 2 * self.target.bytes + _DISK_MARGIN_BYTES:
            return Happened(Event.BLOCKED, "disk_short", f"{free >> 20} MiB are free: free some space")
        return Happened(Event.ABSENT)

    def _expired(self) -> bool:
        state = self._shop.slots.state
        known = parse_rfc3339(state.trusted_time) if state.trusted_time else datetime.min.replace(tzinfo=UTC)
        return state.desired is not None and parse_rfc3339(state.desired.expires) <= max(known, utc_now())

    async def _sound(self, slot: Slot) -> bool:
        try:
            await self._shop.disk.run(self._shop.slots.blobs.check, slot.sha256, slot.manifest_sha256)
        except BundleError:
            return False
        return True

    async def _wait(self) -> Happened:
        self._nudged.clear()
        pause_s = backoff_s(self._waits, self._shop.section.retry_min_s, self._shop.section.retry_max_s)
        self._waits += 1
        try:
            async with asyncio.timeout(pause_s):
                await self._nudged.wait()
        except TimeoutError:
            pass  # the usual end of a wait
        return Happened(Event.READY)

    # ---- getting and testing it ----------------------------------------------------------------------------

    def _download(self) -> Download:
        return Download(self._shop.source, self._shop.partials, self.target, self._shop.disk, self.progress)

    async def _test(self) -> Happened:
        async with self._shop.one_test:
            report = await self._preflight()
        if report.reason is None:
            self._tested = report
            return Happened(Event.PASSED, detail=f"{report.rows} golden rows, {report.run_us:.0f} us a row")
        await self._abandon()
        if report.reason == "disk_short":
            return Happened(Event.BLOCKED, report.reason, report.detail)
        return Happened(Event.REFUSED if report.refused else Event.BROKEN, report.reason, report.detail)

    async def _preflight(self) -> PreflightReport:
        target, section = self.target, self._shop.section
        request = PreflightRequest(
            bundle=str(self._shop.partials.path(target.sha256)),
            folder=str(self._shop.slots.blobs.temporary(target.sha256)),
            name=target.name,
            version=target.version,
            sha256=target.sha256,
            expanded_sha256=target.expanded_sha256,
            memory_bytes=section.preflight_memory_mib << 20,
            budget_bytes=self._shop.activation.ledger.left_bytes(target.name),
        )
        try:
            async with asyncio.timeout(section.preflight_timeout_s), running(_MODULE) as child:
                await child.say(dialog.encode(request))
                return dialog.decode(await child.hear(), PreflightReport)
        except TimeoutError:
            detail = f"its test took over {section.preflight_timeout_s:.0f} s"
            return PreflightReport(reason="preflight_timeout", detail=detail)
        except ChildFailed as error:
            detail = f"it killed the process that tested it (status {error.returncode}) {error.complaint}".strip()
            return PreflightReport(reason="preflight_crashed", detail=detail, refused=True)
        except (ValueError, OSError) as error:
            return PreflightReport(reason="preflight_failed", detail=f"the test could not be run: {error}")

    # ---- trying it -----------------------------------------------------------------------------------------

    async def _activate(self) -> Happened:
        target, tested = self.target, self._tested
        stored = self._shop.slots.find(target.name, target.sha256)
        trial = Trial(
            sha256=target.sha256,
            version=target.version,
            manifest_sha256=tested.manifest_sha256 if tested else stored.manifest_sha256 if stored else "",
            counter=target.counter,
            rollout=target.rollout,
            soak_s=target.soak_s,
            activated=rfc3339(utc_now()),
        )
        peak_bytes = int(tested.load_peak_bytes * _MEMORY_MARGIN) if tested else 0
        happened = await self._shop.activation.activate(target.name, trial, peak_bytes)
        await self._shop.disk.run(self._shop.partials.discard, target.sha256)
        return happened

    async def _soak(self) -> Happened:
        trial = self._shop.slots.model(self.target.name).trial
        if trial is None:
            return Happened(Event.UNHEALTHY, "trial_lost", "the record of the trial was lost")
        return await self._shop.activation.soak(self.target.name, trial)


def target_of(name: str, trial: Trial) -> Target:
    """The target that a trial found at start came from."""
    known = asdict(trial)
    shared = {field: known[field] for field in Target.__struct_fields__ if field in known}
    return Target(name=name, bytes=0, **shared)
