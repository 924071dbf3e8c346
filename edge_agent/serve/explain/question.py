"""What is asked of an explanation, and which number of the model's answer it is about. Pure.

Explained is the probability of the predicted class (or of the one asked for); of a regression the value; of a detector
or a classifier without probabilities the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl

from edge_agent.serve.answers import spell_class
from edge_agent.serve.explain.errors import ExplanationRefused
from edgekit.manifest import ClassValue, Manifest, Output, OutputRole

Scale = Literal["probability", "log_odds", "value", "score"]

MIN_SAMPLES, MAX_SAMPLES = 16, 4096
_MOST_PARAMETERS = 16
_NAMES = ("samples", "class", "target", "scale")
_OFF, _ON = ("", "0", "false"), ("1", "true")


@dataclass(frozen=True)
class Question:
    """`samples`: permutations, an even number; None: as many as are usual. `label`: the class to explain, as spelled in
    JSON; None: the predicted one. `target`: which of several targets or values, from 0. `scale`: `probability` or
    `log_odds`; None: whichever is exact.
    """

    samples: int | None = None
    label: str | None = None
    target: int | None = None
    scale: Scale | None = None

    def __post_init__(self) -> None:
        if self.samples is not None and (not MIN_SAMPLES <= self.samples <= MAX_SAMPLES or self.samples % 2):
            raise ExplanationRefused(
                f"samples must be an even number from {MIN_SAMPLES} to {MAX_SAMPLES}, not {str(self.samples)[:20]}",
                reason="bad_parameter",
            )
        if self.scale is not None and self.scale not in ("probability", "log_odds", "value", "score"):
            raise ExplanationRefused(
                f"scale must be probability, log_odds, value or score, not {str(self.scale)[:20]!r}",
                reason="bad_parameter",
            )


@dataclass(frozen=True)
class Subject:
    """The number that is explained: `column` of the graph's `output`. `label`: the class that it speaks for."""

    output: str
    column: int
    scale: Scale
    label: ClassValue | None = None
    target: int | None = None


def parse_query(query: str) -> Question | None:
    """The question in a URL's query; None when no explanation is asked for. Raises ExplanationRefused."""
    if "explain" not in query:
        return None
    try:
        given = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS))
    except ValueError as error:
        raise ExplanationRefused("the query has too many parameters", reason="bad_parameter") from error
    switch = given.pop("explain", "").lower()
    if switch in _OFF:
        return None
    unknown = [name for name in given if name not in _NAMES]
    if switch not in _ON or unknown:
        fault = f"{unknown[0][:40]!r} is unknown" if unknown else f"explain must be 1 or 0, not {switch[:20]!r}"
        raise ExplanationRefused(
            f"the query is not understood ({fault}): beside explain=1 there are {', '.join(_NAMES)}",
            reason="bad_parameter",
        )
    return Question(
        samples=_number(given, "samples"),
        label=given.get("class"),
        target=_number(given, "target"),
        scale=given.get("scale"),  # type: ignore[arg-type]  # Question checks it
    )


def _number(given: dict[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ExplanationRefused(f"{name} must be a whole number, not {text[:20]!r}", reason="bad_parameter")
    return int(text)


def subject(manifest: Manifest, predicted: object, asked: Question) -> Subject:
    """What is explained of a row with that prediction. Raises ExplanationRefused."""
    outputs: dict[OutputRole, Output] = {}
    for output in manifest.outputs:
        outputs.setdefault(output.role, output)
    if "probabilities" in outputs:
        return _share(outputs["probabilities"], predicted, asked)
    role = next((role for role in ("value", "score") if role in outputs), None)
    if role is None:
        raise ExplanationRefused(f"{manifest.name} answers labels only, and no number that could be explained")
    if asked.scale not in (None, role):
        raise ExplanationRefused(f"{manifest.name} gives no {asked.scale}: its {role} is explained")
    classes = next((output.classes for output in manifest.outputs if output.role == "label"), None)
    if role == "score" and classes is not None and manifest.task != "anomaly":
        return _score(outputs[role], classes, predicted, asked)
    if asked.label is not None:
        raise ExplanationRefused(f"{manifest.name} has no classes to choose from: leave class out")
    column = _target(outputs[role].width, asked)
    return Subject(outputs[role].name, column or 0, role, target=column)


def _share(output: Output, predicted: object, asked: Question) -> Subject:
    scale: Scale = asked.scale or "probability"
    if scale not in ("probability", "log_odds"):
        raise ExplanationRefused(f"probabilities are explained as probability or log_odds, not as {scale}")
    if output.target_classes is None:
        classes: Sequence[ClassValue] = range(output.width) if output.classes is None else output.classes
        place = _place(classes, predicted, asked)
        return Subject(output.name, place, scale, classes[place])
    target = _target(len(output.target_classes), asked) or 0
    labels = predicted if isinstance(predicted, list) else [predicted]
    place = _place(output.target_classes[target], labels[target], asked)
    before = sum(len(classes) for classes in output.target_classes[:target])
    return Subject(output.name, before + place, scale, output.target_classes[target][place], target)


def _score(output: Output, classes: Sequence[ClassValue], predicted: object, asked: Question) -> Subject:
    """A score of two classes speaks for the second one; of more, each class has its own."""
    if output.width == len(classes):
        place = _place(classes, predicted, asked)
        return Subject(output.name, place, "score", classes[place])
    if output.width != 1 or len(classes) != 2:
        raise ExplanationRefused("the scores are of pairs of classes, not of one class each")
    if asked.label not in (None, spell_class(classes[1])):
        raise ExplanationRefused(f"the score speaks for {spell_class(classes[1])}: ask for that class, or for none")
    return Subject(output.name, 0, "score", classes[1])


def _place(classes: Sequence[ClassValue], predicted: object, asked: Question) -> int:
    wanted = spell_class(predicted) if asked.label is None else asked.label
    for place, value in enumerate(classes):
        if spell_class(value) == wanted:
            return place
    known = ", ".join(map(spell_class, classes[:20]))
    raise ExplanationRefused(f"no class is called {wanted[:60]!r}: there is {known[:200]}", reason="bad_parameter")


def _target(count: int, asked: Question) -> int | None:
    """The target asked for; None where there is one only."""
    if count == 1 and asked.target in (None, 0):
        return None
    if asked.target is None or asked.target >= count or asked.target < 0:
        raise ExplanationRefused(
            f"the model answers {count} numbers or targets: say which one, target=0 to target={count - 1}",
            reason="bad_parameter",
        )
    return asked.target
