"""Which line, function or operators of the program a range or an idle stretch of a timeline belongs to, as words."""

from __future__ import annotations

import numpy as np

from stallscope.analysis.causes.waits import spoken
from stallscope.analysis.contract.idle import BY_NAME
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.where.places import Place
from stallscope.traces.model.trace import Ints

Part = tuple[int, int, str]  # start and end, ns on the trace's clock; cause


def words(place: Place) -> str:
    """``train.py:47 .item(), aten::item < aten::_local_scalar_dense``; "" where nothing is known."""
    line = place.call_site
    if line is not None and place.site is not None:
        line = f"{line} {spoken(place.site.called)}"
    inside = place.function or (f"module {place.module}" if place.module else None)
    return ", ".join(part for part in (line or inside, place.chain) if part)


def of_host(stages: Stages, rows: Ints) -> dict[int, str]:
    """Of event rows of the host the line of each, where an attribution window tells it; of waits what else is known."""
    waits = rows[np.isin(rows, stages.syncs.blocking)]
    told = zip(waits.tolist(), stages.places.of(waits), strict=True)
    return _lines(stages, rows, rows, "At") | {row: f"At {said}" for row, place in told if (said := words(place))}


def of_work(stages: Stages, work: Ints) -> dict[int, str]:
    """Of device work (indices into ``trace.work``) the line that launched it, by event row."""
    return _lines(stages, stages.trace.work.row[work], stages.launches.work_call[work], "Launched at")


def _lines(stages: Stages, rows: Ints, calls: Ints, at: str) -> dict[int, str]:
    joined = stages.places.joined
    if joined is None or not len(rows):
        return {}
    said = [f"{at} {name.line} {spoken(name.called)}" for name in joined.site_names]
    numbers = joined.site_of(stages.trace, calls).tolist()
    return {row: said[number] for row, number in zip(rows.tolist(), numbers, strict=True) if number >= 0}


def of_idle(stages: Stages, device: int, parts: list[Part]) -> tuple[str, ...]:
    """For each stretch of a device the wait that it follows, or what starts its next work; "" where unknown."""
    after = _waits_before(stages, parts)
    calls = _next_calls(stages, device, parts)
    rows = np.array(sorted({row for row in (*after, *calls) if row >= 0}), dtype=np.int64)
    said = {row: words(place) for row, place in zip(rows.tolist(), stages.places.of(rows), strict=True)}
    return tuple(
        _idle_words(cause, said.get(wait, ""), said.get(call, ""))
        for (_, _, cause), wait, call in zip(parts, after, calls, strict=True)
    )


def _idle_words(cause: str, wait: str, call: str) -> str:
    if cause == "sync" and wait:
        return f"After the wait at {wait}"
    return f"Until the next work is started by {call}" if BY_NAME[cause].ends_with_launch and call else ""


def _waits_before(stages: Stages, parts: list[Part]) -> list[int]:
    """For each part the event row of the wait that lasts until, or ends last before, its end; -1: none."""
    events, rows = stages.trace.events, stages.syncs.blocking
    if not len(rows):
        return [-1] * len(parts)
    rows = rows[np.argsort(events.ts_ns[rows], kind="stable")]
    at = np.searchsorted(events.ts_ns[rows], np.array([end for _, end, _ in parts], dtype=np.int64)) - 1
    found: list[int] = np.where(at >= 0, rows[at], -1).tolist()
    return found


def _next_calls(stages: Stages, device: int, parts: list[Part]) -> list[int]:
    """For each part the call that launched the first work of the device that starts at its end or later; -1: none."""
    work, starts = stages.trace.work, stages.trace.events.ts_ns[stages.trace.work.row]
    mine = np.flatnonzero(work.device == device)
    mine = mine[np.argsort(starts[mine], kind="stable")]
    at = np.searchsorted(starts[mine], np.array([end for _, end, _ in parts], dtype=np.int64))
    calls = np.append(stages.launches.work_call[mine], -1)
    found: list[int] = calls[at].tolist()
    return found
