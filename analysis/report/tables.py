"""The tables of a summary as plain strings, the same for text and Markdown. Names are raw: renderers make them safe."""

from __future__ import annotations

import re

from stallscope.analysis.answer.acquitted import GPU_KINDS
from stallscope.analysis.causes.waits import spoken
from stallscope.analysis.contract.rows import ModuleRow
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report import ledger_tables
from stallscope.analysis.report.table import TOP, Row, Table, scope, scope_of_all, share
from stallscope.analysis.stages.where.modules import NO_MODULE
from stallscope.analysis.units import count, microseconds

PLACES = 8  # rows of the table of places
_DEFINED = "The lines are where the functions are defined: the trace does not tell the lines of the calls."
_INSTANCE = re.compile(r"_\d+$")  # the number at the end of Linear_3
FEW = 4  # modules that are told one by one
_NUMBERED = re.compile(r"(?<![^.])\d+(?![^.])")  # the number in layers.3.attn


def tables(summary: Summary) -> dict[str, Table]:
    """Every table that has something to say, by the name with which it is asked for, in the order of the report."""
    made = {
        "time": _breakdown(summary),
        "launches": ledger_tables.launches(summary),
        "idle": ledger_tables.idle(summary),
        "waits": ledger_tables.sites(summary),
        "copies": ledger_tables.copies(summary),
        "operators": _operators(summary),
        "modules": _modules(summary),
        "places": _call_sites(summary),
        "kernels": _kernels(summary),
        "gpus": _devices(summary),
    }
    return {name: table for name, table in made.items() if table.rows}


def _breakdown(summary: Summary) -> Table:
    parts = summary.breakdown_us
    named = (
        ("GPU computing (kernels)", parts.kernel),
        ("GPU copying", parts.memcpy),
        ("GPU filling memory (memset)", parts.memset),
        (f"communication between {'processes' if summary.trace.vendor == 'cpu' else 'GPUs'}", parts.communication),
        ("CPU in GPU calls (launches, waits)", None if summary.trace.vendor == "cpu" else parts.runtime),
        ("CPU loading data (DataLoader)", parts.dataloader),
        *_host_parts(summary),
    )
    rows = [(name, microseconds(us), share(summary, us)) for name, us in named if us]
    note = "Each instant counts once, for the first of these that was active, so the rows add up."
    return Table(f"Time {scope(summary)}", note, ("", "time", "share"), rows)


def _host_parts(summary: Summary) -> list[tuple[str, float | None]]:
    """Operators and what is left. A run without a GPU: as its bar and its verdict divide the step."""
    parts, operators = summary.breakdown_us, summary.per_step.operator_us
    if summary.trace.vendor == "cpu" and operators is not None:
        rest = (parts.runtime or 0.0) + (parts.cpu_op or 0.0) + (parts.other or 0.0) - operators
        return [("CPU in operators", operators), ("the rest: Python, named ranges", max(0.0, rest))]
    return [("CPU in operators and named ranges", parts.cpu_op), ("other: Python in between", parts.other)]


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
    return Table(f"Top operators by {by}, {scope_of_all(summary)}", note, headers, rows)


def _modules(summary: Summary) -> Table:
    """Modules by class: a network has many alike, and each alone says little."""
    classes: dict[str, list[ModuleRow]] = {}
    by_gpu = bool(summary.per_step.kernels)
    for row in summary.modules or []:
        if by_gpu or row.name != NO_MODULE:  # its CPU time is not known, so without a GPU there is nothing to tell
            classes.setdefault(_kind_of(row), []).append(row)
    made = [_module_class(name, rows) for name, rows in classes.items()]
    made.sort(key=lambda row: (-(row[2] + row[3]) if by_gpu else -row[1], row[0]))
    with_backward = any(row[3] for row in made)
    rows: list[Row] = [
        (
            name,
            "-" if name == NO_MODULE else microseconds(host),
            *((microseconds(forward), microseconds(backward)) if with_backward else (microseconds(forward),)),
            count(launches),
        )
        for name, host, forward, backward, launches in made[:TOP]
    ]
    headers: Row = ("module", "CPU", *(("GPU forward", "GPU backward") if with_backward else ("GPU",)), "launches")
    if not by_gpu:
        rows, headers = [row[:2] for row in rows], headers[:2]
    alike = "class" if all(row.type is None for row in summary.modules or []) else "name, but for numbers,"
    note = f"Without the modules inside. Modules of one {alike} are added up."
    return Table(f"Top modules by {'GPU' if by_gpu else 'CPU'} time, {scope_of_all(summary)}", note, headers, rows)


