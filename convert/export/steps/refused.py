"""Steps that no ONNX form can be right for, and why."""

from __future__ import annotations

from typing import Any

from sklearn import decomposition, feature_extraction
from sklearn.feature_extraction import image
from sklearn.feature_extraction import text as texts

from convert.export.refusal import NotExportable
from convert.export.writer import Writer

_HASHES = "it hashes words by MurmurHash3, which no operator computes: use CountVectorizer or TfidfVectorizer"
_BATCH = "its stopping rule looks at all rows of a batch, so that the answer for a row depends on the rows beside it"
_RECORDS = "it takes dictionaries, which are no rows of a table"

REASONS: dict[type[Any], str] = {
    texts.HashingVectorizer: _HASHES,
    feature_extraction.FeatureHasher: _HASHES,
    feature_extraction.DictVectorizer: _RECORDS,
    image.PatchExtractor: "it takes images, which are no rows of a table",
    decomposition.NMF: _BATCH,
    decomposition.MiniBatchNMF: _BATCH,
    decomposition.LatentDirichletAllocation: "it iterates with the digamma function until each row has converged",
}


def refuse(writer: Writer) -> None:
    """Raises NotExportable with the reason."""
    kind = type(writer.model)
    raise NotExportable(f"{kind.__name__} has no ONNX form: {REASONS[kind]}")
