"""Draws the panels of a story as PNG and SVG, readable at 700 pixels. The only module that imports matplotlib."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stallscope.demo.story import Panel
from stallscope.traces.model.errors import BadInput

MISSING = "no plot: matplotlib is not installed; python -m pip install matplotlib, and run the demo again"
WIDTH, DPI = 7.0, 200  # inches; 1400 pixels, shown at half of that
ROW, LINES = 0.34, 2.6  # inches: a row of dots, a panel of lines
FRAME = 0.95  # title and labels of a panel

# Okabe and Ito's palette: told apart by colour-blind people; marks differ too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
LOOK: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "stallscope",  # the same figures give the same file
}


def available() -> bool:
    """Whether matplotlib is installed."""
    from importlib.util import find_spec  # noqa: PLC0415

    return find_spec("matplotlib") is not None


def draw(panels: Sequence[Panel], path: Path) -> list[Path]:
    """Write ``path`` with the endings ``.png`` and ``.svg``; both are replaced where they exist.

    Raises:
        BadInput: a file cannot be written.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an optional library, and slow to load
    from matplotlib.figure import Figure  # noqa: PLC0415

    heights = [height(panel) for panel in panels]
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        axes = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
        for axis, panel in zip(axes, panels, strict=True):
            fill(axis, panel)
        files = [path.with_suffix(ending) for ending in (".png", ".svg")]
        try:
            for file in files:
                metadata = {"Software": None} if file.suffix == ".png" else {"Date": None}
                figure.savefig(file, dpi=DPI, metadata=metadata)
        except OSError as error:
            raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another place with --out") from error
    return files


def height(panel: Panel) -> float:
    """Inches a panel takes."""
    return FRAME + (ROW * len(panel.dots) if panel.dots else LINES)


def fill(axis: Any, panel: Panel) -> None:
    """Draw one panel."""
    axis.set_title(panel.title)
    axis.set_xlabel(f"{panel.x} (dot: a run, bar: the median)" if panel.dots else panel.x)
    if panel.dots:
        dots(axis, panel)
    else:
        lines(axis, panel)
    if panel.log_x:
        log(axis, "x", spanned(point[0] for line in panel.lines for point in line.points))
    else:
        axis.locator_params(axis="x", nbins=6)  # more do not fit
        if panel.dots:
            axis.set_xlim(left=0)
    if panel.log_y:
        log(axis, "y", spanned(point[1] for line in panel.lines for point in line.points))
    elif panel.lines:
        axis.set_ylim(bottom=0)


def dots(axis: Any, panel: Panel) -> None:
    """Each row: its runs as open dots, its median as a bar from zero."""
    rows = range(len(panel.dots))
    medians = [statistics.median(row.values) for row in panel.dots]
    axis.barh(rows, medians, height=0.55, color="#b9d6e8")
    for place, row in zip(rows, panel.dots, strict=True):
        axis.plot(row.values, [place] * len(row.values), "o", color=COLOURS[0], markerfacecolor="none", markersize=5)
    axis.set_yticks(rows, [row.name for row in panel.dots])
    axis.set_ylim(len(panel.dots) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")


def lines(axis: Any, panel: Panel) -> None:
    """Each line with a colour and a mark of its own; limits dashed."""
    for place, line in enumerate(panel.lines):
        limit = line.kind == "limit"
        axis.plot(
            [x for x, _ in line.points],
            [y for _, y in line.points],
            color=COLOURS[place % len(COLOURS)],
            marker=MARKS[place % len(MARKS)] if panel.marks and not limit else None,
            linestyle="--" if limit else "-" if place < len(COLOURS) else ":",  # then the colours come again
            markersize=5,
            linewidth=1.6,
            label=line.name,
        )
    axis.set_ylabel(panel.y)
    axis.legend()


def spanned(values: Any) -> float:
    """Largest ÷ smallest."""
    found = list(values)
    return float(max(found) / min(found))


def log(axis: Any, which: str, span: float) -> None:
    """A logarithmic scale whose ticks are plain numbers (``0.1``, ``1000``), with ones between where it is short."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    (axis.set_xscale if which == "x" else axis.set_yscale)("log")
    scale = axis.xaxis if which == "x" else axis.yaxis
    scale.set_major_locator(LogLocator(subs=(1.0,) if span > 300 else (1.0, 2.0, 5.0)))  # noqa: PLR2004
    scale.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:.8f}".rstrip("0"))
    )
    scale.set_minor_formatter(NullFormatter())
