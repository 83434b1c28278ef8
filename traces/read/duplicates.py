"""Exact copies of events, as files that were merged hold them: suspected in the columns, proven in the text.

Many events of a good file agree in name, start, duration and thread, so that proves nothing: a copy agrees in all
fields, args included, and has an id that is told once in a recording. The kernels of one graph launch share their id
and are never taken for copies.
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

from stallscope.traces.model.fields import DEVICE_WORK, CallKind, Category
from stallscope.traces.model.trace import Bools
from stallscope.traces.read.columns import Columns
from stallscope.traces.text import decimals, times

SUSPICIOUS_SHARE = 0.01  # of the operators look like another: nested ones of one name do so by chance
IDS = ("correlation", "External id", "external id", "Record function id", "Ev Idx", "Python id")

_EVENTS = msgspec.json.Decoder(list[msgspec.Raw])
_EVENT = msgspec.json.Decoder(float_hook=decimals.decimal)
_ENCODE = msgspec.json.Encoder(decimal_format="number", order="sorted")


class Copies:
    """Leaves out the second and later copies of events; ``count`` says how many."""

    def __init__(self, starts_ns: frozenset[int], graph_launches: frozenset[int]) -> None:
        self.count = 0
        self._starts = starts_ns
        self._graphs = graph_launches
        self._seen: set[bytes] = set()

    def removed_from(self, data: bytes) -> bytes:
        """The JSON array of events ``data`` without copies of what was met before."""
        kept = [bytes(raw) for raw in _EVENTS.decode(data) if not self._is_copy(raw)]
        return b"[" + b",".join(kept) + b"]"

    def _is_copy(self, raw: msgspec.Raw) -> bool:
        try:
            event = _EVENT.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):  # bad text in a field that nothing reads
            return False
        if not self._suspect(event):
            return False
        digest = blake2b(_ENCODE.encode(event), digest_size=16).digest()
        if digest not in self._seen:
            self._seen.add(digest)
            return False
        self.count += 1
        return True

    def _suspect(self, event: Any) -> bool:
        if not isinstance(event, dict) or event.get("ph") != "X":
            return False
        ts, args = event.get("ts"), event.get("args")
        if not isinstance(ts, int | Decimal) or not times.fits(Decimal(ts)) or not isinstance(args, dict):
            return False
        told = [args[key] for key in IDS if isinstance(args.get(key), int | str)]
        correlation = args.get("correlation")  # of any type
        of_graph = isinstance(correlation, int) and correlation in self._graphs
        return bool(told) and times.from_decimal(Decimal(ts)) in self._starts and not of_graph


def suspected(columns: Columns) -> Copies | None:
    """What to look for in the text; None: nothing points to copies."""
    events = columns.events
    same = _alike(columns)
    known = events.correlation.known
    graphs = events.calls(CallKind.GRAPH_LAUNCH)
    graph_ids = events.correlation.values[graphs[known[graphs]]]
    alike = np.flatnonzero(same & known)
    of_graph = np.isin(events.category[alike], DEVICE_WORK) & np.isin(events.correlation.values[alike], graph_ids)
    operators = events.category == Category.CPU_OP
    many = (same & operators).sum() > SUSPICIOUS_SHARE * max(1, operators.sum())
    if of_graph.all() and not many:
        return None
    return Copies(frozenset(events.ts_ns[same].tolist()), frozenset(graph_ids.tolist()))


def _alike(columns: Columns) -> Bools:
    """Which rows that take time agree with the row before in every column of the events."""
    events = columns.events
    same = np.zeros(len(events), np.bool_)
    keys = (events.ts_ns, events.dur_ns, events.category, events.name, events.thread, events.correlation.values)
    same[1:] = np.logical_and.reduce([key[1:] == key[:-1] for key in keys]) & (events.dur_ns[1:] > 0)
    return same
