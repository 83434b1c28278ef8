"""The registry of output formats: which views can be rendered in which formats, and by what.

A view is a folder beside this file, each module in it a format: ``summary/markdown.py`` holds ``render``, a function
from the value of that view (and the style of the place it goes to) to text or bytes. A new format is a new module:
nothing lists them elsewhere, and a renderer is loaded only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import cast

from stallscope.traces.model.errors import BadInput

Render = Callable[..., str | bytes]  # of the value, a Style, and what a format alone can do
FIRST = ("text", "json")  # in help; the others follow by name


def formats(*views: str) -> tuple[str, ...]:
    """The formats that any of ``views`` can be rendered in, text first."""
    found = {module.name for view in views for module in iter_modules([str(Path(__file__).parent / view)])}
    return (*(name for name in FIRST if name in found), *sorted(found.difference(FIRST)))


def renderer(view: str, name: str) -> Render:
    """What renders a ``view`` in the format ``name``: text, or bytes of UTF-8, ending in a line break.

    Raises:
        BadInput: this view has no such format.
    """
    if name not in formats(view):
        raise BadInput(f"{view}: not to be had as {name}; choose one of: {', '.join(formats(view))}")
    return cast("Render", import_module(f"{__package__}.{view}.{name}").render)
