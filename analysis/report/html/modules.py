"""The modules of the network as a tree that can be unfolded, each with the time of all that lies in it."""

from __future__ import annotations

from stallscope.analysis.contract.rows import ModuleRow
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report.html.page import escape
from stallscope.analysis.stages.where.modules import NO_MODULE
from stallscope.analysis.units import count, microseconds

DEEPEST = 40
MOST = 40  # modules shown inside one
OPEN = 2  # levels that are unfolded at first


def module_tree(summary: Summary) -> str:
    """The tree, what takes longest first; nothing where no module is known."""
    rows = {row.name: row for row in summary.modules or [] if row.name != NO_MODULE}
    inside: dict[str | None, list[ModuleRow]] = {}
    for row in rows.values():
        inside.setdefault(row.parent if row.parent in rows and row.parent != row.name else None, []).append(row)
    by_gpu = bool(summary.per_step.kernels)
    for each in inside.values():
        each.sort(key=lambda row: (-(_gpu(row) if by_gpu else row.host_us_per_step), row.name))
    if not rows or not inside.get(None):
        return ""
    times = "GPU time of forward and backward, CPU time of forward" if by_gpu else "CPU time of forward"
    note = f"For each module all that lies in it, per step: {times}. What takes longest comes first."
    return f'<div class="tree">{_level(inside, None, by_gpu, 0)}</div><p class="note">{note}</p>'


def _gpu(row: ModuleRow) -> float:
    return (row.device_forward_us_per_step or 0.0) + (row.device_backward_us_per_step or 0.0)


def _level(inside: dict[str | None, list[ModuleRow]], parent: str | None, by_gpu: bool, depth: int) -> str:
    rows = inside.get(parent, [])
    if depth >= DEEPEST or not rows:
        return ""
    shown = "".join(_module(inside, row, by_gpu, depth) for row in rows[:MOST])
    more = f"<li>{len(rows) - MOST} more</li>" if len(rows) > MOST else ""
    return f"<ul>{shown}{more}</ul>"


def _module(inside: dict[str | None, list[ModuleRow]], row: ModuleRow, by_gpu: bool, depth: int) -> str:
    text = escape(_words(row, by_gpu))
    below = _level(inside, row.name, by_gpu, depth + 1)
    if not below:
        return f"<li>{text}</li>"
    return f"<li><details{' open' if depth < OPEN else ''}><summary>{text}</summary>{below}</details></li>"


def _words(row: ModuleRow, by_gpu: bool) -> str:
    kind = f" ({row.type})" if row.type and row.type != row.name else ""
    told = [f"CPU {microseconds(row.host_us_per_step)}"]
    if by_gpu:
        told.insert(0, f"GPU {microseconds(_gpu(row))}")
    if row.launches_total_per_step:
        told.append(f"{count(row.launches_total_per_step)} launches")
    return f"{row.name}{kind}: {', '.join(told)}"
