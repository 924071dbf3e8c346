"""One model's explanations: exact where its bundle holds the terms of a linear model, sampled otherwise.

Everything is a function of the bundle, the row and the question: the same row gets the same explanation on every
device. What an explanation costs is known before it begins, and refused when it is too much.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.serve.answers import Answer
from edge_agent.serve.explain import background, linear
from edge_agent.serve.explain.errors import ExplainingBusy, ExplanationRefused
from edge_agent.serve.explain.question import MIN_SAMPLES, Question, Subject, subject
from edge_agent.serve.explain.sampling import Ask, Estimate, Reals, balanced, evaluations, sample
from edge_agent.serve.inference import Predictor
from edge_agent.serve.rows import Row
from edgekit.golden import Reference, decode_reference
from edgekit.manifest import ClassValue

MAX_FEATURES = 1024
MAX_SECONDS = 10.0
MAX_EVALUATIONS = 1 << 18
_USUAL_PAIRS = 128
_USUAL_EVALUATIONS = 1 << 15
_BLOCK_CELLS = 1 << 16
_BLOCK_US = 20_000.0


@dataclass(frozen=True)
class Explanation:
    """Why the model gave `output` for one row: `base`, the mean output over the background, plus one contribution per
    feature (they add up to `output`). `scale`: what the output is. `label`: the class that it speaks for. `target`:
    which of several targets or values. `samples`: permutations walked, 0 when `method` is `exact`.
    """

    method: str
    scale: str
    output: float
    base: float
    contributions: dict[str, float]
    standard_errors: dict[str, float]
    samples: int
    label: ClassValue | None = None
    target: int | None = None

    def as_json(self) -> dict[str, object]:
        """As `POST /predict?explain=1` spells it."""
        shaped: dict[str, object] = {"method": self.method, "scale": self.scale}
        shaped |= {"class": self.label} if self.label is not None else {}
        shaped |= {"target": self.target} if self.target is not None else {}
        return shaped | {
            "output": self.output,
            "base": self.base,
            "contributions": self.contributions,
            "standard_errors": self.standard_errors,
            "samples": self.samples,
        }


class Explainer:
    """Explains predictions of the model that its reference belongs to, and keeps no hold of that model. Safe to use
    from several threads.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._drawn: dict[int, list[Row] | None] = {}

    @classmethod
    def of(cls, predictor: Predictor) -> Explainer:
        """Raises ExplanationRefused when the model is too wide, or came without its reference; BundleError."""
        width = len(predictor.rows.columns)
        if width > MAX_FEATURES:
            raise ExplanationRefused(
                f"{predictor.label} takes {width:,} features, and no more than {MAX_FEATURES:,} are explained"
            )
        if predictor.reference is None:
            raise ExplanationRefused(f"{predictor.label} was loaded without the reference bins of its bundle")
        return cls(decode_reference(predictor.reference))

    def explain(
        self,
        predictor: Predictor,
        rows: Sequence[Row],
        predicted: Sequence[Answer],
        asked: Question,
        stop: threading.Event | None = None,
    ) -> list[Explanation]:
        """One explanation for each row (in packing order), which was predicted so. Raises ExplanationRefused,
        DeviceFault when the runtime fails, and ExplainingBusy once `stop` is set.
        """
        cases = [_Case.of(predictor, row, label, asked) for row, label in zip(rows, predicted, strict=True)]
        exact = [self._exact(case, asked) for case in cases]
        pairs = usual_pairs(len(predictor.rows.columns)) if asked.samples is None else asked.samples // 2
        _check_cost(predictor, exact.count(None), pairs)
        return [
            found or self._sampled(case, pairs, stop or threading.Event())
            for case, found in zip(cases, exact, strict=True)
        ]

    def _exact(self, case: _Case, asked: Question) -> Explanation | None:
        form, about = self._reference.linear, case.about
        of_shares = form is not None and form.scale == "log_odds"
        if form is None or asked.scale == "probability" or of_shares != (about.scale in ("probability", "log_odds")):
            return None
        added = linear.contributions(form, case.predictor.rows.columns, case.row)
        if added is None or not linear.agrees(form, added, case.answered):
            return None
        base, parts = form.base[about.column], added[:, about.column]
        output = base + float(parts.sum()) if of_shares else case.output
        return case.told(form.scale, output, Estimate(base, parts, np.zeros(len(parts))), 0)

    def _sampled(self, case: _Case, pairs: int, stop: threading.Event) -> Explanation:
        if case.about.scale == "log_odds":
            raise ExplanationRefused(
                "log-odds are explained of linear models, for values that they were trained on: leave scale out"
            )
        if pairs not in self._drawn:
            self._drawn = {pairs: background.draw(self._reference, case.predictor.rows.columns, pairs)}
        drawn = self._drawn.get(pairs) or background.draw(self._reference, case.predictor.rows.columns, pairs)
        if drawn is None:
            raise ExplanationRefused(f"the bundle of {case.predictor.label} does not tell what its training rows held")
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            estimate = sample(len(case.row), pairs, case.output, case.asking(drawn, stop))
        return case.told(case.about.scale, case.output, estimate, 2 * pairs)


