"""The pages that people read, taken apart: code blocks, command lines, inline code, links, headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
_INLINE = re.compile(r"`(edgekit [^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CALL = re.compile(r"(?:^|\$\(|&& |; )\s*(?:[A-Z_]+=\S+ )*(edgekit .*?)(?=\)|&&|;|\||&|#|>|$)")


@dataclass(frozen=True)
class Page:
    """One page by its path from the root."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """How messages call it."""
        return str(self.path.relative_to(ROOT))

    @property
    def prose(self) -> str:
        """Everything outside code blocks."""
        return _BLOCK.sub("", self.text)

    def shell_blocks(self) -> list[str]:
        """Code blocks to be typed, with continued lines joined."""
        return [text.replace("\\\n", " ") for language, text in _BLOCK.findall(self.text) if language == "sh"]

    def typed(self) -> Iterator[list[str]]:
        """Words of every whole `edgekit …` command in a code block."""
        for block in self.shell_blocks():
            for line in block.splitlines():
                yield from (shlex.split(call)[1:] for call in _CALL.findall(line))

    def mentioned(self) -> Iterator[list[str]]:
        """Words of every `edgekit …` in inline code; `…` may stand for what is left out."""
        for span in _INLINE.findall(self.prose):
            yield span.replace("\\|", "|").split()[1:]

    def links(self) -> Iterator[tuple[str, str]]:
        """Path and fragment of every relative link."""
        for target in _LINK.findall(self.prose):
            if "://" not in target:
                path, _, fragment = target.partition("#")
                yield path, fragment

    def anchors(self) -> set[str]:
        """What a fragment may name: headings as code hosts spell them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.M)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def every_page() -> list[Page]:
    """All of them."""
    return [Page(path, path.read_text()) for path in PAGES]


def readme() -> Page:
    """The first one that people read."""
    return Page(ROOT / "README.md", (ROOT / "README.md").read_text())
