"""How values of the contract show themselves in a notebook: in one line, and as the page that a terminal would show.

What draws the page lies in a layer above; it says so once, with ``show_as``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_drawn: dict[type, tuple[Callable[[Any], str], Callable[[Any], str]]] = {}


def show_as(kind: type, line: Callable[[Any], str], page: Callable[[Any], str]) -> None:
    """Show values of ``kind`` as ``line`` in a repr, as ``page`` (HTML) in a notebook."""
    _drawn[kind] = (line, page)


class Shown:
    """A value that a notebook can show."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return one line, however much the value holds."""
        drawn = _drawn.get(type(self))
        return f"<{type(self).__name__}>" if drawn is None else drawn[0](self)

    def _repr_html_(self) -> str | None:
        """Return the page; None where nothing draws it: the notebook then shows the line."""
        drawn = _drawn.get(type(self))
        return None if drawn is None else drawn[1](self)
