"""Which kind of wait each place is, of the catalogue in ``waits.py``.

Hidden waits are known by the operators around the call: ``aten::is_nonzero`` is ``if tensor``, ``aten::nonzero`` inside
``aten::index`` a boolean mask; printing and ``.tolist()`` only where the trace holds Python frames, or an attribution
window has told what was called.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import numpy as np

from stallscope.analysis.causes.waits import BY_CALL, WAITS
from stallscope.analysis.columns.ranges import nest
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.sync import STALLS, Site
from stallscope.analysis.stages.where.places import CHAIN, Place
from stallscope.traces.model.fields import Category, Direction

_FRAMES: Final = {
    "print": re.compile(r".*(_tensor\.py\(\d+\): (__format__|__repr__)|_tensor_str\.py\(\d+\): )"),
    "tolist": re.compile(r"<built-in method tolist of Tensor"),
    "numpy": re.compile(r"<built-in method numpy of Tensor"),
    "cpu": re.compile(r"<built-in method cpu of Tensor"),
    "tensor": re.compile(r"<built-in method (tensor|as_tensor) of type"),
}


def find_wait_kinds(stages: Stages) -> dict[Site, str]:
    """For each place that waits, the profiler's own left out, the name of its kind in ``WAITS``."""
    by_frame, directions = _python_causes(stages), _directions(stages)
    return {
        site: _kind(site, by_frame.get(site.place), _direction(site, directions))
        for site in stages.syncs.sites
        if site.kind in STALLS and not site.by_profiler
    }


def _kind(site: Site, by_frame: str | None, direction: str | None) -> str:
    """Which of ``WAITS`` a site is: the first rule that holds."""
    chain = (site.place.chain or "").split(CHAIN)
    held = {name for name, wait in WAITS.items() if not set(chain).isdisjoint(wait.operators)}
    called = site.place.site.called if site.place.site else ""
    if called in BY_CALL and not (BY_CALL[called] == "to_device" and direction == "DtoH"):
        return BY_CALL[called]
    rules = (
        ("boolean_mask", "boolean_mask" in held and "aten::nonzero" in chain),
        ("nonzero", "nonzero" in held),
        ("print", by_frame == "print"),
        ("tolist", by_frame == "tolist"),
        ("if_tensor", "if_tensor" in held),
        ("item", "item" in held),
        ("cudnn", any("cudnn" in name for name in chain)),
        ("synchronize", site.operator is None and site.kind == "synchronize" and by_frame is None),
        ("tensor_to_device", direction == "HtoD" and by_frame == "tensor"),
        ("to_device", direction == "HtoD"),
        ("to_host", direction == "DtoH" or by_frame in ("numpy", "cpu")),
    )
    return next((name for name, holds in rules if holds), "other_wait")


def _directions(stages: Stages) -> dict[tuple[Place, str], str]:
    """For each place that waits, and kind of call there, whether its copies go to the device or to the host.

    A Synchronize call waits for a copy made at the same place; where these go both ways nothing is said of it.
    """
    trace, operators = stages.trace, stages.operators
    copies = trace.events.category[trace.work.row] == Category.MEMCPY
    calls, ways = stages.launches.work_call[copies], trace.work.direction[copies]
    waits = np.isin(calls, stages.syncs.blocking)
    around = np.setdiff1d(operators.parent[stages.syncs.blocking], [-1])
    near = np.flatnonzero((calls >= 0) & (waits | np.isin(operators.parent[calls], around)))
    found: dict[tuple[Place, str], Counter[str]] = {}
    for place, at in zip(stages.places.of(calls[near]), near.tolist(), strict=True):
        for kind in ("synchronize", "copy") if waits[at] else ("synchronize",):
            found.setdefault((place, kind), Counter())[Direction(int(ways[at])).name] += 1
    return {key: _most(seen) for key, seen in found.items() if len(seen) == 1 or key[1] == "copy"}


def _most(counted: Counter[str]) -> str:
    """The most frequent; among equals the first in order of text."""
    return min(counted, key=lambda name: (-counted[name], name))


def _direction(site: Site, directions: dict[tuple[Place, str], str]) -> str | None:
    if site.kind == "synchronize" and site.waited_way in (Direction.HtoD, Direction.DtoH):
        return site.waited_way.name
    return directions.get((site.place, site.kind))


def _python_causes(stages: Stages) -> dict[Place, str]:
    """For each place that waits what Python called there, by most of its calls, where the trace holds frames."""
    trace, rows = stages.trace, stages.syncs.blocking
    kinds = {
        name: kind
        for name in set(trace.events.name[trace.origins.python_row].tolist())
        for kind, pattern in _FRAMES.items()
        if pattern.match(trace.strings[name])
    }
    frames = trace.origins.python_row[np.isin(trace.events.name[trace.origins.python_row], list(kinds))]
    if not len(frames) or not len(rows):
        return {}
    ranges = nest(trace, frames)
    counts: dict[Place, Counter[str]] = {}
    for place, position in zip(stages.places.of(rows), ranges.at(trace, rows).tolist(), strict=True):
        if position >= 0:
            kind = kinds[int(ranges.labels[position])]
            counts.setdefault(place, Counter())[kind] += 1
    return {place: _most(seen) for place, seen in counts.items()}
