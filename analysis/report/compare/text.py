"""A comparison as text in at most ``style.width`` columns: the answer first, then before, after, difference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter

from rich.cells import cell_len

from stallscope.analysis.contract.compare import (
    ArgumentChange,
    Change,
    Comparison,
    CpuAgainstGpu,
    ForecastScore,
    KernelChange,
    OperatorChange,
    Side,
)
from stallscope.analysis.report.style import Colour, Style, pad, shorten, words
from stallscope.analysis.units import count, microseconds

COLUMN = 11  # a time with its unit and sign: "-1.39 ms"
NARROWEST = 60
MANY = 900  # percent
ROWS = 10  # operators and kernels shown; the JSON has them all
COLOURS: dict[str, Colour] = {
    "faster": "good",
    "slower": "bad",
    "differs": "warn",
    "no change": "good",
    "cannot tell": "warn",
}
Show = Callable[[float | None], str]

TIMES = (
    ("without the profiler", "steps.unprofiled_us"),
    ("under it", "steps.step_us"),
    ("on the CPU, median", "steps.wall_us.median"),
    ("on the CPU, mean", "steps.total_us"),
    ("dataloader", "per_step.dataloader_us"),
    ("calls that launch", "per_step.launch_call_us"),
    ("synchronizing calls", "per_step.sync_call_us"),
    ("sync stall, any kind", "per_step.sync_stall_us"),
    ("GPU busy", "per_step.gpu_busy_us"),
    ("GPU idle", "per_step.gpu_idle_us"),
    ("kernels", "per_step.kernel_us"),
    ("copies", "per_step.memcpy_us"),
    ("memsets", "per_step.memset_us"),
    ("communication", "per_step.communication_us"),
    ("queue delay, p50", "per_step.queue_delay_us.p50"),
)
COUNTS = (
    ("kernel launches", "per_step.kernel_launches"),
    ("graph launches", "per_step.graph_launches"),
    ("kernels", "per_step.kernels"),
    ("copies", "per_step.memcpys"),
    ("memsets", "per_step.memsets"),
    ("synchronizing calls", "per_step.sync_calls"),
)
BREAKDOWN = tuple(
    (words, f"breakdown_us.{name}")
    for name, words in {
        "kernel": "a kernel runs",
        "memcpy": "a copy runs",
        "memset": "a memset runs",
        "communication": "communication",
        "runtime": "a CUDA/HIP call",
        "dataloader": "dataloader",
        "cpu_op": "an operator or range (host)",
        "other": "other (Python, I/O)",
    }.items()
)


def render(comparison: Comparison, style: Style) -> str:
    """The whole report, ending in a newline. Tables need ``NARROWEST`` columns, even where a terminal has fewer."""
    style = replace(style, width=max(NARROWEST, style.width))
    lines = [line for part in _parts(comparison, style) if part for line in (*part, "")]
    return "\n".join(style.text(line.rstrip()) for line in lines[:-1]) + "\n"


def _parts(comparison: Comparison, style: Style) -> Iterator[list[str]]:
    """The report's paragraphs and tables, empty ones left out."""
    yield list(_header(comparison, style))
    colour = COLOURS.get(comparison.verdict.kind)
    answer = _wrap(comparison.verdict.text, style.width)
    yield [style.paint(line, colour) if colour else line for line in answer]
    yield [line for score in comparison.forecasts for line in _wrap(forecast_words(score), style.width)]
    if comparison.cpu_against_gpu:
        yield list(_both_devices(comparison.cpu_against_gpu, style))
    for title, rows, show in (
        ("Time per step", TIMES, microseconds),
        ("Counted per step (exact)", COUNTS, count),
        ("One step, instant by instant", BREAKDOWN, microseconds),
    ):
        table = list(_figures(comparison, rows, show, style))
        if table:
            yield [_title(title, style), *table]
    operators = [] if comparison.cpu_against_gpu else comparison.operators  # set side by side above
    for named, what in ((operators, "Operators"), (comparison.kernels or [], "Kernels")):
        changed = [row for row in named if moved(row)]
        if changed:
            yield list(_named_rows(changed, what, style))
    if comparison.notes:
        yield list(_notes(comparison, style))


def forecast_words(score: ForecastScore) -> str:
    """What was forecast for the change, beside what came."""
    predicted = score.predicted_us
    if predicted is None or score.error_percent is None:
        return f"Forecast for {score.fix}: none, {score.why}."
    place = "inside" if score.inside else "outside"
    note = f" Mind: {score.why}." if score.why else ""
    return (
        f"Forecast for {score.fix}, from the run before: {microseconds(predicted.expected)} "
        f"({microseconds(predicted.low)} to {microseconds(predicted.high)}); measured "
        f"{microseconds(score.measured_us)}: {score.error_percent:+.1f} %, {place} the interval.{note}"
    )


def _header(comparison: Comparison, style: Style) -> Iterator[str]:
    yield from _side("before", comparison.baseline, style)
    yield from _side("after", comparison.candidate, style)
    if comparison.changed:
        changes = "; ".join(change_words(change) for change in comparison.changed)
        yield from _wrap(f"changed  {changes}", style.width, indent=9)
    elif comparison.changed is not None:
        yield "changed  nothing: the same command line"


