"""The front door is light, and every command says what it is for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from edgekit.cli import root

HEAVY = (
    "numpy",
    "onnx",
    "onnxruntime",
    "sklearn",
    "pandas",
    "fastapi",
    "starlette",
    "sqlalchemy",
    "paho",
    "tuf",
    "rich",
)


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


COMMANDS = dict(_commands(root))


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, edgekit.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_device_loads_neither_the_other_sides_nor_the_wire_form_to_serve() -> None:
    code = (
        "import sys, edgekit.cli, click; edgekit.cli.root.get_command(click.Context(edgekit.cli.root), 'agent');"
        "import edge_agent.runtime;"
        "print([m for m in ('convert.cli', 'fleet.cli', 'edgekit.wire', 'tuf', 'urllib3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=" ".join)
def test_every_command_and_option_has_help(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help, path
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(path)} {parameter.opts[0]}"


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--help"], 0), (["nonsense"], 2), (["release", "add"], 2), (["release", "list", "--repo", "no/such"], 1)],
)
def test_exit_codes_without_tracebacks(words: list[str], code: int) -> None:
    done = subprocess.run([sys.executable, "-m", "edgekit", *words], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_json_faults_are_json() -> None:
    words = ["release", "list", "--repo", "no/such", "--json"]
    done = subprocess.run([sys.executable, "-m", "edgekit", *words], capture_output=True, text=True, check=False)
    assert done.stderr.startswith('{"error": {"reason": "not_found"')
