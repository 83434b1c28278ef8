"""Kernel time against launch cost as a chart of the HTML page."""

from __future__ import annotations

from stallscope.analysis.report.html.charts import WIDE, figure, swatch
from stallscope.analysis.report.html.page import escape
from stallscope.analysis.units import microseconds
from stallscope.analysis.views.launch_histogram import FIRST_NS, LaunchHistogram

HEAD, TALL, FOOT = 16, 110, 18  # user units
EVEN = ' class="even"'  # on a narrow screen only every other class is named
ROWS = (
    ("kernels", "kernel", "kernels, by how long they run"),
    ("calls", "launch", "launch calls, by how long they take"),
)


def launch_histogram(histogram: LaunchHistogram | None) -> str:
    """Two columns for each class of duration, from the shortest to the longest; nothing without launches."""
    if histogram is None:
        return ""
    both = histogram.kernels + histogram.calls
    used = both.nonzero()[0].tolist()
    if not used:
        return ""
    first, classes = used[0], used[-1] - used[0] + 1
    width = WIDE / classes
    drawn = "".join(_named(number, number - first, width) for number in range(first, first + classes))
    for side, (name, kind, _) in enumerate(ROWS):
        counts = getattr(histogram, name)
        for number in range(first, first + classes):
            if counts[number]:
                x = (number - first + 0.06 + 0.44 * side) * width
                drawn += _column(kind, counts[number], counts.max(), x, width)
    label = "Kernels and launch calls by duration"
    chart = figure(HEAD + TALL + FOOT, label, drawn, lettered=True)
    keys = "".join(f"<li>{swatch(kind)}{escape(what)}</li>" for _, kind, what in ROWS)
    note = "Kernels left of the launch calls run shorter than it takes to start them. Each colour has its own scale."
    return f'{chart}<ul class="legend">{keys}</ul><p class="note">{escape(note)}</p>'


def _named(number: int, place: int, width: float) -> str:
    """The class under its columns."""
    kind = EVEN if place % 2 else ""
    return f'<text{kind} x="{place * width + 3:.1f}" y="{HEAD + TALL + FOOT - 4}">{escape(_class(number))}</text>'


def _class(number: int) -> str:
    """``< 500 ns``, ``1.00 µs``: where a class begins."""
    return f"< {FIRST_NS} ns" if number == 0 else f"{microseconds((FIRST_NS << (number - 1)) / 1000)} …"


def _column(kind: str, number: int, most: int, x: float, width: float) -> str:
    height = max(1.0, TALL * number / most)
    top, middle = HEAD + TALL - height, x + 0.21 * width
    place = f'x="{x:.1f}" y="{top:.1f}" width="{0.42 * width:.1f}" height="{height:.1f}"'
    said = f'<text class="middle" x="{middle:.1f}" y="{top - 4:.1f}">{number}</text>'
    return f'<rect class="f-{kind}" {place}><title>{number}</title></rect>{said}'
