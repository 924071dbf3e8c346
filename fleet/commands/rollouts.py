"""`edgekit fleet rollout …`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgekit import console, extras
from edgekit.errors import UsageFault
from fleet.commands.options import client, client_options, parse_tags
from fleet.commands.progress import describe, progress_line
from fleet.commands.tables import age, printable, table

_MAX_PLAN_BYTES = 1 << 20
_DEFAULT_STAGES = ("1", "100%")
_ACTIONS = {
    "approve": "Let a rollout start that waits for approval.",
    "pause": "Stop opening stages; devices that were offered the release go on.",
    "resume": "Go on with a paused rollout; a stage that was judged gets its whole time again.",
    "promote": "Take the present stage as passed and go on with the next.",
    "abort": "End a rollout: devices that have not finished get their former version back.",
    "rollback": "End a rollout: all its devices get their former version back.",
}
_timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    default=0,
    help="Stop watching after so many seconds [default: never].",
)


@click.group()
def rollout() -> None:
    """Bring a release to the fleet in stages, judged by health."""


@rollout.command()
@click.argument("model")
@click.argument("version")
@click.option("--stage", "stages", multiple=True, metavar="N|P%", help="Devices in all by this stage [1, then 100%].")
@click.option("--plan", "plan_path", type=click.Path(path_type=Path, dir_okay=False), help="Plan as TOML or JSON.")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Only devices with this tag; repeatable.")
@click.option("--soak-s", type=float, help="How long a device must serve well before its update counts.")
@click.option("--wait-max-s", type=float, help="Judge a stage after so many seconds at the latest.")
@click.option("--lost-after-s", type=float, help="Silence after activation that counts as lost.")
@click.option("--on-fail", type=click.Choice(("rollback", "abort", "pause")), help="What to do when a stage fails.")
@click.option("--dry-run", is_flag=True, help="Only show which devices each stage would get.")
@click.option("--wait", is_flag=True, help="Watch until the rollout ends.")
@_timeout_option
@client_options
@console.json_option
def create(model: str, version: str, **options: Any) -> None:
    """Roll out VERSION of MODEL.

    Options override the plan file. With --wait the exit code tells the end: 0 completed, 3 failed, aborted or rolled
    back, 4 timed out, 5 paused.
    """
    document = _plan(model, version, options)
    fleet, as_json = client(options["server"], options["token_file"]), options["as_json"]
    if options["dry_run"]:
        stages = fleet.post("rollouts", body=document, query={"dry_run": "1"})["stages"]
        rows = [(number, len(names), ", ".join(names)) for number, names in enumerate(stages, 1)]
        console.emit({"stages": stages}, lambda: table(("stage", "count", "devices"), rows, ""), as_json=as_json)
        return
    view = fleet.post("rollouts", body=document)
    if options["wait"]:
        if not as_json:
            click.echo(f"rollout {view['id']}")
        fleet.follow(view["id"], options["timeout_s"], _shower(as_json=as_json))
        return
    done = f"rollout {view['id']} is {view['state']}; watch it: edgekit fleet rollout status {view['id']} --watch"
    console.emit(view, done, as_json=as_json)


@rollout.command(name="list")
@client_options
@console.json_option
def list_rollouts(server: str | None, token_file: Path | None, *, as_json: bool) -> None:
    """List the rollouts, newest first."""
    found = client(server, token_file).get("rollouts")["rollouts"]
    rows = (
        (
            item["id"],
            item["state"],
            f"{item['stage']}/{len(item['stages'])}",
            item["devices_total"],
            age(item["created"]),
        )
        for item in found
    )
    empty = "no rollouts yet: edgekit fleet rollout create MODEL VERSION"
    console.emit(
        found, lambda: table(("rollout", "state", "stage", "devices", "created"), rows, empty), as_json=as_json
    )


@rollout.command()
@click.argument("rollout_id", metavar="[ID]", required=False)
@click.option("--watch", is_flag=True, help="Follow it to its end; the exit code tells the end.")
@_timeout_option
@client_options
@console.json_option
def status(
    rollout_id: str | None,
    server: str | None,
    token_file: Path | None,
    timeout_s: float,
    *,
    watch: bool,
    as_json: bool,
) -> None:
    """Show a rollout, by default the newest.

    With --watch: exit code 0 completed, 3 failed, aborted or rolled back, 4 timed out, 5 paused; --json prints a line
    for every change.
    """
    fleet = client(server, token_file)
    chosen = rollout_id or fleet.newest_rollout()
    if watch:
        fleet.follow(chosen, timeout_s, _shower(as_json=as_json))
        return
    view = fleet.get("rollouts", chosen)
    console.emit(view, lambda: describe(view), as_json=as_json)


@rollout.command()
@click.argument("rollout_id", metavar="ID")
@client_options
@console.json_option
def history(rollout_id: str, server: str | None, token_file: Path | None, *, as_json: bool) -> None:
    """Show what was decided about a rollout, and by which numbers."""
    found = client(server, token_file).get("rollouts", rollout_id, "history")["decisions"]
    rows = ((item["at"], item["action"], json.dumps(item["detail"])) for item in found)
    console.emit(found, lambda: table(("time", "decision", "detail"), rows, "nothing was decided yet"), as_json=as_json)


def _action_command(action: str, help_text: str) -> click.Command:
    @click.command(name=action, help=help_text)
    @click.argument("rollout_id", metavar="ID")
    @client_options
    @console.json_option
    def command(rollout_id: str, server: str | None, token_file: Path | None, *, as_json: bool) -> None:
        view = client(server, token_file).post("rollouts", rollout_id, action)
        console.emit(view, f"rollout {printable(rollout_id)} is {view['state']}", as_json=as_json)

    return command


for _name, _help in _ACTIONS.items():
    rollout.add_command(_action_command(_name, _help))


def _shower(*, as_json: bool) -> Callable[[dict[str, Any]], None]:
    last = ""

    def show(view: dict[str, Any]) -> None:
        nonlocal last
        line = json.dumps(view, sort_keys=True, ensure_ascii=False) if as_json else progress_line(view)
        if line != last:
            click.echo(line)
        last = line

    return show


def _plan(model: str, version: str, options: dict[str, Any]) -> dict[str, Any]:
    plan = {"stages": [{"devices": share} for share in _DEFAULT_STAGES]} | _read_plan(options["plan_path"])
    for name, word in (("model", model), ("version", version)):
        if plan.setdefault(name, word) != word:
            raise UsageFault(f"the plan file is for {name} {str(plan[name])[:80]!r}, the command says {word!r}")
    if options["stages"]:
        plan["stages"] = [{"devices": share} for share in options["stages"]]
    if options["tags"]:
        plan["target"] = {"tags": parse_tags(options["tags"])}
    given = ("soak_s", "wait_max_s", "lost_after_s", "on_fail")
    return plan | {name: options[name] for name in given if options[name] is not None}


def _read_plan(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    with extras.needs("fleet"):
        from edgekit.config import read_toml
        from edgekit.files import read_bounded
    if path.suffix != ".json":
        return read_toml(path)
    try:
        document = json.loads(read_bounded(path, _MAX_PLAN_BYTES))
    except (OSError, ValueError) as error:
        raise UsageFault(f"plan {path} cannot be read as JSON ({error}): check the file") from error
    if not isinstance(document, dict):
        raise UsageFault(f"plan {path} is not a JSON object")
    return document
