"""The front door: joins the sub-commands of the three sides. Imports click and the standard library only."""

from __future__ import annotations

import click

import convert.cli
import edge_agent.cli
import edgekit.trust.cli
import fleet.cli
from edgekit import __version__, console


class _Front(click.Group):
    """Lists the commands by who uses them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Sections in place of click's one list."""
        for title, commands in _SECTIONS:
            with formatter.section(title):
                named = [(command.name or "", command) for command in commands]
                room = formatter.width - 6 - max(len(name) for name, _ in named)
                formatter.write_dl([(name, command.get_short_help_str(room)) for name, command in named])


_SECTIONS: tuple[tuple[str, tuple[click.Command, ...]], ...] = (
    ("The ML engineer", convert.cli.commands),
    ("The release engineer", (edgekit.trust.cli.release,)),
    ("The operator", (fleet.cli.fleet,)),
    ("The device engineer", (edge_agent.cli.agent,)),
)


@click.group(cls=_Front, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="edgekit")
def root() -> None:
    """Take a scikit-learn model to a fleet of small devices and keep it healthy there.

    Every command has --help, and --json for machines. EDGEKIT_SERVER and EDGEKIT_TOKEN name the fleet server.
    """


for _, _commands in _SECTIONS:
    for _command in _commands:
        root.add_command(_command)


def main() -> None:
    """Entry point of the `edgekit` command."""
    console.run(root)