def _kind_of(row: ModuleRow) -> str:
    """What a module shares with others like it: ``encoder.layers.*.attn``, or the class ``Linear`` of ``Linear_3``."""
    if row.type is None:
        return _INSTANCE.sub("", row.name)
    pattern = _NUMBERED.sub("*", row.name)
    return f"{pattern} {row.type}" if pattern.endswith("*") else pattern  # a bare number says nothing


def _label(name: str, rows: list[ModuleRow]) -> str:
    """One module by its name, several by what they share; what an nn.Sequential numbers by class: ``Linear 0, 2``."""
    if name.startswith("* "):
        numbers = ", ".join(sorted((row.name for row in rows), key=lambda each: (len(each), each)))
        return f"{name[2:]} {numbers if len(rows) <= FEW else f'({len(rows)} of them)'}"
    if len(rows) > 1:
        return f"{name} ({len(rows)} of them)"
    return f"{rows[0].name} {rows[0].type}" if "* " in name else rows[0].name


def _call_sites(summary: Summary) -> Table:
    """The places of the program that asked for most work."""
    listed = summary.call_sites or []
    sites = listed[:PLACES]
    with_backward = any(site.device_backward_us_per_step for site in sites)
    rows: list[Row] = []
    for site in sites:
        device = [microseconds(site.device_forward_us_per_step), microseconds(site.device_backward_us_per_step)]
        gpu = (*device[: 1 + with_backward], count(site.launches_per_step))
        called = f" {spoken(site.called)}" if site.called else ""
        rows.append((site.call_site + called, microseconds(site.host_us_per_step), *gpu))
    headers: Row = ("called from", "CPU", *(("GPU forward", "GPU backward") if with_backward else ("GPU",)), "launches")
    if not summary.per_step.kernels:
        rows, headers = [row[:2] for row in rows], headers[:2]
    if len(listed) > PLACES:
        rows.append((f"({len(listed) - PLACES} more, see --format json)", *[""] * (len(rows[0]) - 1)))
    lines = "The lines are those of the calls." if any(site.is_call for site in sites) else _DEFINED
    note = f"{lines} CPU: in operators called from there."
    return Table(f"Top places in the program, {scope_of_all(summary)}", note, headers, rows)


def _module_class(name: str, rows: list[ModuleRow]) -> tuple[str, float, float, float, float]:
    """(label, CPU self, GPU forward self, GPU backward self, launches) of the instances of one class; µs."""
    return (
        _label(name, rows),
        sum(row.host_self_us_per_step for row in rows),
        sum(row.device_forward_self_us_per_step or 0.0 for row in rows),
        sum(row.device_backward_self_us_per_step or 0.0 for row in rows),
        sum(row.launches_per_step or 0.0 for row in rows),
    )


def _kernels(summary: Summary) -> Table:
    """Kernels by short name: those that differ in types and sizes only are one row."""
    named: dict[str, tuple[float, float]] = {}  # (number, µs)
    for row in summary.kernels or []:
        number, us = named.get(row.short_name or row.name, (0.0, 0.0))
        named[row.short_name or row.name] = (number + row.count_per_step, us + row.us_per_step)
    ranked = sorted(named.items(), key=lambda each: (-each[1][1], each[0]))[:TOP]
    rows = [
        (name, count(number), microseconds(us), microseconds(us / number if number else None), share(summary, us))
        for name, (number, us) in ranked
    ]
    note = "Kernels of one name that differ in types and sizes only are added up."
    title = f"Top kernels by time, {scope_of_all(summary)}"
    return Table(title, note if len(named) < len(summary.kernels or []) else "", (
        "kernel", "number", "time", "each", "share"), rows)  # fmt: skip


def _devices(summary: Summary) -> Table:
    several = summary.devices if len(summary.devices) > 1 else []
    rows = [
        (f"GPU {each.device}", count(each.kernels), microseconds(each.gpu_busy_us), share(summary, each.gpu_busy_us))
        for each in several
    ]
    return Table(f"GPUs of this process, {scope_of_all(summary)}", "", ("", "kernels", "working", "share"), rows)
