"""`edgekit fleet …`. Heavy imports sit inside the commands (`fleet.commands`)."""

from __future__ import annotations

import click

from fleet.commands import devices, models, releases, rollouts, serving, tokens


@click.group()
def fleet() -> None:
    """Run and steer the fleet server.

    serve, migrate, keys and token work on the server's own machine, with --config; everything else from anywhere,
    with EDGEKIT_SERVER and EDGEKIT_TOKEN.
    """


for _command in (
    serving.serve,
    serving.migrate,
    serving.keys,
    tokens.token,
    devices.devices,
    releases.releases,
    rollouts.rollout,
    models.models,
):
    fleet.add_command(_command)