def _side(label: str, side: Side, style: Style) -> Iterator[str]:
    runs = f"{len(side.runs)} run{'s' if len(side.runs) > 1 else ''}"
    device = ", ".join(side.devices) if side.device == "gpu" and side.devices else side.device.upper()
    room = style.width - 9
    yield f"{label:9}{shorten(side.name, room)}"
    yield f"{'':9}{shorten(f'{runs} on {device}', room)}"


def change_words(change: ArgumentChange) -> str:
    """``--record-every 1 → 100``."""
    name = f"{change.name} " if change.name else ""
    before, after = (
        "(not given)" if value is None else value or "(given)" for value in (change.baseline, change.candidate)
    )
    return f"{name}{before} → {after}"


def _title(title: str, style: Style, heads: Sequence[str] = ("before", "after", "change", "%")) -> str:
    room = style.width - len(heads) * COLUMN
    columns = "".join(pad(head, COLUMN, right=True) for head in heads)
    return style.paint(pad(shorten(title, room - 1), room) + columns, "bold")


def _figures(comparison: Comparison, rows: Iterable[tuple[str, str]], show: Show, style: Style) -> Iterator[str]:
    """The rows that are not 0 or unknown on both sides."""
    for label, path in rows:
        change: Change = attrgetter(path)(comparison)
        if change.baseline or change.candidate:
            yield _row(f"  {label}", change, show, style)


def _row(label: str, change: Change, show: Show, style: Style) -> str:
    cells = (show(change.baseline), show(change.candidate), signed(change.difference, show), percent(change.percent))
    return pad(shorten(label, style.width - 4 * COLUMN), style.width - 4 * COLUMN) + "".join(
        pad(cell, COLUMN, right=True) for cell in cells
    )


def signed(value: float | None, show: Show) -> str:
    """A difference with its sign: ``-1.39 ms``."""
    if value is None:
        return "unknown"
    return f"{'-' if value < 0 else '+'}{show(abs(value))}" if value else "0"


def percent(value: float | None) -> str:
    """Nothing where nothing changed or no percentage exists; beyond a factor of ten, the factor."""
    if not value:
        return ""
    return f"{value:+.1f} %" if abs(value) < MANY else f"x {1 + value / 100:.3g}"


def moved(row: OperatorChange | KernelChange) -> bool:
    """Whether a row is worth showing: its time or its calls changed."""
    if isinstance(row, KernelChange):
        return any(change.difference for change in (row.us_per_step, row.count_per_step))
    return any(change.difference for change in (row.host_self_us_per_step, row.device_us_per_step, row.calls_per_step))


def _named_rows(rows: Sequence[OperatorChange | KernelChange], what: str, style: Style) -> Iterator[str]:
    """The names that changed most: for an operator host self time and, where known, device time."""
    yield _title(f"{what}: largest changes", style)
    for row in rows[:ROWS]:
        mark = "" if row.status == "both" else f" ({row.status})"
        label = "  " + shorten(row.name, style.width - 4 * COLUMN - 3 - len(mark)) + mark
        if isinstance(row, KernelChange):
            yield _row(label, row.us_per_step, microseconds, style)
            continue
        yield _row(label, row.host_self_us_per_step, microseconds, style)
        if row.device_us_per_step.baseline or row.device_us_per_step.candidate:
            yield _row("    on the GPU", row.device_us_per_step, microseconds, style)
    if len(rows) > ROWS:
        yield f"  and {len(rows) - ROWS} more: --format json"


def _both_devices(both: CpuAgainstGpu, style: Style) -> Iterator[str]:
    """Operator time on the CPU against host dispatch and device time on the GPU."""
    yield from _wrap(both.why, style.width)
    yield ""
    yield _title("Operators, self time per step", style, ("CPU run", "GPU: host", "device", "less on"))
    for row in both.operators[:ROWS]:
        cells = (microseconds(row.cpu_us), microseconds(row.gpu_host_us), microseconds(row.gpu_device_us))
        label = pad("  " + shorten(row.name, style.width - 4 * COLUMN - 3), style.width - 4 * COLUMN)
        yield label + "".join(pad(cell, COLUMN, right=True) for cell in (*cells, (row.faster or "-").upper()))
    yield from _wrap(
        "  Host time on the GPU run is dispatch and any waiting inside the operator; it overlaps the device's.",
        style.width,
        indent=2,
    )


def _notes(comparison: Comparison, style: Style) -> Iterator[str]:
    yield style.paint("Keep in mind", "bold")
    for note in comparison.notes:
        yield from _wrap(f"  - {note.text}", style.width, indent=4)


def _wrap(text: str, width: int, *, indent: int = 0) -> list[str]:
    """``text`` in lines of at most ``width`` columns (wide characters count two), later ones indented.

    ``shorten`` makes each word safe to show and cuts those that no line could hold.
    """
    line = text[: len(text) - len(text.lstrip(" "))]
    lines, blank = [], ""
    for word in words(text):
        if blank and cell_len(line) + 1 + cell_len(word) > width:
            lines.append(line)
            line, blank = " " * indent, ""
        line, blank = line + blank + shorten(word, width - indent), " "
    return [*lines, line]
