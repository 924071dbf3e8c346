"""`edgekit fleet …`. Heavy imports sit inside the commands."""

from __future__ import annotations

import click


@click.group()
def fleet() -> None:
    """Run and steer the fleet server."""
