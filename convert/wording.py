"""How a foreign library's exception is quoted inside one sentence."""

from __future__ import annotations

_MAX_CHARACTERS = 200


def cause(error: BaseException) -> str:
    """The exception's type and the beginning of its text, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_MAX_CHARACTERS]}"