@dataclass(frozen=True)
class _Case:
    """One row, and what the model answered to it: `answered`, the numbers of the output that is explained."""

    predictor: Predictor
    row: Row
    about: Subject
    answered: Reals

    @classmethod
    def of(cls, predictor: Predictor, row: Row, predicted: Answer, asked: Question) -> _Case:
        about = subject(predictor.manifest, predicted, asked)
        answered = np.asarray(predictor.run_output(about.output, predictor.feeds([row])), dtype=np.float64).reshape(-1)
        if not np.isfinite(answered[about.column]):
            raise ExplanationRefused("the model's answer to this row is no finite number")
        return cls(predictor, row, about, answered)

    @property
    def output(self) -> float:
        return float(self.answered[self.about.column])

    def asking(self, drawn: Sequence[Row], stop: threading.Event) -> Ask:
        """Asks the model about coalitions of this row and background rows."""
        predictor, about = self.predictor, self.about
        mine, others = predictor.feeds([self.row]), predictor.feeds(drawn)
        most = int(max(1, min(_BLOCK_CELLS // len(self.row), _BLOCK_US // max(predictor.row_us, 0.1))))

        def ask(coalitions: NDArray[np.bool_], rows: NDArray[np.intp]) -> Reals:
            outputs = np.empty(len(coalitions))
            for start in range(0, len(coalitions), most):
                if stop.is_set():
                    raise ExplainingBusy("the agent is stopping: ask again once it runs")
                part = slice(start, start + most)
                feeds = _mixed(
                    predictor, coalitions[part], mine, {name: rest[rows[part]] for name, rest in others.items()}
                )
                answered = predictor.run_output(about.output, feeds)
                outputs[part] = answered.reshape(len(answered), -1)[:, about.column]
            if not np.isfinite(outputs).all():
                raise ExplanationRefused("the model's answers to rows like those it was trained on are not all finite")
            return outputs

        return ask

    def told(self, scale: str, output: float, estimate: Estimate, samples: int) -> Explanation:
        contributions = balanced(estimate.contributions, output - estimate.base)
        if not np.isfinite([*contributions, *estimate.standard_errors, estimate.base]).all():
            raise ExplanationRefused("the contributions to this answer are too large for a number")
        return Explanation(
            method="sampled" if samples else "exact",
            scale=scale,
            output=output,
            base=estimate.base,
            contributions=self._named(contributions),
            standard_errors=self._named(estimate.standard_errors),
            samples=samples,
            label=self.about.label,
            target=self.about.target,
        )

    def _named(self, numbers: Reals) -> dict[str, float]:
        """By feature, in the manifest's order."""
        names = [column.feature.name for column in self.predictor.rows.columns]
        found = dict(zip(names, numbers.tolist(), strict=True))
        return {feature.name: found[feature.name] for feature in self.predictor.manifest.inputs}


def usual_pairs(features: int) -> int:
    """How many pairs of permutations explain a row when nothing is said: 128, fewer of more than 128 features."""
    return min(_USUAL_PAIRS, max(MIN_SAMPLES // 2, _USUAL_EVALUATIONS // (2 * features - 1)))


def _mixed(
    predictor: Predictor, coalitions: NDArray[np.bool_], mine: dict[str, NDArray[Any]], others: dict[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """The graph's inputs: the row's own values where the coalition has them, another row's elsewhere."""
    feeds, start = {}, 0
    for tensor in predictor.manifest.tensors:
        end = start + len(tensor.features)
        feeds[tensor.name] = np.where(coalitions[:, start:end], mine[tensor.name], others[tensor.name])
        start = end
    return feeds


def _check_cost(predictor: Predictor, rows: int, pairs: int) -> None:
    count = rows * evaluations(len(predictor.rows.columns), pairs)
    seconds = count * max(predictor.row_us, 0.1) * 1e-6
    if count > MAX_EVALUATIONS or seconds > MAX_SECONDS:
        raise ExplanationRefused(
            f"explaining {rows} rows from {2 * pairs} samples asks the model about {count:,} rows, which takes some "
            f"{seconds:.2g} s here; the limits are {MAX_EVALUATIONS:,} and {MAX_SECONDS:g} s: send fewer rows, or ask "
            "for fewer samples",
            reason="explanation_too_large",
        )
