"""Steps that no ONNX form can be right for, and why."""

from __future__ import annotations

from typing import Any

from sklearn import decomposition, feature_extraction
from sklearn.feature_extraction import image
from sklearn.feature_extraction import text as texts

from convert.export.refusal import NotExportable
from convert.export.writer import Writer

_HASHES = "it hashes words by MurmurHash3, which no operator computes: use CountVectorizer or TfidfVectorizer"
_BATCH = (
    "its stopping rule looks at all rows of a batch, so that a row's answer depends on the rows beside it: "
    "use TruncatedSVD or PCA"
)
_RECORDS = "it takes dictionaries, which are no rows of a table: use OneHotEncoder on columns"

REASONS: dict[type[Any], str] = {
    texts.HashingVectorizer: _HASHES,
    feature_extraction.FeatureHasher: _HASHES,
    feature_extraction.DictVectorizer: _RECORDS,
    image.PatchExtractor: (
        "it takes images, which are no rows of a table: cut them before the model, and give the pixels as columns"
    ),
    decomposition.NMF: _BATCH,
    decomposition.MiniBatchNMF: _BATCH,
    decomposition.LatentDirichletAllocation: (
        "it iterates with the digamma function until each row has converged: use TruncatedSVD"
    ),
}


def refuse(writer: Writer) -> None:
    """Raises NotExportable with the reason."""
    kind = type(writer.model)
    reason, _, instead = REASONS[kind].partition(": ")
    raise NotExportable(f"{kind.__name__}: {reason}", instead=instead)
