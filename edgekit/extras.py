"""A missing library becomes one sentence that names the extra to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgekit.errors import MissingExtra

_OWN = ("edgekit", "convert", "edge_agent", "fleet")


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Wrap a command's heavy imports: an ImportError of a third-party library raises MissingExtra instead."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OWN:
            raise
        # PyPI's `edgekit` belongs to another project, hence the distribution's own name.
        raise MissingExtra(
            f"this command needs the library {error.name!r}: install the extra with "
            f"pip install 'edgekit-ml[{extra}]' (or '.[{extra}]' in a checkout)"
        ) from error
