"""Texts as counts: the same words and characters as scikit-learn finds, in any script and under any locale."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convert.export.refusal import NotExportable
from tests.convert.agreement import agreement, assert_exact, own_forms

WORDS = [
    *("Alpha", "beta", "GAMMA", "the", "of", "a", "I", "x1", "42", "3.14", "it's", "e-mail", "new_york", "...", "!?"),
    *("café", "CAFÉ", "naïve", "e\u0301te", "Straße", "STRASSE", "ﬁne", "½", "x²", "東京", "日本語 テスト", "😀"),
    *(
        "ΟΔΟΣ",
        "οδος",
        "İstanbul",
        "DİYAR",
        "ПРИВЕТ",
        "привет",
        "\u212aelvin",
        "\u00a0",
        "\n",
        "\t",
        "foo\n\n",
        "a" * 60,
    ),
]
RARE = [
    "",
    " ",
    "\n\n",
    "  x  ",
    "alpha  beta",
    "alpha\tbeta",
    "zzz qqq",
    "the",
    "of the alpha the beta",
    "ALPHA. beta",
]


def texts(seed: int, count: int = 150) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(0, 12))) for _ in range(count)]


def frames(drop: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Seen and unseen texts, without the characters in `drop`."""
    unseen = [*texts(2), *RARE, " ".join(texts(3, 60))]
    gone = str.maketrans("", "", drop)
    return tuple(pd.DataFrame({"note": [text.translate(gone) for text in part]}) for part in (texts(1), unseen))


VECTORIZERS: dict[str, Any] = {
    "words": CountVectorizer(),
    "pairs of words": CountVectorizer(ngram_range=(1, 2)),
    "weighted words": TfidfVectorizer(),
    "stop words": TfidfVectorizer(stop_words="english", sublinear_tf=True),
    "pairs across stop words": TfidfVectorizer(stop_words="english", ngram_range=(1, 3), sublinear_tf=True),
    "case matters": TfidfVectorizer(lowercase=False, norm="l1"),
    "present or not": CountVectorizer(binary=True),
    "single letters": CountVectorizer(token_pattern=r"(?u)\b\w+\b"),
    "three letters": CountVectorizer(token_pattern=r"\b\w{3,}\b"),
    "latin letters": CountVectorizer(token_pattern=r"[a-z]+"),
    "without weights": TfidfVectorizer(max_features=10, norm=None, use_idf=False),
    "unsmoothed": TfidfVectorizer(smooth_idf=False, min_df=3, norm="l1"),
    "given vocabulary": CountVectorizer(vocabulary=["beta", "alpha", "nothing"]),
    "two steps": make_pipeline(CountVectorizer(), TfidfTransformer(sublinear_tf=True)),
}
CHARACTERS: dict[str, Any] = {
    "characters": CountVectorizer(analyzer="char"),
    "triples": TfidfVectorizer(analyzer="char", ngram_range=(1, 3)),
    "inside words": TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
    "longer than words": CountVectorizer(analyzer="char_wb", ngram_range=(4, 5), lowercase=False),
    "without accents": CountVectorizer(analyzer="char_wb", ngram_range=(1, 3), strip_accents="unicode"),
    "ASCII alone": CountVectorizer(analyzer="char", ngram_range=(1, 2), strip_accents="ascii"),
}


@pytest.mark.parametrize("kind", VECTORIZERS)
def test_words_are_counted_as_scikit_learn_does(kind: str) -> None:
    seen, unseen = frames()
    assert_exact(VECTORIZERS[kind].fit(seen["note"]), seen, unseen)


@pytest.mark.parametrize("kind", CHARACTERS)
def test_characters_are_counted_as_scikit_learn_does(kind: str) -> None:
    seen, unseen = frames(drop="Σς")
    assert_exact(CHARACTERS[kind].fit(seen["note"]), seen, unseen)


def test_the_comparison_catches_a_wrong_count() -> None:
    seen, unseen = frames()
    model = CountVectorizer().fit(seen["note"])
    other = CountVectorizer(vocabulary=sorted(model.vocabulary_, reverse=True)).fit(seen["note"])
    assert not agreement(model, own_forms(other, seen)[0], seen, unseen).exact


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (CountVectorizer(strip_accents="unicode"), "lose their accents"),
        (CountVectorizer(token_pattern=r"\S+"), "cuts words by"),
        (CountVectorizer(analyzer=str.split), "of its own"),
        (CountVectorizer(preprocessor=str.upper), "of its own"),
        (CountVectorizer(analyzer="char"), "sigma"),
        (HashingVectorizer(n_features=8), "MurmurHash3"),
    ],
)
def test_what_no_operator_can_say_is_refused_in_words(model: Any, why: str) -> None:
    seen, _ = frames()
    with pytest.raises(NotExportable, match=why):
        own_forms(model.fit(seen["note"]), seen)


@pytest.mark.parametrize("last", [LogisticRegression(max_iter=500), MultinomialNB()])
def test_a_text_pipeline_classifies_alike(last: Any) -> None:
    seen, unseen = frames()
    target = seen["note"].str.contains("beta")
    assert_exact(make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), last).fit(seen["note"], target), seen, unseen)


def test_a_text_column_stands_beside_numbers() -> None:
    seen, unseen = (part.assign(size=part["note"].str.len().astype(float)) for part in frames())
    columns = ColumnTransformer(
        [
            ("words", TfidfVectorizer(), "note"),
            ("letters", CountVectorizer(analyzer="char_wb", lowercase=False), "note"),
        ]
        + [("size", StandardScaler(), ["size"])]
    )
    assert_exact(
        make_pipeline(columns, LogisticRegression(max_iter=500)).fit(seen, seen["note"].str.contains("a")), seen, unseen
    )


def test_a_text_model_runs_in_a_bare_environment(tmp_path: Path) -> None:
    """Without any locale set, on a system that may have no other than C.UTF-8."""
    seen, _ = frames()
    made = own_forms(CountVectorizer().fit(seen["note"]), seen)[0]
    (tmp_path / "model.onnx").write_bytes(made.content)
    script = (
        "import numpy, onnxruntime; s = onnxruntime.InferenceSession('model.onnx');"
        "print(int(s.run(None, {'X': numpy.array([['CAFÉ beta'], ['']], dtype=object)})[0].sum()))"
    )
    run = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", script],
        cwd=tmp_path,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout.strip()) == (0, "2"), run.stderr
