"""`scripts/demo`: run the story, say what happened, leave nothing behind but the work folder."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import click

from examples.demo.screen import Screen
from examples.demo.story import Story, close, tell
from examples.demo.workshop import ROOT, DemoFailed, Workshop


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / ".demo",
    help="Work folder, emptied at start [default: .demo].",
)
@click.option("--keep", is_flag=True, help="Leave server and agents running until Ctrl-C, and print their addresses.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end, nothing else.")
def main(folder: Path, *, keep: bool, as_json: bool) -> None:
    """Take a real model to three devices, update it under traffic, and survive two bad releases."""
    screen, started = Screen(as_json=as_json), time.monotonic()
    story = Story(Workshop(_empty(folder.resolve())), screen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        tell(story)
        close(story)
        story.facts["seconds"] = round(time.monotonic() - started, 1)
        screen.summary(story.facts)
        if keep:
            _wait(story)
    except DemoFailed as fault:
        click.echo(f"demo failed: {fault} (logs: {folder})", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    finally:
        for process in reversed(story.processes):
            process.stop()


def _empty(folder: Path) -> Path:
    marker = folder / ".edgekit-demo"
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        click.echo(f"{folder} is not a work folder of the demo: choose another with --folder", err=True)
        sys.exit(2)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    marker.touch()
    return folder


def _wait(story: Story) -> None:
    environ = story.shop.environ
    click.echo(f"dashboard  {environ['EDGEKIT_SERVER']}/  (log in with the token below)")
    click.echo(f"token      {environ['EDGEKIT_TOKEN']}")
    for device, address in story.addresses.items():
        click.echo(f"{device:10} {address}")
    click.echo("Ctrl-C ends everything.")
    threading.Event().wait()


if __name__ == "__main__":
    main()
