"""What this device shall run, and the updates that take it there: one at a time per model.

Desired documents are levels, not commands: each is compared with what is. The newest one counts; an update that it no
longer asks for ends as superseded. A model that is no longer mentioned keeps serving: removing it is not an update.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from edge_agent.backoff import backoff_s
from edge_agent.update.activation import BootFinding
from edge_agent.update.course import Course, Workshop, target_of
from edge_agent.update.dialog import Refusal, Verdict
from edge_agent.update.state import Accepted, Target
from edge_agent.update.table import Event, Happened, is_final
from edge_agent.update.verification import Verification
from edgekit.errors import DeviceFault, EdgekitError
from edgekit.messages import UpdateState
from edgekit.times import rfc3339, utc_now

_LOG = logging.getLogger("edgekit.agent.update")
_MAX_TOLD = 32  # reports about documents that are not verified, between two that were


@dataclass(frozen=True)
class Refused:
    """The desired document that was not followed last, for the status page."""

    reason: str
    message: str
    time: str
    waits: bool


class Updater:
    """Owns the courses. `on_change` is called whenever what the device should report has changed."""

    def __init__(self, shop: Workshop, verification: Verification, on_change: Callable[[], None]) -> None:
        self._shop, self._verification, self._on_change = shop, verification, on_change
        self._offered: bytes | None = None
        self._woken = asyncio.Event()
        self._courses: dict[str, Course] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._told: set[tuple[str, str]] = set()
        self._faults = 0
        self._recovery: asyncio.Task[None] | None = None
        self.refused: Refused | None = None

    def offer(self, envelope: bytes) -> None:
        """A desired document came. The newest one is judged as soon as possible."""
        self._offered = envelope
        self._woken.set()

    async def run(self, found: dict[str, BootFinding]) -> None:
        """Go on with what was under way, then follow the documents as they come, for ever. `found` is used up."""
        self._woken.set()  # a document that an earlier run broke off with is judged again
        try:
            await self._tell_ends()
            while found:
                name, finding = found.popitem()
                self._begin(target_of(name, finding.trial), finding)
            self._reconcile()
            await self._follow()
        finally:
            under_way = [*self._tasks.values(), *([self._recovery] if self._recovery else [])]
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def under_way(self) -> dict[str, UpdateState]:
        """States of the updates that have not ended, by model."""
        return {name: course.state for name, course in self._courses.items() if not is_final(course.state)}

    def status(self) -> dict[str, Any]:
        """For the status page."""
        courses = {name: _course_status(course) for name, course in sorted(self._courses.items())}
        refused = self.refused
        return {
            "applied_seq": self._shop.slots.state.applied_seq,
            "updates": courses,
            "desired_refused": None
            if refused is None
            else {
                "reason": refused.reason,
                "message": refused.message,
                "time": refused.time,
                "waits": refused.waits,
            },
        }

    # ---- documents ------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        waits = 0
        while True:
            await self._woken.wait()
            self._woken.clear()
            envelope = self._offered
            if not envelope or self._is_accepted(envelope):
                continue
            refusal = await self._judge(envelope)
            if refusal is None or not refusal.wait:
                waits = 0
                continue
            await self._wait_for_better(waits)
            waits += 1

    async def _judge(self, envelope: bytes) -> Refusal | None:
        """Follow the document, or say why not. A disk that refuses leaves everything under way alone."""
        try:
            answer = await self._verification.judge(envelope, self._shop.slots.state)
            if isinstance(answer, Verdict):
                await self._accept(envelope, answer)
                return None
            await self._refuse(answer)
            return answer
        except (DeviceFault, OSError) as error:
            reason = error.reason if isinstance(error, DeviceFault) else "disk_failed"
            refusal = Refusal(reason=reason, message=f"the document cannot be kept: {error}", wait=True)
            self._note(refusal)
            return refusal

    def _is_accepted(self, envelope: bytes) -> bool:
        desired = self._shop.slots.state.desired
        return desired is not None and desired.envelope_sha256 == hashlib.sha256(envelope).hexdigest()

    async def _accept(self, envelope: bytes, verdict: Verdict) -> None:
        accepted = Accepted(
            seq=verdict.seq,
            expires=verdict.expires,
            envelope_sha256=hashlib.sha256(envelope).hexdigest(),
            models=verdict.models,
        )
        await self._shop.disk.run(self._verification.store.write, verdict.files)
        await self._shop.disk.run(self._shop.slots.accept, accepted, verdict.floors, verdict.trusted_time)
        self.refused = None
        self._told.clear()
        self._reconcile()
        self._on_change()

    async def _refuse(self, refusal: Refusal) -> None:
        self._note(refusal)
        for target in refusal.models:
            # What was not verified may be anybody's: it may not fill the outbox.
            if (target.sha256, refusal.reason) not in self._told and len(self._told) < _MAX_TOLD:
                self._told.add((target.sha256, refusal.reason))
                await self._shop.on_state(target, "waiting", Happened(Event.BLOCKED, refusal.reason, refusal.message))

    def _note(self, refusal: Refusal) -> None:
        self.refused = Refused(refusal.reason, refusal.message, rfc3339(utc_now()), refusal.wait)
        _LOG.warning("desired document not followed (%s): %s", refusal.reason, refusal.message)

    async def _wait_for_better(self, waits: int) -> None:
        section = self._shop.section
        try:
            async with asyncio.timeout(backoff_s(waits, section.retry_min_s, section.retry_max_s)):
                await self._woken.wait()
        except TimeoutError:
            self._woken.set()

    # ---- courses --------------------------------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Begin what is asked for and not under way; end what is under way and not asked for."""
        desired = self._shop.slots.state.desired
        if desired is None:
            return
        wanted = {target.name: target for target in desired.models}
        busy = {name: self._courses[name] for name, task in self._tasks.items() if not task.done()}
        for name in busy.keys() - wanted.keys():
            busy[name].interrupt(Event.CANCELED, "no longer asked for")
        for name, target in wanted.items():
            if name in busy:
                _steer(busy[name], target)
            elif self._is_due(target):
                self._begin(target, None)
        under_way = {self._courses[name].target.sha256 for name, task in self._tasks.items() if not task.done()}
        due = {target.sha256 for target in wanted.values() if self._is_due(target)}
        self._shop.partials.keep_only(under_way | due)

    def _is_due(self, target: Target) -> bool:
        slots = self._shop.slots
        if slots.ended_badly(target.name, target.sha256, target.rollout):
            return False
        current = slots.model(target.name).current
        serving = current is not None and current.sha256 == target.sha256
        return not serving or slots.outcome(target.name, target.sha256, target.rollout) is None

    def _begin(self, target: Target, finding: BootFinding | None) -> None:
        course = self._courses[target.name] = Course(self._shop, target)
        run = course.run() if finding is None else course.run("soaking", finding.happened)
        self._tasks[target.name] = task = asyncio.create_task(run)
        task.add_done_callback(partial(self._on_end, course))

    def _on_end(self, course: Course, task: asyncio.Task[None]) -> None:
        self._on_change()
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._faults = 0
            self._reconcile()
            return
        # A fault of ours or of the disk: what serves goes on serving meanwhile.
        section = self._shop.section
        pause_s = backoff_s(self._faults, section.retry_min_s, section.retry_max_s)
        self._faults += 1
        _LOG.error("an update broke off and begins again in %.0f s: %s", pause_s, error, exc_info=error)
        reason = error.reason if isinstance(error, EdgekitError) else "agent_fault"
        course.break_off(Happened(Event.BLOCKED, reason, str(error)))
        self._on_change()
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.create_task(self._recover(pause_s))

    async def _recover(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        try:
            await self._tell_ends()
        except DeviceFault as error:
            _LOG.error("ends of updates are told later: %s", error.message)
        self._reconcile()

    async def _tell_ends(self) -> None:
        """Report the ends that were made durable and then cut from their report."""
        for name, end in self._shop.slots.untold():
            if name in self._tasks and not self._tasks[name].done():
                continue
            target = Target(name=name, version=end.version, sha256=end.sha256, bytes=0, counter=0, rollout=end.rollout)
            await self._shop.on_state(target, end.state, Happened(Event.READY, end.reason, end.detail))
            await self._shop.disk.run(self._shop.slots.mark_told, name, end)


def _steer(course: Course, target: Target) -> None:
    if (course.target.sha256, course.target.rollout) != (target.sha256, target.rollout):
        course.interrupt(Event.SUPERSEDED, f"{target.version} is asked for now")
    elif target.refused is not None and course.target.refused is None:
        course.interrupt(Event.SUPERSEDED, f"it is no longer acceptable: {target.refused_detail}")
    else:
        course.nudge()


def _course_status(course: Course) -> dict[str, Any]:
    happened = course.last
    progress = course.progress
    return {
        "version": course.target.version,
        "sha256": course.target.sha256,
        "rollout": course.target.rollout,
        "state": course.state,
        "reason": happened.reason if happened else None,
        "detail": happened.detail if happened else None,
        "chunks": {"all": progress.chunks, "present": progress.present, "fetched": progress.fetched},
    }
