"""Trace: what a Kineto Chrome trace says, as columns. Integer nanoseconds, interned strings, no sentinels.

Everything the format spells in several ways (categories, argument keys, units, ids as text, missing fields) has
been settled by ``read.py`` before a ``Trace`` exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stallscope.traces.model import interop
from stallscope.traces.model.categories import categories
from stallscope.traces.model.fields import CALLS, CallKind, Category, Vendor
from stallscope.traces.model.issues import TraceIssue

ROUNDING_NS = 1_000  # files until 2024 hold whole µs, later ones doubles: a range may seem to end that much too late

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OptionalInts:
    """An int64 column in which values may be missing: ``values[i]`` means something only where ``known[i]``."""

    values: Ints  # (n,), 0 where not known
    known: Bools  # (n,)

    def of(self, chosen: Ints | Bools) -> OptionalInts:
        """Those of the values."""
        return OptionalInts(self.values[chosen], self.known[chosen])


@dataclass(frozen=True, slots=True)
class Thread:
    """One row of threads: the (pid, tid) pair of the file, with tid normalised to text, and its name if told."""

    pid: str
    tid: str
    name: str | None


@dataclass(frozen=True, slots=True)
class Events:
    """Every complete event (``ph: X``), n rows, ordered by (ts_ns, -dur_ns, category, name text, thread).

    ``name`` indexes ``Trace.strings``, ``thread`` indexes ``Trace.threads``. ``correlation`` pairs a runtime or
    driver call with the device work it caused (one call may have caused many, as graph launches do).

    ``trace.events.ts_ns`` is a column of all events; ``trace.events(category="kernel").ts_ns`` of the kernels alone.
    """

    ts_ns: Ints  # (n,) start; same zero as the file's own ts
    dur_ns: Ints  # (n,) >= 0
    category: NDArray[np.uint8]  # (n,) of Category
    call_kind: NDArray[np.uint8]  # (n,) of CallKind; cuda_sync rows have that of their call
    name: NDArray[np.int32]  # (n,)
    thread: NDArray[np.int32]  # (n,)
    correlation: OptionalInts  # (n,)

    @property
    def end_ns(self) -> Ints:
        """End of each event, ``ts_ns + dur_ns``, shape (n,)."""
        return self.ts_ns + self.dur_ns

    def rows(self, *categories: Category) -> Ints:
        """Indices, ascending, of the events in any of ``categories``."""
        return np.flatnonzero(_any_of(categories)[self.category])

    def calls(self, *kinds: CallKind) -> Ints:
        """Indices, ascending, of the runtime and driver calls of any of ``kinds``."""
        rows = self.rows(*CALLS)
        return rows[self.is_call(rows, *kinds)]

    def is_call(self, rows: Ints, *kinds: CallKind) -> Bools:
        """Which of ``rows`` (indices of events, -1 for none) are of any of ``kinds``, shape of ``rows``."""
        found: Bools = (rows >= 0) & _any_of(kinds)[self.call_kind[rows]]
        return found

    def __call__(self, *, category: str | Category) -> Events:
        """The events of one category: ``"kernel"``, ``"memcpy"``, ``"cpu_op"``, …, or as traces spell it.

        The rows of the result are numbered anew: ``trace.work.row`` and other row numbers do not index it.

        Raises:
            BadInput: no category has that name.

        """
        return self.of(self.rows(*categories(category)))

    def of(self, chosen: Ints | Bools) -> Events:
        """Those of the events, numbered anew."""
        return Events(
            self.ts_ns[chosen],
            self.dur_ns[chosen],
            self.category[chosen],
            self.call_kind[chosen],
            self.name[chosen],
            self.thread[chosen],
            self.correlation.of(chosen),
        )

    def __len__(self) -> int:
        return len(self.ts_ns)


@dataclass(frozen=True, slots=True)
class DeviceWork:
    """The kernel, memcpy and memset rows, m of them, with what only they carry. ``row`` indexes ``Events``."""

    row: Ints  # (m,) ascending
    device: NDArray[np.int32]  # (m,) ordinal as the file gives it (ROCm counts agents)
    stream: Ints  # (m,) per-device stream id
    bytes: OptionalInts  # (m,) memcpy and memset size
    blocks: OptionalInts  # (m,) blocks in the grid (x*y*z), kernels only
    blocks_per_sm: Floats  # (m,) nan where not told
    occupancy_percent: Floats  # (m,) "est. achieved occupancy %", nan where not told
    direction: NDArray[np.uint8]  # (m,) of Direction: which way a copy goes
    memory: NDArray[np.uint8]  # (m,) of Memory: of the host, that a copy reads or writes
    family: NDArray[np.uint8]  # (m,) of KernelFamily

    def of(self, chosen: Ints | Bools) -> DeviceWork:
        """Those of the device rows."""
        return DeviceWork(
            self.row[chosen],
            self.device[chosen],
            self.stream[chosen],
            self.bytes.of(chosen),
            self.blocks.of(chosen),
            self.blocks_per_sm[chosen],
            self.occupancy_percent[chosen],
            self.direction[chosen],
            self.memory[chosen],
            self.family[chosen],
        )

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class MemorySamples:
    """The ``[memory]`` instants, k of them, ordered by time: allocator state after each allocation or free."""

    ts_ns: Ints  # (k,)
    on_device: Bools  # (k,) False: host memory
    device: NDArray[np.int32]  # (k,) ordinal, 0 for the host
    allocated_bytes: OptionalInts  # (k,) total allocated
    reserved_bytes: OptionalInts  # (k,) total reserved
    bytes: OptionalInts  # (k,) that were allocated; negative: freed
    address: OptionalInts  # (k,) of the block

    def __len__(self) -> int:
        return len(self.ts_ns)


@dataclass(frozen=True, slots=True)
class Origins:
    """What rows say of where they come from. Only rows that say it are listed, each group by ascending row."""

    python_row: Ints  # (p,) Python frames, and module calls (``nn.Module: Linear_3``)
    python_id: OptionalInts  # (p,) the frame's own number in the file
    python_parent: OptionalInts  # (p,) the number of the frame that called it, which may not be in the file
    autograd_row: Ints  # (a,) operators with a sequence number: forward ones, and backward nodes
    sequence: Ints  # (a,) joins a backward node to its forward operator
    forward_thread: Ints  # (a,) 0: a forward operator; else the row is backward, of an operator of that thread
    stack_row: Ints  # (s,) operators with the Python call stack as text
    stack: Ints  # (s,) index into ``stacks``
    stacks: tuple[str, ...]  # as in the file: ``path(line): function;path(line): function``, caller last
    sync_row: Ints  # (y,) cuda_sync rows that say which stream was waited for
    sync_stream: Ints  # (y,) as the file gives it: -1, or 4294967295 in 2023, for a whole device or an event
    event_row: Ints  # (v,) cuda_sync rows, of waits for an event, that say where it was recorded
    event_stream: Ints  # (v,) the stream it was recorded on
    event_recorded: Ints  # (v,) correlation of the call that recorded it; -1, told by the file: before the recording
    shape_row: Ints  # (h,) operators of ``fields.WITH_SHAPES`` that tell the sizes of their tensors
    shape: Ints  # (h,) index into ``shapes``
    shapes: tuple[str, ...]  # JSON: ``[sizes, values, types]`` of the inputs, each [] where not told


@dataclass(frozen=True, slots=True)
class Device:
    """One entry of the file's ``deviceProperties``; what it does not say is None."""

    ordinal: int
    name: str
    total_memory_bytes: int | None
    sms: int | None
    compute_capability: str | None  # "9.0"; ROCm and others: None


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace file, read. Immutable; analysis functions take it and return values.

    The columns, each a numpy array (of those marked *optional* an ``OptionalInts``: values and where they are known):

    | column | dtype | unit, meaning |
    |---|---|---|
    | ``events.ts_ns`` | int64 | ns, start; the zero is the file's own (``base_time_ns`` tells its wall clock) |
    | ``events.dur_ns`` | int64 | ns, duration, never negative |
    | ``events.end_ns`` | int64 | ns, end |
    | ``events.category`` | uint8 | a ``Category`` |
    | ``events.call_kind`` | uint8 | a ``CallKind``: what a runtime or driver call does |
    | ``events.name`` | int32 | index into ``strings`` |
    | ``events.thread`` | int32 | index into ``threads`` |
    | ``events.correlation`` | int64, optional | joins a runtime or driver call with its device work |
    | ``work.row`` | int64 | the kernels, copies and memsets: indices into the events |
    | ``work.device`` | int32 | ordinal |
    | ``work.stream`` | int64 | stream id, per device |
    | ``work.bytes`` | int64, optional | bytes copied or set |
    | ``work.blocks`` | int64, optional | blocks in a kernel's grid |
    | ``work.blocks_per_sm`` | float64 | blocks per SM, nan where not told |
    | ``work.occupancy_percent`` | float64 | percent, nan where not told |
    | ``work.direction`` | uint8 | a ``Direction``: which way a copy goes |
    | ``work.memory`` | uint8 | a ``Memory``: of the host, that a copy reads or writes |
    | ``work.family`` | uint8 | a ``KernelFamily`` |
    | ``memory.ts_ns`` | int64 | ns, of each allocator sample |
    | ``memory.on_device`` | bool | False: host memory |
    | ``memory.device`` | int32 | ordinal |
    | ``memory.allocated_bytes`` | int64, optional | bytes |
    | ``memory.reserved_bytes`` | int64, optional | bytes |
    | ``memory.bytes`` | int64, optional | bytes allocated, negative: freed |
    | ``memory.address`` | int64, optional | of the block |

    ``origins`` holds what some rows say of where they come from; see ``Origins``.
    """

    path: str  # as the user named it
    vendor: Vendor
    events: Events
    work: DeviceWork
    memory: MemorySamples
    origins: Origins
    strings: tuple[str, ...]
    threads: tuple[Thread, ...]
    devices: tuple[Device, ...]
    rank: int | None
    world_size: int | None
    base_time_ns: int | None  # wall clock of ts 0, ns since the epoch
    event_count: int  # entries of traceEvents in the file, of any phase
    recorded: frozenset[str]  # of record_shapes, with_stack, with_modules, with_flops, profile_memory
    metadata: Mapping[str, str]  # other scalar top-level keys (host_name, trace_id, versions, simulated …)
    unknown_categories: Mapping[str, int]
    issues: tuple[TraceIssue, ...]

    def name_of(self, row: int) -> str:
        """The name of event ``row``."""
        return self.strings[int(self.events.name[row])]

    def name_mask(self, accept: frozenset[int]) -> Bools:
        """Which events have a name whose string index is in ``accept``, shape (n,)."""
        wanted = np.zeros(max(1, len(self.strings)), dtype=np.bool_)
        wanted[list(accept)] = True
        return wanted[self.events.name]

    def to_pandas(self) -> Any:
        """The events as a ``pandas.DataFrame``, one row each, in the order of ``events``.

        | column | dtype | unit, meaning |
        |---|---|---|
        | ``ts_ns``, ``dur_ns`` | int64 | ns |
        | ``category`` | category | ``"kernel"``, ``"cpu_op"``, … |
        | ``name``, ``pid``, ``tid`` | category | text |
        | ``correlation`` | Int64, may be missing | joins a call with its device work |
        | ``device``, ``stream`` | Int64, missing on the host's rows | |
        | ``bytes`` | Int64, may be missing | bytes copied or set |

        Raises:
            BadInput: pandas is not installed.

        """
        return interop.to_pandas(self._table())

    def to_polars(self) -> Any:
        """The events as a ``polars.DataFrame``: the columns of ``to_pandas`` (Categorical, Int64 with nulls).

        Raises:
            BadInput: polars is not installed.

        """
        return interop.to_polars(self._table())

    def _table(self) -> dict[str, interop.Column]:
        """By name an array of all events, a masked one where values may be missing, or (codes, their texts)."""
        events, work, size = self.events, self.work, len(self.events)
        kinds = tuple(category.name.lower() for category in Category)
        everywhere = np.ones(len(work), dtype=np.bool_)
        return {
            "ts_ns": events.ts_ns,
            "dur_ns": events.dur_ns,
            "category": (events.category.astype(np.int64), kinds),
            "name": (events.name.astype(np.int64), self.strings),
            "pid": _texts([thread.pid for thread in self.threads], events.thread),
            "tid": _texts([thread.tid for thread in self.threads], events.thread),
            "correlation": np.ma.MaskedArray(events.correlation.values, ~events.correlation.known),
            "device": _spread(work.row, work.device, everywhere, size),
            "stream": _spread(work.row, work.stream, everywhere, size),
            "bytes": _spread(work.row, work.bytes.values, work.bytes.known, size),
        }


def _any_of(values: Iterable[int]) -> Bools:
    """A table for a column of small numbers: True at each of ``values``, shape (256,)."""
    wanted = np.zeros(256, dtype=np.bool_)
    wanted[list(values)] = True
    return wanted


def _texts(texts: list[str], index: NDArray[np.int32]) -> tuple[Ints, tuple[str, ...]]:
    """The distinct texts, and for each of ``index`` which one it has."""
    distinct = {text: place for place, text in enumerate(sorted(set(texts)))}
    places = np.array([distinct[text] for text in texts], np.int64)
    return places[index], tuple(distinct)


def _spread(rows: Ints, values: NDArray[Any], known: Bools, size: int) -> np.ma.MaskedArray[Any, Any]:
    """A column over all ``size`` events from one over the device rows."""
    spread, missing = np.zeros(size, np.int64), np.ones(size, np.bool_)
    spread[rows] = values
    missing[rows] = ~known
    return np.ma.MaskedArray(spread, missing)
