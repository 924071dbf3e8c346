"""`edgekit agent …`. Heavy imports sit inside the commands."""

from __future__ import annotations

import click


@click.group()
def agent() -> None:
    """Run on a device: local prediction and safe model updates."""
