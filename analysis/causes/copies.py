"""Copies between host and device: a slow link, many small ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from stallscope.analysis.causes.case import Case, Claim
from stallscope.analysis.units import count, microseconds, quantity
from stallscope.traces.model.fields import Category, Direction, Memory

LARGE: Final = 1_000_000  # bytes, from which a copy runs at the link's pace
FEW: Final = 3
SLOW_GB_S: Final = 3.0  # below it any full slot is slow: PCIe 3.0 x16 gives 12 to 13, x4 about 3
SMALL: Final = 65_536
MANY: Final = 20  # small uploads a step
_LINK: Final = {"cuda": " (GPU Link Info in nvidia-smi -q)", "rocm": " (rocm-smi --showbus, lspci -vv)"}


def find(case: Case) -> Iterator[Claim]:
    """What the copies of the window show."""
    trace, stages = case.trace, case.stages
    if not stages.measured or not len(trace.work):
        return
    work = trace.work
    copies = np.flatnonzero(
        (trace.events.category[work.row] == Category.MEMCPY)
        & work.bytes.known
        & np.isin(work.direction, (int(Direction.HtoD), int(Direction.DtoH)))
    )
    inside = stages.device_window.holds(trace.events.ts_ns[work.row[copies]])
    rows, size = work.row[copies], work.bytes.values[copies]
    ns = np.maximum(trace.events.dur_ns[rows], 1)
    pinned = work.memory[copies] == int(Memory.pinned)
    large = pinned & (size >= LARGE)
    if large.sum() >= FEW:
        best = float(np.max(size[large] / ns[large]))  # bytes a ns are GB/s
        if best < SLOW_GB_S:
            us = stages.device_us(int(ns[inside & (size >= LARGE)].sum()))
            yield case.claim(
                "slow_link",
                "the link between CPU and GPU is slow",
                nodes=case.nodes_of(rows[size >= LARGE]),
                kept=best / (4 * SLOW_GB_S),
                cost_us=us,
                evidence=f"The fastest of {int(large.sum())} copies from pinned memory moves {best:.2g} GB/s, slow "
                f"for any full-size slot; copies take {microseconds(us)} a step.",
                advice=f"Look at the link's width and generation{_LINK.get(case.trace.vendor, '')}, and at what else "
                "uses it. In an external case or an x4 slot this is normal: then copy less.",
                bars=("pinned_memory",),
            )
    small = (work.direction[copies] == int(Direction.HtoD)) & (size < SMALL) & inside
    number = stages.per_device_step(int(small.sum()))
    if number >= MANY:
        calls = stages.launches.work_call[copies[small]]
        us = stages.us(int(trace.events.dur_ns[calls[calls >= 0]].sum()))
        yield case.claim(
            "many_small_copies",
            "many small copies to the GPU",
            nodes=case.nodes_of(np.concatenate((calls[calls >= 0], rows[small]))),
            cost_us=us,
            evidence=f"{count(number)} copies a step of {quantity(float(np.median(size[small])))} and its like; the "
            f"calls take {microseconds(us)}.",
            advice="Pack them: put the values into one tensor on the CPU, copy that, and split it on the GPU.",
        )
