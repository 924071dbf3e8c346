"""Current, previous and trial of each model: the durable moves between them, and what a start does with them.

Every move is one atomic write of `state.json`; the folders it names are complete before it names them and are removed
only after no slot names them any more. So a cut at any instruction leaves a model that was verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec.structs import asdict, replace

from edge_agent.update.blobs import Blobs
from edge_agent.update.state import MAX_OUTCOMES, Accepted, ModelState, Outcome, Slot, State, StateFile, Trial
from edgekit.files import make_folder, sweep_temporaries
from edgekit.messages import BAD_STATES


class Slots:
    """The state file and the store in `data_dir`. Not for several threads at once: callers use one after the other."""

    def __init__(self, data_dir: Path) -> None:
        make_folder(data_dir, mode=0o700)
        sweep_temporaries(data_dir)
        self._file = StateFile(data_dir)
        self.blobs = Blobs(data_dir / "blobs")
        self._published: dict[str, str] = {}

    @property
    def state(self) -> State:
        """What is durable now."""
        return self._file.state

    @property
    def recovered(self) -> bool:
        """True when the newest state file was damaged and an older copy was used."""
        return self._file.recovered

    def model(self, name: str) -> ModelState:
        """The slots of `name`; empty ones for a model never seen."""
        return self.state.models.get(name, ModelState())

    # ---- the moves ----------------------------------------------------------------------------------------

    def accept(self, accepted: Accepted, floors: Mapping[str, int], trusted_time: str) -> None:
        """Note a verified desired document before anything is done about it. Floors and time never go down.

        A model that is neither asked for nor stored is forgotten, so that the record cannot grow for ever.
        """
        risen = dict(self.state.floors)
        for name, floor in floors.items():
            if floor > risen.get(name, 0):
                risen[name] = floor
        wanted = {target.name for target in accepted.models}
        self._file.write(
            replace(
                self.state,
                applied_seq=max(accepted.seq, self.state.applied_seq),
                trusted_time=max(trusted_time, self.state.trusted_time),
                floors=risen,
                desired=accepted,
                models={
                    name: model for name, model in self.state.models.items() if name in wanted or _worth_keeping(model)
                },
            )
        )

    def publish(self, name: str, sha256: str) -> None:
        """Move a tested folder into the store. It is kept until its trial begins, or its update ends without one."""
        self._published[name] = sha256
        self.blobs.publish(sha256)

    def begin_trial(self, name: str, trial: Trial) -> None:
        """Note the trial before it is loaded: should it kill the process, the next start knows whom to suspect."""
        self._write(name, replace(self.model(name), trial=trial))
        self._published.pop(name, None)

    def count_boot(self, name: str) -> Trial | None:
        """Count a start with the trial of `name`, before it is loaded; the trial, if there is one."""
        trial = self.model(name).trial
        if trial is None:
            return None
        counted = replace(trial, boots=trial.boots + 1)
        self._write(name, replace(self.model(name), trial=counted))
        return counted

    def pause_trial(self, name: str, soaked_s: float) -> None:
        """At a clean stop: this start is not held against the trial, and its soak goes on where it was."""
        trial = self.model(name).trial
        if trial is not None:
            paused = replace(trial, boots=max(0, trial.boots - 1), soaked_s=soaked_s)
            self._write(name, replace(self.model(name), trial=paused))

    def commit(self, name: str, end: Outcome) -> None:
        """The trial becomes current, current becomes previous; `end` is remembered in the same write."""
        model = self.model(name)
        if model.trial is not None:
            known = asdict(model.trial)
            current = Slot(**{field: known[field] for field in Slot.__struct_fields__})
            model = replace(model, current=current, previous=model.current, trial=None)
        self._write(name, _ended(model, end))

    def forget_trial(self, name: str, end: Outcome) -> None:
        """Only current and previous are left; `end` is remembered in the same write."""
        self._published.pop(name, None)
        self._write(name, _ended(replace(self.model(name), trial=None), end))

    def fall_back(self, name: str) -> None:
        """Current turned out damaged: previous takes its place."""
        model = self.model(name)
        self._write(name, replace(model, current=model.previous, previous=None))

    def record(self, name: str, outcome: Outcome) -> None:
        """Remember how an update ended."""
        if outcome not in self.model(name).outcomes:
            self._write(name, _ended(self.model(name), outcome))

    def mark_told(self, name: str, outcome: Outcome) -> None:
        """The report of that end is in the outbox."""
        model = self.model(name)
        outcomes = [replace(each, told=True) if each == outcome else each for each in model.outcomes]
        self._write(name, replace(model, outcomes=outcomes))

    # ---- questions ----------------------------------------------------------------------------------------

    def outcome(self, name: str, sha256: str, rollout: str) -> Outcome | None:
        """How the last update to that release for that rollout ended."""
        for outcome in self.model(name).outcomes:
            if (outcome.sha256, outcome.rollout) == (sha256, rollout):
                return outcome
        return None

    def ended_badly(self, name: str, sha256: str, rollout: str) -> bool:
        """True when that release was refused, failed or rolled back for that rollout: it is not tried again for it."""
        outcome = self.outcome(name, sha256, rollout)
        return outcome is not None and outcome.state in BAD_STATES

    def find(self, name: str, sha256: str) -> Slot | None:
        """The slot that holds that bundle, if one does."""
        model = self.model(name)
        return next((slot for slot in _slots(model) if slot.sha256 == sha256), None)

    def collect(self) -> None:
        """Remove the folders that no slot names and no update is about to try."""
        named = {slot.sha256 for model in self.state.models.values() for slot in _slots(model)}
        self.blobs.keep_only(named | set(self._published.values()))

    def untold(self) -> list[tuple[str, Outcome]]:
        """Ends with their models that were cut before their report was in the outbox."""
        models = sorted(self.state.models.items())
        return [(name, end) for name, model in models for end in model.outcomes if not end.told]

    def _write(self, name: str, model: ModelState) -> None:
        self._file.write(replace(self.state, models={**self.state.models, name: model}))


def _slots(model: ModelState) -> Iterable[Slot]:
    return (slot for slot in (model.current, model.previous, model.trial) if slot is not None)


def _worth_keeping(model: ModelState) -> bool:
    return any(_slots(model)) or not all(end.told for end in model.outcomes)


def _ended(model: ModelState, end: Outcome) -> ModelState:
    others = [old for old in model.outcomes if (old.sha256, old.rollout) != (end.sha256, end.rollout)]
    return replace(model, outcomes=[*others, end][-MAX_OUTCOMES:])
