"""The tables of a summary as plain strings, the same for text and Markdown. Names are raw: renderers make them safe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stallscope.analysis.contract import ModuleRow, Summary
from stallscope.analysis.units import count, microseconds, percent, quantity

TOP = 10  # rows of the operator and kernel tables
GPU_KINDS = ("compute-bound", "communication-bound", "copy-bound")

Row = tuple[str, ...]

_INSTANCE = re.compile(r"_\d+$")  # the number at the end of Linear_3


@dataclass(frozen=True, slots=True)
class Table:
    """A title, what one should know to read it, and rows of which the first cell is a name."""

    title: str
    note: str
    headers: Row
    rows: Sequence[Row]


def tables(summary: Summary) -> list[Table]:
    """Every table that has something to say, in the order of the report."""
    made = (
        _breakdown(summary),
        _launches(summary),
        _sites(summary),
        _copies(summary),
        _operators(summary),
        _modules(summary),
        _kernels(summary),
        _devices(summary),
    )
    return [table for table in made if table.rows]


def scope(summary: Summary) -> str:
    """What the figures are about: ``per step``, or ``in the trace`` where it has no steps."""
    return "per step" if summary.steps.source == "profiler_step" else "in the trace"


def step_us(summary: Summary) -> float:
    """Length of the window per step, which the breakdown sums to."""
    return summary.steps.window_us / summary.steps.count


def share(summary: Summary, us: float | None) -> str:
    """Part of the step as percent."""
    whole = step_us(summary)
    return percent(None if us is None or not whole else us / whole)


def _breakdown(summary: Summary) -> Table:
    parts = summary.breakdown_us
    named = (
        ("GPU computing (kernels)", parts.kernel),
        ("GPU copying", parts.memcpy),
        ("GPU filling memory (memset)", parts.memset),
        ("communication between GPUs", parts.communication),
        ("CPU in GPU calls (launches, waits)", parts.runtime),
        ("CPU loading data (DataLoader)", parts.dataloader),
        ("CPU in operators and named ranges", parts.cpu_op),
        ("other: Python in between", parts.other),
    )
    rows = [(name, microseconds(us), share(summary, us)) for name, us in named if us]
    note = "Each instant counts once, for the first of these that was active, so the rows add up."
    return Table(f"Time {scope(summary)}", note, ("", "time", "share"), rows)


def _launches(summary: Summary) -> Table:
    each = summary.per_step
    mean = each.kernel_sum_us / each.kernels if each.kernels and each.kernel_sum_us is not None else None
    delay = each.queue_delay_us
    rows = [
        (
            "kernel launches (a CPU call starts a kernel)",
            count(each.kernel_launches),
            microseconds(each.launch_call_us),
        ),
        ("graph launches (one call starts many kernels)", count(each.graph_launches), ""),
        ("kernels run by the GPU", count(each.kernels), microseconds(each.kernel_sum_us)),
        ("   one kernel, on average", "", microseconds(mean)),
        ("   from launch to start, median", "", microseconds(delay.p50) if delay else "-"),
        ("copies", count(each.memcpys), microseconds(each.memcpy_us)),
        ("memory fills (memset)", count(each.memsets), microseconds(each.memset_us)),
        ("synchronize calls (the CPU waits)", count(each.sync_calls), microseconds(each.sync_call_us)),
        ("CPU blocked for any reason", "", microseconds(each.sync_stall_us)),
    ]
    told = [row for row in rows if row[1] not in ("-", "0") and row[1:] != ("", "-")]
    note = "Times of launches, copies and waits overlap with the GPU's work: they do not add up to the step."
    return Table(f"Launches and waits {scope(summary)}", note, ("", "number", "time"), told)


def _sites(summary: Summary) -> Table:
    rows = [
        (
            site.call_site or site.operator or "(in no operator)",
            site.api or "-",
            count(site.calls_per_step),
            microseconds(site.blocked_us_per_step),
            share(summary, site.blocked_us_per_step),
        )
        for site in (summary.sync_sites or [])[:TOP]
    ]
    headers = ("operator", "call", "number", "blocked", "share")
    return Table(f"Where the CPU waits, {scope(summary)}", "", headers, rows)


def _copies(summary: Summary) -> Table:
    waits = {True: "yes", False: "no", None: "-"}
    rows = [
        (
            f"{row.direction}, {row.memory} memory",
            count(row.count_per_step),
            quantity(row.bytes_per_step),
            microseconds(row.us_per_step),
            "-" if row.gb_per_s is None else f"{row.gb_per_s:.3g}",
            waits[row.blocking],
        )
        for row in summary.memcpy or []
    ]
    headers = ("copies", "number", "size", "time", "GB/s", "CPU waits")
    with_host = any(row.direction in ("HtoD", "DtoH") for row in summary.memcpy or [])
    told = "HtoD: from CPU (host) to GPU (device) memory. Pinned memory can be copied while the CPU goes on."
    note = told if with_host else ""
    return Table(f"Copies {scope(summary)}", note, headers, rows)


def _operators(summary: Summary) -> Table:
    by_gpu = summary.verdict.kind in GPU_KINDS
    ranked = sorted(
        summary.operators, key=lambda o: (-(o.device_us_per_step or 0) if by_gpu else -o.host_self_us_per_step, o.name)
    )
    rows: list[Row] = [
        (
            row.name,
            count(row.calls_per_step),
            microseconds(row.host_self_us_per_step),
            microseconds(row.host_us_per_step),
            microseconds(row.device_us_per_step),
            count(row.launches_per_step),
        )
        for row in ranked[:TOP]
    ]
    if not summary.per_step.kernels:
        rows = [row[:4] for row in rows]
    headers: Row = ("operator", "calls", "CPU self", "CPU total", "GPU", "launches")[: len(rows[0]) if rows else 6]
    note = "Self: without the operators it calls." + (" GPU: kernels it starts itself." if len(headers) > 4 else "")  # noqa: PLR2004
    by = "GPU time" if by_gpu else "CPU time of their own"
    return Table(f"Top operators by {by}, {scope(summary)}", note, headers, rows)


def _modules(summary: Summary) -> Table:
    """Modules by class: a network has many alike, and each alone says little."""
    classes: dict[str, list[ModuleRow]] = {}
    for row in summary.modules or []:
        classes.setdefault(_INSTANCE.sub("", row.name), []).append(row)
    made = [_module_class(name, rows) for name, rows in classes.items()]
    by_gpu = bool(summary.per_step.kernels)
    made.sort(key=lambda row: (-(row[2] + row[3]) if by_gpu else -row[1], row[0]))
    with_backward = any(row[3] for row in made)
    rows: list[Row] = [
        (
            name,
            microseconds(host),
            *((microseconds(forward), microseconds(backward)) if with_backward else (microseconds(forward),)),
            count(launches),
        )
        for name, host, forward, backward, launches in made[:TOP]
    ]
    headers: Row = ("module", "CPU", *(("GPU forward", "GPU backward") if with_backward else ("GPU",)), "launches")
    if not by_gpu:
        rows, headers = [row[:2] for row in rows], headers[:2]
    note = "Without the modules inside. Modules of one class are added up."
    return Table(f"Top modules by {'GPU' if by_gpu else 'CPU'} time, {scope(summary)}", note, headers, rows)


def _module_class(name: str, rows: list[ModuleRow]) -> tuple[str, float, float, float, float]:
    """(label, CPU self, GPU forward self, GPU backward self, launches) of the instances of one class; µs."""
    label = f"{name} ({len(rows)} of them)" if len(rows) > 1 else rows[0].name
    return (
        label,
        sum(row.host_self_us_per_step for row in rows),
        sum(row.device_forward_self_us_per_step or 0.0 for row in rows),
        sum(row.device_backward_self_us_per_step or 0.0 for row in rows),
        sum(row.launches_per_step or 0.0 for row in rows),
    )


def _kernels(summary: Summary) -> Table:
    rows = [
        (
            row.short_name or row.name,
            count(row.count_per_step),
            microseconds(row.us_per_step),
            microseconds(row.mean_us),
            share(summary, row.us_per_step),
        )
        for row in (summary.kernels or [])[:TOP]
    ]
    return Table(f"Top kernels by time, {scope(summary)}", "", ("kernel", "number", "time", "each", "share"), rows)


def _devices(summary: Summary) -> Table:
    several = summary.devices if len(summary.devices) > 1 else []
    rows = [
        (f"GPU {each.device}", count(each.kernels), microseconds(each.gpu_busy_us), share(summary, each.gpu_busy_us))
        for each in several
    ]
    return Table(f"GPUs of this process, {scope(summary)}", "", ("", "kernels", "working", "share"), rows)
