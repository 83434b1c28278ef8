"""One fault: how the file is made, and what must come of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stallscope.traces.text.limits import DEFAULT, Limits
from tests.builders import TraceBuilder
from tests.faults.seed import kineto_text

OUTCOMES = ("ok", "info", "degraded", "bad", "refused")
Make = Callable[[Path], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file with one fault.

    ``ok``: as undamaged, grade ok; ``info``: grade ok, and ``codes`` among the issues; ``degraded``: ``codes``
    among the issues; ``bad``: refused with exit code 2 and a sentence that holds ``says``; ``refused``: likewise, 4.
    """

    row: str  # of the catalogue: A1 to F9
    name: str
    make: Make
    outcome: str
    codes: frozenset[str] = frozenset()
    says: str = ""
    unchanged: tuple[str, ...] = ()  # paths of figures that must equal those of the undamaged trace; "*": all of them
    withheld: tuple[str, ...] = ()  # paths of figures that must be null
    limits: Limits = DEFAULT
    kinds: frozenset[str] = field(default_factory=frozenset)  # the verdict is one of these, if any are given

    @property
    def id(self) -> str:
        """The name of the case in the list of tests."""
        return f"{self.row}-{self.name}".replace(" ", "_")


def case(row: str, name: str, outcome: str, made: Any, *codes: str, **more: Any) -> Case:
    """A case whose file is ``made``: bytes, text, a builder, JSON values, or a function that writes it."""
    return Case(row=row, name=name, outcome=outcome, make=_maker(made), codes=frozenset(codes), **more)


def _maker(made: Any) -> Make:
    if callable(made):
        return made
    return lambda folder: written(folder, made)


def written(folder: Path, made: Any, name: str = "trace.json") -> Path:
    """Write bytes, text, a builder or JSON values into ``folder``."""
    if isinstance(made, TraceBuilder):
        made = kineto_text(made)
    elif not isinstance(made, str | bytes):
        made = json.dumps(made)
    path = folder / name
    path.write_bytes(made.encode() if isinstance(made, str) else made)
    return path


def packed(data: bytes | str) -> bytes:
    """The same as gzip, the same bytes every time."""
    return gzip.compress(data.encode() if isinstance(data, str) else data, mtime=0)


def at(value: Any, path: str) -> Any:
    """The figure at ``path`` (``per_step.kernels``) of a summary as plain values."""
    for key in path.split("."):
        value = value[key]
    return value
