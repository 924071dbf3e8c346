"""Explanations as `/openapi.json` describes them."""

from __future__ import annotations

from typing import Any

from edge_agent.serve.explain.question import MAX_SAMPLES, MIN_SAMPLES
from edgekit.manifest import Manifest

MAX_ROWS = 16


def _parameter(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


PARAMETERS: tuple[dict[str, Any], ...] = (
    _parameter(
        "explain",
        {"enum": ["0", "1", "false", "true"]},
        f"1: add what each feature contributed, for at most {MAX_ROWS} rows. The others below need it",
    ),
    _parameter(
        "samples",
        {"type": "integer", "minimum": MIN_SAMPLES, "maximum": MAX_SAMPLES, "multipleOf": 2},
        "Permutations to walk where the explanation is not exact; 256 if left out, fewer for more than 128 features",
    ),
    _parameter("class", {"type": "string"}, "The class to explain; the predicted one if left out"),
    _parameter("target", {"type": "integer", "minimum": 0}, "Which of several targets or values to explain"),
    _parameter(
        "scale",
        {"enum": ["probability", "log_odds", "value", "score"]},
        "Of classifiers probability, or log_odds (linear models only); if left out, log_odds where that is exact",
    ),
)


def with_explanations(answers: dict[str, Any], manifest: Manifest) -> dict[str, Any]:
    """The JSON Schema of the answer to one row or to several, with what `explain=1` adds to each."""
    one, many = answers["oneOf"]
    explanation = _explanation(manifest)
    added = ({"explanation": explanation}, {"explanations": {"type": "array", "items": explanation}})
    return {
        "oneOf": [
            form | {"properties": form["properties"] | more} for form, more in zip((one, many), added, strict=True)
        ]
    }


def _explanation(manifest: Manifest) -> dict[str, Any]:
    numbers = {
        "type": "object",
        "properties": {feature.name: {"type": "number"} for feature in manifest.inputs},
        "additionalProperties": False,
    }
    properties: dict[str, Any] = {
        "method": {"enum": ["exact", "sampled"]},
        "scale": {"enum": ["probability", "log_odds", "value", "score"]},
        "class": {"type": ["string", "number", "boolean"], "description": "The class that the output speaks for"},
        "target": {"type": "integer"},
        "output": {"type": "number", "description": "base plus all contributions"},
        "base": {"type": "number", "description": "The mean output over the background"},
        "contributions": numbers,
        "standard_errors": numbers,
        "samples": {"type": "integer", "description": "Permutations walked; 0 when exact"},
    }
    needed = [name for name in properties if name not in ("class", "target")]
    return {"type": "object", "properties": properties, "required": needed}
