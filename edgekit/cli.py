"""The front door: joins the sub-commands of the three sides. Imports click and the standard library only.

A side is imported when one of its commands is meant: on a device the others would cost memory and time to start.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from edgekit import __version__, console


def _engineer() -> Sequence[click.Command]:
    from convert.cli import commands

    return commands


def _release() -> Sequence[click.Command]:
    from edgekit.trust.cli import release

    return (release,)


def _fleet() -> Sequence[click.Command]:
    from fleet.cli import fleet

    return (fleet,)


def _agent() -> Sequence[click.Command]:
    from edge_agent.cli import agent

    return (agent,)


_SECTIONS = {
    "The ML engineer": _engineer,
    "The release engineer": _release,
    "The operator": _fleet,
    "The device engineer": _agent,
}
_GROUPS = {"release": _release, "fleet": _fleet, "agent": _agent}


class _Front(click.Group):
    """Lists the commands by who uses them, and imports no more of them than it needs."""

    @property
    def commands(self) -> dict[str, click.Command]:
        """Every command."""
        return {command.name or "": command for section in _SECTIONS.values() for command in section()}

    @commands.setter
    def commands(self, _: object) -> None:
        """click sets the commands that it was given: none."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name in _GROUPS:
            return _GROUPS[cmd_name]()[0]
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Sections in place of click's one list."""
        for title, section in _SECTIONS.items():
            with formatter.section(title):
                named = [(command.name or "", command) for command in section()]
                room = formatter.width - 6 - max(len(name) for name, _ in named)
                formatter.write_dl([(name, command.get_short_help_str(room)) for name, command in named])


@click.group(cls=_Front, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="edgekit")
def root() -> None:
    """Take a scikit-learn model to a fleet of small devices and keep it healthy there.

    Every command has --help, and --json for machines. EDGEKIT_SERVER and EDGEKIT_TOKEN name the fleet server.
    """


def main() -> None:
    """Entry point of the `edgekit` command."""
    console.run(root)
