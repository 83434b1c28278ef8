"""A trace whose rows are moved in time: what a clock that runs apart from the other asks for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stallscope.traces.model.trace import Events, Ints, Origins, Trace


def shifted(trace: Trace, by_ns: Ints) -> Trace:
    """The trace with each event moved by so many ns, shape (n,); its rows are in the order of ``Events`` again."""
    moved = replace(trace.events, ts_ns=trace.events.ts_ns + by_ns)
    order = _order(moved)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    row = place[trace.work.row]
    work = replace(trace.work, row=row).of(np.argsort(row, kind="stable"))
    return replace(trace, events=moved.of(order), work=work, origins=_renumbered(trace.origins, place))


def _order(events: Events) -> Ints:
    """The rows by start, the longer first; strings and threads are numbered in the order of their text."""
    return np.lexsort((events.thread, events.name, events.category, -events.dur_ns, events.ts_ns))


def _renumbered(origins: Origins, place: Ints) -> Origins:
    python, autograd = place[origins.python_row], place[origins.autograd_row]
    stack, sync, event = place[origins.stack_row], place[origins.sync_row], place[origins.event_row]
    by_python, by_autograd = np.argsort(python), np.argsort(autograd)
    by_stack, by_sync, by_event = np.argsort(stack), np.argsort(sync), np.argsort(event)
    shape = place[origins.shape_row]
    by_shape = np.argsort(shape)
    return Origins(
        python[by_python],
        origins.python_id.of(by_python),
        origins.python_parent.of(by_python),
        autograd[by_autograd],
        origins.sequence[by_autograd],
        origins.forward_thread[by_autograd],
        stack[by_stack],
        origins.stack[by_stack],
        origins.stacks,
        sync[by_sync],
        origins.sync_stream[by_sync],
        event[by_event],
        origins.event_stream[by_event],
        origins.event_recorded[by_event],
        shape[by_shape],
        origins.shape[by_shape],
        origins.shapes,
    )
