"""Texts as counts of words or characters: `CountVectorizer`, `TfidfVectorizer`, `TfidfTransformer`.

Words are cut by the Tokenizer of onnxruntime with Unicode classes (its \\w knows ASCII only) and made lower case one by
one; its case operator needs a locale, and "C.UTF-8" is there on every system with glibc. Two letters go their own way
in Python: İ becomes i and a combining dot, which ends the word, and Σ at the end of a word becomes ς.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfTransformer

from convert.export.refusal import NotExportable
from convert.export.steps import characters
from convert.export.steps.scaling import normalized
from convert.export.steps.tokens import PAD, compacted, cut, numbered, tally
from convert.export.writer import FLOAT, STRING, Writer

LOCALE = "C.UTF-8"
_DOTTED = r"\x{130}"
_RUN = re.compile(r"(?:\(\?u\))?\\b((?:\\w)*)\\w(?:\+|\{(\d+),\})\\b")
_CLASS = re.compile(r"(?:\(\?u\))?(\[[\x20-\x5a\x5f-\x7e]+\])(?:\+|\{(\d+),\})")
_KELVIN = "\u212a"  # becomes k
# Ids of tokens that are in no n-gram.
_UNKNOWN, _STOP = -1, -2


def count(writer: Writer) -> None:
    """`CountVectorizer`: how often each n-gram of the vocabulary occurs."""
    writer.finish(0, writer.cast(_counts(writer, writer.model), writer.output_type(0), FLOAT))


def weigh_words(writer: Writer) -> None:
    """`TfidfVectorizer`."""
    counts = writer.cast(_counts(writer, writer.model), writer.element, FLOAT)
    writer.finish(0, _weighted(writer, counts, writer.model._tfidf))


def weigh(writer: Writer) -> None:
    """`TfidfTransformer`."""
    writer.finish(0, _weighted(writer, writer.rows, writer.model))


def _weighted(writer: Writer, counts: str, model: TfidfTransformer) -> str:
    """Term frequencies times inverse document frequencies, as scikit-learn defines them."""
    if model.sublinear_tf:
        present = writer.node("Greater", counts, writer.numbers([0.0]))
        some = writer.node("Where", present, counts, writer.numbers([1.0]))
        damped = writer.node("Add", writer.node("Log", some), writer.numbers([1.0]))
        counts = writer.node("Where", present, damped, writer.numbers([0.0]))
    if model.use_idf:
        counts = writer.node("Mul", counts, writer.numbers(model.idf_))
    return counts if model.norm is None else normalized(writer, counts, model.norm)


def _counts(writer: Writer, model: Any) -> str:
    """Counts [rows, vocabulary] float32. Raises NotExportable for what Python code would have to do."""
    if callable(model.analyzer) or model.preprocessor is not None or model.tokenizer is not None:
        raise NotExportable(f"{type(model).__name__} calls an analyzer, preprocessor or tokenizer of its own")
    if callable(model.strip_accents):
        raise NotExportable(f"{type(model).__name__} strips accents by a function of its own")
    if writer.input_type != STRING or len(writer.lanes) > 1:
        raise NotExportable(f"{type(model).__name__} takes one column of texts")
    texts = writer.node("Reshape", writer.input, writer.constant(np.array([-1], dtype=np.int64)))
    found = _words(writer, model, texts) if model.analyzer == "word" else characters.counts(writer, model, texts)
    if model.binary:
        found = writer.cast(writer.node("Greater", found, writer.numbers([0.0], FLOAT)), FLOAT)
    return found


def _words(writer: Writer, model: Any, texts: str) -> str:
    if model.strip_accents:
        raise NotExportable("words that lose their accents have no ONNX form: strip them first, or use 'char_wb'")
    tokens = cut(writer, texts, _expression(model))
    if model.lowercase:
        tokens = _lower(writer, tokens)
    if model.lowercase:
        grams = _with_sigma(model.vocabulary_)
    else:
        grams = [(tuple(key.split(" ")), place) for key, place in model.vocabulary_.items()]
    if model.stop_words is not None and model.ngram_range[1] > 1:
        return _without_stop_words(writer, model, tokens, grams)
    return tally(writer, tokens, grams)


def _lower(writer: Writer, tokens: str) -> str:
    flat = writer.node("Reshape", tokens, writer.constant(np.array([-1], dtype=np.int64)))
    words: dict[str, Any] = {"case_change_action": "LOWER", "is_case_sensitive": 1, "locale": LOCALE}
    return writer.node("Reshape", writer.node("StringNormalizer", flat, **words), writer.node("Shape", tokens))


def _expression(model: Any) -> str:
    """The token pattern as onnxruntime understands it. Raises NotExportable."""
    run = _RUN.fullmatch(model.token_pattern)
    if run is not None:
        least = len(run[1]) // 2 + int(run[2] or 1)
        letter = rf"(?:[^\P{{L}}{_DOTTED}]|[\p{{N}}_])" if model.lowercase else r"[\p{L}\p{N}_]"
        if not model.lowercase:
            return f"{letter}{{{least},}}"
        return f"{letter}{{{least},}}{_DOTTED}?|{letter}{{{least - 1}}}{_DOTTED}"
    listed = _CLASS.fullmatch(model.token_pattern)
    if listed is not None:
        return _listed(listed[1], int(listed[2] or 1), lower=model.lowercase)
    raise NotExportable(
        f"{type(model).__name__} cuts words by {model.token_pattern!r}: known are runs of \\w and of ASCII letters"
    )


def _listed(letters: str, least: int, *, lower: bool) -> str:
    """Runs of ASCII characters. Texts are cut before they are made lower case: what becomes one of them counts."""
    chosen = [chr(code) for code in range(128) if re.fullmatch(letters, chr(code).lower() if lower else chr(code))]
    dotted = lower and "i" in chosen
    if lower and "k" in chosen:
        chosen.append(_KELVIN)
    letter = "[" + "".join(rf"\x{{{ord(each):x}}}" for each in chosen) + "]"
    return f"{letter}{{{least},}}{_DOTTED}?|{letter}{{{least - 1}}}{_DOTTED}" if dotted else f"{letter}{{{least},}}"


def _with_sigma(vocabulary: dict[str, int]) -> list[tuple[tuple[str, ...], int]]:
    """The n-grams, and those with words in ς once more as they come from capital letters."""
    found = []
    for key, place in vocabulary.items():
        spellings = [{word, re.sub("ς$", "σ", word)} for word in key.split(" ")]
        for gram in itertools.product(*map(sorted, spellings)):
            if " ".join(gram) == key or " ".join(gram) not in vocabulary:
                found.append((gram, place))
    return found


def _without_stop_words(writer: Writer, model: Any, tokens: str, grams: list[tuple[tuple[str, ...], int]]) -> str:
    """N-grams reach across stop words: tokens become ids, and stop words move behind the end."""
    names = {word: i for i, word in enumerate(sorted({word for gram, _ in grams for word in gram}))}
    ids = dict.fromkeys(model.get_stop_words(), _STOP) | names | {PAD: _STOP}
    found = numbered(writer, tokens, ids, _UNKNOWN)
    kept = compacted(writer, found, _STOP)
    return tally(writer, kept, [(tuple(names[word] for word in gram), place) for gram, place in grams])
