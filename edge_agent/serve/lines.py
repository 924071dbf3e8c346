"""The answer to one row as `POST /predict` writes it: one line of JSON, made the shortest way.

The same as encoding `Answers.single` with the model's label. A struct is made and encoded in a third of a dictionary's
time, so its fields are the classes where their names allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from edge_agent.serve.answers import AnswerForm

_ENCODE = msgspec.json.Encoder().encode


class LineForm:
    """How the lines of one model are written. `label`: what each says about who answered."""

    def __init__(self, form: AnswerForm, label: str) -> None:
        self._label = label
        self._main, self._unwrap = form.main, form.unwrap
        self._shares = form.share_place if form.targets is None else form.targets.place
        self._share = form.targets.shares if form.targets is not None else _share_maker(form.class_names)
        self._score = form.score_place
        names = ["prediction"]
        names += ["probabilities"] if self._shares is not None else []
        names += ["score"] if self._score is not None else []
        self._line = msgspec.defstruct("Line", [(name, Any) for name in (*names, "model")], gc=False)

    def line(self, columns: Sequence[Sequence[Any]], row: int) -> bytes:
        """The line of that row of `Answers.columns`."""
        entry = columns[self._main][row]
        parts = [entry[0] if self._unwrap else entry]
        if self._shares is not None:
            parts.append(self._share(columns[self._shares][row]))
        if self._score is not None:
            score = columns[self._score][row]
            parts.append(score[0] if len(score) == 1 else score)
        return _ENCODE(self._line(*parts, self._label))


def _share_maker(names: Sequence[str]) -> Callable[[Sequence[float]], object]:
    """From the probabilities of a row to what encodes as class → probability."""
    with suppress(ValueError):  # of names that need escapes, or of two classes spelled alike
        fields = [f"c{place}" for place in range(len(names))]
        made = msgspec.defstruct(
            "Shares", [(field, float) for field in fields], rename=dict(zip(fields, names, strict=True)), gc=False
        )
        count = len(names)
        return lambda entry: made(*entry) if len(entry) == count else dict(zip(names, entry, strict=False))
    return lambda entry: dict(zip(names, entry, strict=False))
