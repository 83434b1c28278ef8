"""How text may look (width, colour, alphabet), and how names from a trace are made safe to show.

Names in a trace come from whoever made the file. Control and invisible characters (escape sequences, line breaks,
bidirectional overrides) never reach the terminal, and no name can widen a table.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

from rich.cells import cell_len

Colour = Literal["good", "bad", "warn", "dim", "bold"]

_SGR: dict[Colour, str] = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "bold": "1"}
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_NUMBER_UNIT = re.compile(r"(\d) (%|[kMG]?B|[µm]?s)(?![\w%])")  # stay on one line
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_ASCII = str.maketrans({"µ": "u", "█": "#", "░": ".", "─": "-", "→": ">", "±": "+"})


@dataclass(frozen=True, slots=True)
class Style:
    """What the place the text goes to can show."""

    width: int = 80
    color: bool = False
    unicode: bool = True
    encoding: str = "ascii"  # what can be shown where unicode is False: a Chinese code page has Chinese names

    def text(self, line: str) -> str:
        """``line`` in the alphabet of this style: as it is, or with ASCII standing in for what the encoding lacks."""
        if self.unicode:
            return line
        return line.translate(_ASCII).encode(self.encoding, "replace").decode(self.encoding)

    def paint(self, line: str, colour: Colour) -> str:
        """``line`` in a colour, where colours may be used."""
        return f"\x1b[{_SGR[colour]}m{line}\x1b[0m" if self.color else line

    def rule(self) -> str:
        """A horizontal line across the page."""
        return self.text("─" * self.width)


PLAIN: Final = Style()


def safe(name: str) -> str:
    """A name from a trace without control, invisible or unassigned characters (each becomes ``?``)."""
    name = _ADDRESS.sub("", name)
    if name.isascii() and name.isprintable():
        return name
    return "".join("?" if unicodedata.category(c) in _UNSAFE else c for c in name)


def shorten(name: str, width: int) -> str:
    """``name`` in at most ``width`` columns: the middle is cut out, for both ends of a C++ name say something."""
    name = safe(name)
    if cell_len(name) <= width:
        return name
    if width <= 4:  # noqa: PLR2004 - no room for both ends
        return _take(name, width)
    left = (width - 2) * 2 // 3
    return _take(name, left) + ".." + _take(name[::-1], width - 2 - left)[::-1]


def pad(text: str, width: int, *, right: bool = False) -> str:
    """``text`` filled with blanks to ``width`` columns (wide characters count two)."""
    blanks = " " * max(0, width - cell_len(text))
    return blanks + text if right else text + blanks


def _take(name: str, width: int) -> str:
    """The longest beginning of ``name`` that fits ``width`` columns."""
    taken, used = [], 0
    for character in name:
        used += cell_len(character)
        if used > width:
            break
        taken.append(character)
    return "".join(taken)


def words(text: str) -> list[str]:
    """The words of a text; a number and its unit are one."""
    return [glued.replace("\0", " ") for glued in _NUMBER_UNIT.sub("\\1\0\\2", text).split()]


def wrap(text: str, width: int) -> list[str]:
    """``text`` (made safe) in lines of at most ``width`` columns; a longer word is cut."""
    width = max(1, width)
    lines = [""]
    for word in words(safe(text)):
        rest = word
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += " " + word
            continue
        while rest:
            part = _take(rest, width) or rest[0]
            lines.append(part)
            rest = rest[len(part) :]
    return [line for line in lines if line]
