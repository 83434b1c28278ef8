"""A Trace as plain Python values, so that two can be compared with ``==``."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from stallscope.traces.model.fields import Category
from stallscope.traces.model.trace import Trace


def plain(value: Any) -> Any:
    """Dataclasses as dicts, arrays as lists with nan as None; the path is left out."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.name != "path"}
    if isinstance(value, np.ndarray):
        return [None if entry != entry else entry for entry in value.tolist()]  # noqa: PLR0124 - nan
    return [plain(entry) for entry in value] if isinstance(value, tuple) else value


def rows(trace: Trace) -> list[tuple[str, str, int, int]]:
    """(category, name, start ns, duration ns) of every event, in order."""
    events = trace.events
    return [
        (Category(category).name, trace.strings[name], ts, dur)
        for category, name, ts, dur in zip(
            events.category.tolist(), events.name.tolist(), events.ts_ns.tolist(), events.dur_ns.tolist(), strict=True
        )
    ]
