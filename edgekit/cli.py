"""The front door: joins the sub-commands of the three sides. Imports click and the standard library only."""

from __future__ import annotations

import click

import convert.cli
import edge_agent.cli
import edgekit.trust.cli
import fleet.cli
from edgekit import __version__, console


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="edgekit")
def root() -> None:
    """Take a scikit-learn model to a fleet of small devices and keep it healthy there.

    \b
    convert, inspect, verify, bundle   the ML engineer's side: a model becomes a verified bundle
    release                            signed release metadata, offline
    fleet                              the server: devices, rollouts, health
    agent                              the device: local prediction, safe updates
    """


for _command in (*convert.cli.commands, edgekit.trust.cli.release, fleet.cli.fleet, edge_agent.cli.agent):
    root.add_command(_command)


def main() -> None:
    """Entry point of the `edgekit` command."""
    console.run(root)
