"""What the pages say is so: every command is described, every command line can be typed, every link leads on."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from edgekit.cli import root
from tests.docs.pages import ROOT, Page, every_page

PAGES = {page.name: page for page in every_page()}
PLACEHOLDERS = ("…", "|", "[", "NAME")


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves(root))


def row(path: tuple[str, ...], command: click.Command) -> str:
    """A command's line in docs/commands.md."""
    pieces = command.collect_usage_pieces(click.Context(command))
    words = [piece.replace("|", "\\|") for piece in pieces if piece != "[OPTIONS]"]
    return f"| `{' '.join(['edgekit', *path, *words])}` | {command.get_short_help_str(500)} |"


def parse(words: list[str]) -> None:
    """Find the command and have click check its options and arguments; nothing runs. Raises ClickException."""
    command, rest = root.commands.get(words[0]), words[1:]
    while isinstance(command, click.Group) and rest:
        command, rest = command.commands.get(rest[0]), rest[1:]
    if command is None:
        raise click.UsageError("no such command")
    command.make_context(" ".join(words), rest)


def look_up(words: list[str]) -> None:
    """Check the words of a mention: commands as far as they are spelled, then the names of options."""
    command: click.Command = root
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word in PLACEHOLDERS:
                return
            assert word in command.commands, f"no such command: {' '.join(words)}"
            command = command.commands[word]
        elif word.startswith("-"):
            known = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h", "--version"}
            assert word.partition("=")[0] in known, f"no such option: {' '.join(words)}"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_is_described_as_its_help_says(path: tuple[str, ...]) -> None:
    wanted = row(path, COMMANDS[path])
    assert wanted in PAGES["docs/commands.md"].text, f"docs/commands.md lacks this line:\n{wanted}"


def test_the_command_page_describes_nothing_else() -> None:
    rows = {line for line in PAGES["docs/commands.md"].text.splitlines() if line.startswith("| `edgekit ")}
    assert rows == {row(path, command) for path, command in COMMANDS.items()}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_command_line_of_a_page_can_be_typed(page: Page) -> None:
    for words in page.typed():
        try:
            parse(words)
        except click.ClickException as error:
            pytest.fail(f"{page.name}: edgekit {' '.join(words)}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_mentioned_command_and_option_exists(page: Page) -> None:
    for words in page.mentioned():
        look_up(words)


@pytest.mark.parametrize("words", [["convrt"], ["convert", "m"], ["convert", "m", "--dta", "x"], ["release", "add"]])
def test_a_wrong_command_line_would_be_found(words: list[str]) -> None:
    with pytest.raises(click.ClickException):
        parse(words)


def test_the_readme_s_command_lines_are_all_read() -> None:
    first = {tuple(words[:2]) for words in PAGES["README.md"].typed()}
    for path in (("fleet", "token"), ("fleet", "serve"), ("agent", "run"), ("release", "push"), ("fleet", "rollout")):
        assert path in first


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_relative_link_leads_somewhere(page: Page) -> None:
    for path, fragment in page.links():
        target = page.path.parent / path if path else page.path
        assert target.exists(), f"{page.name} links to {path}, which is not there"
        assert target.resolve().is_relative_to(ROOT)
        if fragment:
            assert fragment in Page(target, target.read_text()).anchors(), f"{page.name}: {path}#{fragment}"
