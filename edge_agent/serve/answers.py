"""What the graph gives becomes what a client reads: plain Python values in the manifest's own spelling of the classes.

A graph can only spell a flag as 0 or 1, and some spell a text label as its position; the manifest's `classes` tell
which value is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from edgekit.errors import BundleError
from edgekit.manifest import Manifest, Output, OutputRole

Scalar = float | int | str | bool
Answer = Scalar | list[Scalar]
Shares = dict[str, float]

_PREFERRED: tuple[OutputRole, ...] = ("label", "value", "score", "probabilities")


class Answers:
    """The answers to a batch: one list per output of the manifest, in its order, one entry per row.

    `label`: a scalar a row, or a list over the targets where there are several. `probabilities`: a list over the
    classes (of all targets, one after the other). `value` and `score`: a list of `width` numbers.
    """

    __slots__ = ("_form", "columns")

    def __init__(self, form: AnswerForm, columns: list[list[Any]]) -> None:
        self._form = form
        self.columns = columns

    def of(self, role: str) -> list[Any] | None:
        """The answers of that role, or None when the model gives none."""
        place = self._form.places.get(role)
        return None if place is None else self.columns[place]

    def predictions(self) -> list[Answer]:
        """The answer that the model is for, one a row: the label; of a regression or transformation the value; of
        anything else the score. A list when there are several.
        """
        column = self.columns[self._form.main]
        return [entry[0] for entry in column] if self._form.unwrap else column

    def probabilities(self) -> list[Shares] | None:
        """Class (spelled as in JSON), or number of a cluster → probability, one object a row, for models of one target
        that give them.
        """
        form = self._form
        if form.share_place is None:
            return None
        return [dict(zip(form.class_names, entry, strict=False)) for entry in self.columns[form.share_place]]

    def target_probabilities(self) -> list[list[Shares]] | None:
        """The same for models of several targets: a list of such objects a row, one for each target."""
        targets = self._form.targets
        return None if targets is None else [targets.shares(entry) for entry in self.columns[targets.place]]

    def single(self, row: int = 0) -> dict[str, object]:
        """The answer to one row, as `POST /predict` shapes it."""
        columns, form = self.columns, self._form
        entry = columns[form.main][row]
        shaped: dict[str, object] = {"prediction": entry[0] if form.unwrap else entry}
        if form.share_place is not None:
            shaped["probabilities"] = dict(zip(form.class_names, columns[form.share_place][row], strict=False))
        elif form.targets is not None:
            shaped["probabilities"] = form.targets.shares(columns[form.targets.place][row])
        if form.score_place is not None:
            score = columns[form.score_place][row]
            shaped["score"] = score[0] if len(score) == 1 else score
        return shaped

    def scores(self) -> list[Answer] | None:
        """The score beside a label, one a row, for detectors that give it."""
        column = self.of("score")
        if column is None or self._form.main == self._form.places["score"]:
            return None
        return [entry[0] if len(entry) == 1 else entry for entry in column]


class TargetShares:
    """The probabilities of several targets: `place` of that output, and the columns of each target."""

    def __init__(self, place: int, target_classes: Sequence[Sequence[object]]) -> None:
        self.place = place
        self._parts: list[tuple[list[str], int, int]] = []
        start = 0
        for classes in target_classes:
            self._parts.append(([spell_class(value) for value in classes], start, start + len(classes)))
            start += len(classes)

    def shares(self, entry: list[float]) -> list[Shares]:
        """Class → probability, one object for each target."""
        return [dict(zip(names, entry[start:end], strict=True)) for names, start, end in self._parts]


class AnswerForm:
    """How the answers of one model are read and shown."""

    def __init__(self, manifest: Manifest) -> None:
        self.outputs = manifest.outputs
        self.places: dict[str, int] = {}
        for place, output in enumerate(manifest.outputs):
            self.places.setdefault(output.role, place)
        self.main = next(self.places[role] for role in _PREFERRED if role in self.places)
        main = manifest.outputs[self.main]
        # A transformed row is a list, however short.
        self.unwrap = main.role in ("value", "score") and main.width == 1 and manifest.task != "transformation"
        shares = manifest.outputs[self.places["probabilities"]] if "probabilities" in self.places else None
        several = shares.target_classes if shares else None
        self.class_names = [] if shares is None or several is not None else _class_names(shares)
        self.share_place = self.places.get("probabilities") if self.class_names else None
        self.targets = None if several is None else TargetShares(self.places["probabilities"], several)
        score = self.places.get("score")
        self.score_place = None if score == self.main else score
        self._readers = [_reader(output) for output in manifest.outputs]

    def read(self, arrays: Sequence[NDArray[Any]]) -> Answers:
        """Answers from the graph's output arrays, in the manifest's order."""
        return Answers(self, [read(array) for read, array in zip(self._readers, arrays, strict=True)])

    def view(self, arrays: Sequence[NDArray[Any]]) -> Callable[[], Answers]:
        """`read` of these same arrays, to be called whenever something else was written into them."""
        flat = [array.reshape(len(array), -1) for array in arrays]
        labels = [output.role == "label" and output.target_classes is None for output in self.outputs]
        views = [array.reshape(-1) if label else array for array, label in zip(flat, labels, strict=True)]
        # A memoryview's tolist is the shorter way to the same Python numbers.
        plain: list[Callable[[], list[Any]]] = [view.data.tolist for view in views]
        if not any(map(_is_spelled, self.outputs)):
            return lambda: Answers(self, [values() for values in plain])
        reading = list(zip(self._readers, views, strict=True))
        return lambda: Answers(self, [read(view) for read, view in reading])


def _class_names(shares: Output) -> list[str]:
    """The classes as keys; those of a clustering are the numbers of its clusters."""
    return [spell_class(value) for value in (range(shares.width) if shares.classes is None else shares.classes)]


def spell_class(value: object) -> str:
    """A class as the key of a JSON object: `true`, `2`, `2.5`, `worn`."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _reader(output: Output) -> Callable[[NDArray[Any]], list[Any]]:
    if output.role != "label":
        return lambda array: array.reshape(len(array), -1).tolist()
    if output.target_classes is not None:
        natives = [_native_labels(output, classes) or {} for classes in output.target_classes]
        if not any(natives):
            return lambda array: array.tolist()
        return lambda array: [
            [native.get(label, label) for native, label in zip(natives, row, strict=True)] for row in array.tolist()
        ]
    native = _native_labels(output, output.classes)
    if native is None:
        return lambda array: array.reshape(-1).tolist()
    return lambda array: [native.get(label, label) for label in array.reshape(-1).tolist()]


def _is_spelled(output: Output) -> bool:
    """True for a label whose classes the graph spells in its own way."""
    every = [output.classes] if output.target_classes is None else output.target_classes
    return output.role == "label" and any(_native_labels(output, classes) for classes in every)


def _native_labels(output: Output, classes: Sequence[Scalar] | None) -> dict[Any, Scalar] | None:
    """The graph's spelling of a label → the class meant; None when they are the same."""
    classes = classes or []
    if output.dtype == "string" or not classes:
        if any(not isinstance(value, str) for value in classes):
            raise BundleError(
                f"output {output.name!r} gives text but its classes are not: make the bundle again",
                reason="manifest_malformed",
            )
        return None
    if all(isinstance(value, str) for value in classes):
        return dict(enumerate(classes))
    # True == 1 == 1.0 and they hash alike: looking a number up finds the class in its own type.
    return None if all(type(value) is int for value in classes) else {value: value for value in classes}
