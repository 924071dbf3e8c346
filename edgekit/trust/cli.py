"""`edgekit release …`: keys and signed release metadata, offline but for push."""

from __future__ import annotations

import click


@click.group()
def release() -> None:
    """Sign releases offline and push them to the fleet server."""
