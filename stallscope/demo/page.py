"""A story as text for the terminal, and as a page of Markdown for ``docs/workloads``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from stallscope.analysis.report.env.text import describe_gpu, processor
from stallscope.analysis.report.style import Style, pad
from stallscope.demo.results import Result
from stallscope.demo.story import Story, Table, Workload

NO_GPU, FEW_GPUS = "Not measured here (no GPU)", "Not measured here (too few GPUs)"


def as_text(story: Story, result: Result, style: Style) -> str:
    """The tables, what was not measured, and the sentences."""
    parts = [line for table in story.tables for line in [*text_table(table, style), ""]]
    for sentence in [*missing(result), *story.sentences]:
        parts += textwrap.wrap(sentence, style.width, break_long_words=False, break_on_hyphens=False)
    return style.text("\n".join(parts))


def text_table(table: Table, style: Style) -> list[str]:
    """A table in columns; figures stand to the right. Where it is too wide, each row becomes a few lines."""
    rows = [table.headers, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.headers))]
    lines = [style.paint(table.title, "bold")]
    if sum(widths) + 2 * (len(widths) - 1) > style.width:
        lines += stacked(table)
    else:
        for name, *cells in rows:
            figures = [pad(cell, width, right=True) for cell, width in zip(cells, widths[1:], strict=True)]
            lines.append("  ".join([pad(name, widths[0]), *figures]).rstrip())
    return lines + (textwrap.wrap(table.note, style.width) if table.note else [])


def stacked(table: Table) -> list[str]:
    """Each row as its name and one line a cell."""
    width = max(len(header) for header in table.headers[1:])
    lines = []
    for name, *cells in table.rows:
        named = zip(table.headers[1:], cells, strict=True)
        lines += [name, *(f"  {pad(header, width)}  {cell}" for header, cell in named if cell)]
    return lines


def missing(result: Result) -> list[str]:
    """A line that names what needs a GPU which is not here, and one for each variant that failed."""
    why = FEW_GPUS if result.gpus_seen or "cuda" in result.devices else NO_GPU
    lines = [f"{why}: {'; '.join(result.not_measured)}."] if result.not_measured else []
    return lines + [f"Failed: {title}: {why}." for title, why in result.failed.items()]


def as_markdown(workload: Workload, story: Story, result: Result, *, plot: bool) -> str:
    """The page ``docs/workloads/NAME.md``; ``plot``: there is a picture beside it."""
    name = workload.name
    parts = [
        f"# {name}",
        f"{sentence_case(workload.about)}. **{sentence_case(workload.question)}**",
        *story.sentences,
        *([f"![{name}: {'; '.join(panel.title for panel in story.panels)}]({name}.png)"] if plot else []),
        *[markdown_table(table) for table in story.tables],
        *missing(result),
        *workload.notes,
        "## How it was measured",
        *how(workload, result),
    ]
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """A table under its title."""
    rule = "|".join(["---"] + ["---:"] * (len(table.headers) - 1))
    rows = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in table.rows]
    head = f"**{table.title}**\n\n| {' | '.join(table.headers)} |\n|{rule}|"
    return "\n".join([head, *rows]) + (f"\n\n{table.note}" if table.note else "")


def how(workload: Workload, result: Result) -> list[str]:
    """The command, the machine, and under what load."""
    runs = "once" if result.repeats == 1 else f"{result.repeats} times, in turn"
    short = " This was the short form (`--quick`)." if result.quick else ""
    machine = result.machine
    gpus = [describe_gpu(gpu) for gpu in machine.gpus] or ["no GPU"]
    command = f"`{result.command}` on {result.created[:10]}, Stallscope {result.stallscope}."
    script = f"`profiling/workloads/{workload.script}` ran unmodified under `stallscope profile`, each variant {runs}."
    versions = f"torch {machine.torch}; Python {machine.python}; {machine.os}"
    lines = [
        f"{command} {script}{short}",
        f"Machine: {processor(machine)}; {'; '.join(gpus)}; {versions}.",
        load_line(result),
    ]
    if result.environment:
        settings = ", ".join(f"`{name}={value}`" for name, value in result.environment.items())
        lines.append(f"Environment of every run: {settings}.")
    return [*lines, f"All figures: [{workload.name}.json]({workload.name}.json)."]


def load_line(result: Result) -> str:
    """How busy the machine was, and a warning where the measured programs may have had company."""
    if result.load is None:
        return "How busy the machine was is not known."
    before, after = result.load
    line = f"Load of the machine (1-minute mean): {before} when the demo began, {after} when it ended."
    if before > result.machine.cores / 2:
        line += " It was not idle when it began: differences of a few percent may be its."
    return line


def sentence_case(text: str) -> str:
    """``text`` with a capital at its start."""
    return text[:1].upper() + text[1:]


def listing(rows: Sequence[tuple[str, str]]) -> str:
    """Names and what they are, in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {about}" for name, about in rows)
