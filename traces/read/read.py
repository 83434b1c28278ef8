"""A trace file → ``Trace``: every spelling, unit and missing field of the format ends here.

stream.py    the file → columns, block by block
whole.py     a document that cannot be cut (an unusual layout), as a whole
envelope.py  the keys beside the events
defects.py   what is wrong with it
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from stallscope.traces.damaged.lenient import TooDeepError
from stallscope.traces.model.errors import BadInput
from stallscope.traces.model.trace import Trace
from stallscope.traces.read.columns import Columns
from stallscope.traces.read.defects import call_names, issues_of, unknown_categories
from stallscope.traces.read.duplicates import suspected
from stallscope.traces.read.envelope import envelope, vendor_of
from stallscope.traces.read.implausible import without_implausible
from stallscope.traces.read.stream import IrregularError, Stream
from stallscope.traces.read.whole import read_whole
from stallscope.traces.text.blocks import BLOCK_BYTES
from stallscope.traces.text.damage import Damage
from stallscope.traces.text.limits import DEFAULT, LONGEST_NAME, Limits, out_of_memory, too_deep


def read(path: str | Path, *, block_bytes: int = BLOCK_BYTES, limits: Limits = DEFAULT) -> Trace:
    """Read the trace file ``path`` (.json or gzip, told by its first bytes).

    Memory grows with the number of events, not with the size of the file: it is decoded ``block_bytes`` at a time.
    A damaged file is read as far as it can be; what is lost is among the issues of the trace.

    Raises:
        BadInput: it is no trace, or nothing of it can be read; the message names the file, the place and what to do.
        Refused: it is larger than ``limits`` allow.

    """
    path = Path(path)
    try:
        with _no_collections():
            columns, keys, damage = _columns(path, block_bytes, limits)
        if not len(columns.events):
            raise BadInput(f"{path}: {_nothing(columns, damage)}")
        return _trace(str(path), columns, keys, damage)
    except (TooDeepError, RecursionError) as error:
        raise too_deep(str(path), limits) from error
    except MemoryError as error:
        raise out_of_memory(str(path)) from error


def _columns(path: Path, block_bytes: int, limits: Limits) -> tuple[Columns, dict[str, Any], Damage]:
    """The columns, the keys beside the events, and what is wrong with the file."""
    damage = Damage()
    try:
        columns, keys = Stream(path, block_bytes, damage, limits).read()
        copies = suspected(columns)
        if copies is not None:  # rare: read again, and look at each event as a whole
            damage = Damage()
            columns, keys = Stream(path, block_bytes, damage, limits, copies).read()
            damage.note_some("duplicate_event", copies.count)
            columns.counts.total += copies.count
    except IrregularError:
        damage = Damage()
        columns, keys = read_whole(path, damage, limits)
    return columns, keys, damage


def _nothing(columns: Columns, damage: Damage) -> str:
    counts = columns.counts
    what = f"none of its {counts.total} entries is a complete event" if counts.total else "holds no events"
    if damage.counts:
        return f"{what} ({', '.join(sorted(damage.counts))}): the file is damaged; copy or record the trace again"
    recorded = "" if counts.total else ": nothing was recorded"
    return f"{what}{recorded}; record again and check that training ran while it was recorded"


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the garbage collector off: it would walk a million live events again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def shortened(columns: Columns) -> Columns:
    """The columns with names of at most ``LONGEST_NAME`` characters."""
    if all(len(name) <= LONGEST_NAME for name in columns.strings):
        return columns
    return replace(columns, strings=tuple(name[:LONGEST_NAME] for name in columns.strings))


def _trace(path: str, columns: Columns, keys: dict[str, Any], damage: Damage) -> Trace:
    columns, excluded = without_implausible(shortened(columns))
    said = envelope(keys)
    vendor = vendor_of(call_names(columns), columns.categories, said.devices, device_rows=len(columns.work) > 0)
    return Trace(
        path=path,
        vendor=vendor,
        events=columns.events,
        work=columns.work,
        memory=columns.memory,
        origins=columns.origins,
        strings=columns.strings,
        threads=columns.threads,
        devices=said.devices,
        rank=said.rank,
        world_size=said.world_size,
        base_time_ns=said.base_time_ns,
        event_count=columns.counts.total,
        recorded=said.recorded,
        metadata=said.metadata,
        unknown_categories=unknown_categories(columns.categories),
        issues=issues_of(columns, damage, excluded),
    )
