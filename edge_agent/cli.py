"""`edgekit agent …`. Heavy imports sit inside the commands."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import click

from edgekit import console, extras
from edgekit.errors import JudgedBad, UsageFault

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    required=True,
    help="agent.toml, or the join.toml that the server made.",
)
_MAX_ROWS_BYTES = 1 << 20


@click.group()
def agent() -> None:
    """Run on a device: local prediction and safe model updates."""


@agent.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log what the agent does to standard error.")
@console.json_option
def run(config_path: Path, verbose: bool, as_json: bool) -> None:
    """Serve predictions and follow the fleet server, until stopped.

    Needs nobody to predict: server and broker may be away.
    """
    with extras.needs("agent"):
        from edge_agent import config, runtime

    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    def ready(address: dict[str, Any]) -> None:
        text = f"{address['device']} serves at {address['http']} (POST /predict, GET /status)"
        console.emit({"event": "ready", **address}, text, as_json=as_json)
        sys.stdout.flush()

    runtime.run(config.load(config_path), ready)


@agent.command()
@config_option
@console.json_option
def status(config_path: Path, as_json: bool) -> None:
    """What a running agent serves, updates and has to report."""
    found = _call(config_path, "GET", "/status")
    console.emit(found, lambda: _status_text(found), as_json=as_json)


@agent.command()
@config_option
@click.option("--model", default="", help="Which model, when several are served.")
@click.argument("rows", default="-")
@console.json_option
def predict(config_path: Path, model: str, rows: str, as_json: bool) -> None:
    """Predict with the running agent.

    ROWS is JSON: an object such as {"pressure": 1.5, "flow": 0.2}, or a list of them; `-` reads standard input.
    """
    body = _read_rows(rows)
    found = _call(config_path, "POST", f"/predict/{model}" if model else "/predict", body)
    console.emit(found, lambda: _prediction_text(found), as_json=as_json)


@agent.command()
@config_option
@console.json_option
def history(config_path: Path, as_json: bool) -> None:
    """How the latest updates of each model ended, oldest first."""
    found = _call(config_path, "GET", "/admin/history")
    console.emit(found, lambda: _history_text(found), as_json=as_json)


@agent.command()
@config_option
@console.json_option
def selftest(config_path: Path, as_json: bool) -> None:
    """Run the golden rows in the models that serve. Exit code 3 when an answer is wrong."""
    found = _call(config_path, "POST", "/admin/selftest", b"{}")
    lines = [
        f"{name} {result['version']}: "
        + (f"{result['rows']} golden rows agree" if result["passed"] else f"FAILED, {result['detail']}")
        for name, result in found.items()
    ]
    console.emit(found, "\n".join(lines) or "no model is installed yet", as_json=as_json)
    if not all(result["passed"] for result in found.values()):
        raise JudgedBad("a model does not answer as it should: roll it back", reason="golden_mismatch")


@agent.command()
@config_option
@click.option("--memory-max", default="75%", show_default=True, help="Memory limit, such as 512M, 75% or infinity.")
@console.json_option
def unit(config_path: Path, memory_max: str, as_json: bool) -> None:
    """Print a systemd unit for this installation and configuration."""
    with extras.needs("agent"):
        from edge_agent import config, systemd

        text = systemd.unit_text(config.files(config_path), memory_max)
    console.emit({"name": systemd.UNIT_NAME, "unit": text}, text.rstrip("\n"), as_json=as_json)


def _call(config_path: Path, method: str, path: str, body: bytes | None = None) -> Any:
    with extras.needs("agent"):
        from edge_agent import config, control
        from edgekit.http import Api

        address = control.find(config.load(config_path).data_dir)
        return Api(address.http).call(method, path, body)


def _read_rows(rows: str) -> bytes:
    text = sys.stdin.read(_MAX_ROWS_BYTES + 1) if rows == "-" else rows
    if len(text) > _MAX_ROWS_BYTES:
        raise UsageFault("the rows are over 1 MiB: send them in several requests", reason="too_large")
    try:
        json.loads(text)
    except ValueError as error:
        raise UsageFault(f"ROWS is not JSON ({error}): give an object by feature name, or a list of them") from error
    return text.encode()


def _status_text(found: dict[str, Any]) -> str:
    lines = [f"{found['device']}: link {'up' if found['link']['connected'] else 'down'}, seq {found['applied_seq']}"]
    for name, slots in found["models"].items():
        line = ", ".join(f"{which} {slot['version']}" for which, slot in slots.items() if slot)
        lines.append(f"  {name}: {line or 'nothing installed'}")
    for name, update in found["updates"].items():
        reason = f" ({update['reason']})" if update["reason"] else ""
        lines.append(f"  {name} {update['version']}: {update['state']}{reason}")
    for name, took in found["latency"].items():
        if took["requests"]:
            spelled = ", ".join(f"{which} {took[f'{which}_us']:g} us" for which in ("p50", "p90", "p99"))
            lines.append(f"  {name} {took['version']}: {took['requests']} answered, {spelled}")
    lines.extend(_memory_lines(found["memory"]))
    if found["desired_refused"]:
        lines.append(f"  desired document not followed: {found['desired_refused']['message']}")
    lines.append(f"  {found['outbox']['queued']} reports wait to be delivered")
    return "\n".join(lines)


def _memory_lines(memory: dict[str, Any]) -> list[str]:
    budget = memory["budget_bytes"]
    shared = f", budget of the models {console.size(budget)}" if budget else ""
    resident, available = console.size(memory["resident_bytes"]), console.size(memory["available_bytes"])
    lines = [f"  memory: {resident} resident, {available} available{shared}"]
    for name, model in memory["models"].items():
        took, peak = console.size(model["measured_bytes"]), console.size(model["load_peak_bytes"])
        lines.append(f"    {name} {model['version']}: {took} measured here, {peak} while it loads")
    lines.extend(f"    {why}" for why in memory["refused"].values())
    return lines


def _prediction_text(found: dict[str, Any]) -> str:
    answers = found["predictions"] if "predictions" in found else [found["prediction"]]
    return "\n".join(str(value) for value in answers)


def _history_text(found: dict[str, Any]) -> str:
    lines = [
        f"{end['time']}  {name} {end['version']}  {end['state']}{' ' + end['reason'] if end['reason'] else ''}"
        for name, ends in found.items()
        for end in ends
    ]
    return "\n".join(lines) or "no update yet"
