"""Functions of other people's replaced for a while, and put back; and no frame of ours in their tracebacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    """Replace ``owner.name`` by what ``make`` makes of it; nothing where there is no such attribute.

    Returns what puts back what was there, unless somebody has set it anew since.
    """
    original = getattr(owner, name, None)
    if original is None:
        return lambda: None
    own = vars(owner).get(name)  # None: inherited
    replacement = make(original)

    def undo() -> None:
        if vars(owner).get(name) is not replacement:
            return
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)

    setattr(owner, name, replacement)
    return undo


def unframed(error: BaseException, *, frames: int = 1) -> None:
    """Take the frame that calls this, and those it called, out of a traceback; a bare ``raise`` puts none back."""
    for _ in range(frames):
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next
