"""How every command talks: plain lines for people, JSON for machines, one sentence and an exit code for faults."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import click

from edgekit.errors import EdgekitError

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def emit(value: dict[str, Any] | list[Any], text: str | Callable[[], str], *, as_json: bool) -> None:
    """Print `value` as one JSON line, or `text` for people."""
    if as_json:
        click.echo(json.dumps(value, allow_nan=False, sort_keys=True, ensure_ascii=False))
    else:
        click.echo(text if isinstance(text, str) else text())


def run(command: click.Command) -> NoReturn:
    """Run the root command; never lets a traceback out. EDGEKIT_TRACEBACK=1 shows it to developers."""
    as_json = "--json" in sys.argv[1:]
    try:
        code = command.main(standalone_mode=False)
        sys.stdout.flush()
    except EdgekitError as error:
        _show_trace()
        _fail(error.message, error.reason, error.exit_code, as_json=as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        if not as_json:
            error.show()
            sys.exit(2)
        _fail(error.format_message(), "usage", 2, as_json=True)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches a user
        _show_trace()
        _fail(
            f"internal fault ({type(error).__name__}: {error}); run again with EDGEKIT_TRACEBACK=1 and report it",
            "internal",
            1,
            as_json=as_json,
        )
    sys.exit(code if isinstance(code, int) else 0)


def size(count: int) -> str:
    """A number of bytes for people, in binary units."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def one_line(text: str) -> str:
    """`text` on one line, without control characters: libraries break their messages, and a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


def _show_trace() -> None:
    if os.environ.get("EDGEKIT_TRACEBACK"):
        traceback.print_exc()


def _fail(message: str, reason: str, exit_code: int, *, as_json: bool) -> NoReturn:
    message = one_line(message)
    if as_json:
        click.echo(json.dumps({"error": {"reason": reason, "message": message}}, ensure_ascii=False), err=True)
    else:
        click.echo(f"error: {message}", err=True)
    sys.exit(exit_code)
