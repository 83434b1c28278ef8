"""What a demo ends in, as values: tables, panels of a plot, sentences. Rendering them is for ``page`` and ``plot``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stallscope.demo.results import Result


@dataclass(frozen=True, slots=True)
class Table:
    """A title and rows; the first cell of a row is a name."""

    title: str
    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Dots:
    """One row of a panel: a name, and a dot for every run (the median is marked)."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel: a name and its points."""

    name: str
    points: tuple[tuple[float, float], ...]
    kind: Literal["measured", "limit"] = "measured"  # a limit is drawn dashed, without marks


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of the plot: rows of dots, or lines."""

    title: str
    x: str  # label, with the unit
    y: str = ""
    dots: tuple[Dots, ...] = ()
    lines: tuple[Line, ...] = ()
    log_x: bool = False
    log_y: bool = False
    marks: bool = True  # a mark at each point of a line


@dataclass(frozen=True, slots=True)
class Story:
    """Everything a demo shows. Every sentence is made of measured figures."""

    tables: tuple[Table, ...]
    panels: tuple[Panel, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a workload's script."""

    key: str  # the folder of its runs
    title: str
    options: tuple[str, ...]
    device: str = "cpu"  # | "cuda"
    processes: int = 1  # more are started by torchrun
    gpus: int = 0  # that it needs
    seeded: bool = False  # another seed in each round


@dataclass(frozen=True, slots=True)
class Workload:
    """One built-in training script and the question its demo answers."""

    name: str
    script: str  # in profiling/workloads
    about: str
    question: str
    variants: Callable[[bool], list[Variant]]  # quick → every variant, those that need a GPU too
    tell: Callable[[Result], Story]
    repeats: int = 3
    summaries: tuple[str, ...] = ()  # variants of which the first run's summary is shown
    compared: tuple[str, str] | None = None  # variants shown as `stallscope compare` sees them
    sample: str | None = None  # beginning of a file name in traces/samples: this workload on a GPU
    notes: tuple[str, ...] = field(default=())  # what one must know to read the figures


# A step this small gains nothing from a second thread, and waiting for it is noise.
ONE_THREAD = ("--threads", "1")
ONE_THREAD_NOTE = "Run with one thread of torch (`--threads 1`): so small a step gains nothing from more, and varies."


def on_both(make: Callable[[str], list[Variant]]) -> list[Variant]:
    """The variants of the CPU, then those of the GPU."""
    return make("cpu") + make("cuda")


def points(pairs: list[list[float]]) -> tuple[tuple[float, float], ...]:
    """Pairs as JSON has them, as a line wants them."""
    return tuple((x, y) for x, y in pairs)
