"""The pages that people read, and what is in them: blocks of code, code within sentences, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT

GENERATED = ROOT / "docs" / "claims.md"  # by `tests.evidence.claims`, which tests it

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """Its path below the checkout."""
        return self.path.relative_to(ROOT).as_posix()

    def blocks(self, language: str) -> list[str]:
        """The blocks of code of one language, as they stand."""
        return [body for kind, body in _BLOCK.findall(self.text) if kind == language]

    @property
    def prose(self) -> str:
        """The text without its blocks of code."""
        return _BLOCK.sub("", self.text)

    @property
    def code(self) -> list[str]:
        """The pieces of code within sentences and tables."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    @property
    def links(self) -> list[tuple[str, str]]:
        """(words, target) of the links to files and headings of ours, pictures included."""
        found = re.findall(r"\[([^\]\n]*)\]\(([^)\s]+)\)", self.prose)
        return [(words, target) for words, target in found if "://" not in target]

    @property
    def commands(self) -> list[str]:
        """The commands of the ``sh`` blocks, without comments."""
        lines = [line for block in self.blocks("sh") for line in block.splitlines()]
        return [command for line in lines if (command := line.split("  #")[0].strip())]


def pages() -> list[Page]:
    """README, CONTRIBUTING, CHANGELOG and the pages of docs, but for those that a program writes."""
    docs = sorted(
        path for path in (ROOT / "docs").rglob("*.md") if path != GENERATED and path.parent.name != "workloads"
    )
    return [Page(path, path.read_text(encoding="utf-8")) for path in (*sorted(ROOT.glob("*.md")), *docs)]


def page(name: str) -> Page:
    """The page of that path below the checkout."""
    return Page(ROOT / name, (ROOT / name).read_text(encoding="utf-8"))


def anchors(text: str) -> set[str]:
    """The headings of a page as GitHub makes targets of links of them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
