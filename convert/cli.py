"""`edgekit convert | inspect | verify | bundle`. Heavy imports sit inside the commands."""

from __future__ import annotations

import click

commands: tuple[click.Command, ...] = ()
