"""Relations that hold on any trace: order, layout, compression and block size never show."""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stallscope.traces.model.trace import Trace
from stallscope.traces.read.read import read
from tests.examples import examples
from tests.traces.plain import plain

NAMES = st.sampled_from(["aten::mm", "ProfilerStep#1", "cudaLaunchKernel", "gemm", '}, {"name": "', "µ☃"])
TIMES = st.integers(0, 9) | st.floats(0, 1e7).map(lambda us: round(us, 3))
THREADS = st.sampled_from([1, 2, "2", "stream 7"])


@st.composite
def complete_events(draw) -> dict[str, Any]:
    """A complete event as some writer of some year makes it; many collide in every column."""
    args = {
        "correlation": st.integers(0, 3),
        "device": st.integers(0, 1),
        "stream": st.sampled_from([7, 20, "0x0"]),
        "bytes": st.sampled_from([4, "616"]),
        "grid": st.just([2, 3, 4]),
        "est. achieved occupancy %": st.integers(0, 100),
        "Sequence number": st.integers(-1, 2),
        "Fwd thread id": st.integers(0, 1),
        "Python id": st.integers(0, 2),
        "Python parent id": st.none() | st.integers(0, 2),
        "Call stack": st.sampled_from(["", "a.py(1): f", "b.py(2): g;a.py(1): f"]),
        "stack": st.just([{"name": "f", "ts": 1}, {"name": "g"}]),
    }
    return {
        "ph": "X",
        "cat": draw(
            st.sampled_from(["cpu_op", "Operator", "python_function", "kernel", "gpu_memcpy", "cuda_runtime", "new"])
        ),
        "name": draw(NAMES),
        "pid": draw(st.integers(0, 1)),
        "tid": draw(THREADS),
        "ts": draw(TIMES),
        "dur": draw(TIMES),
        "args": draw(st.fixed_dictionaries({}, optional=args)),
    }


@st.composite
def other_events(draw) -> dict[str, Any]:
    """An event of another phase: a flow, a memory sample, a thread's name."""
    where = {"pid": draw(st.integers(0, 1)), "tid": draw(THREADS), "ts": draw(TIMES)}
    totals = {"Total Allocated": draw(st.integers(0, 5)), "Device Type": 1, "Device Id": 0}
    return draw(
        st.sampled_from(
            [
                {"ph": "s", "id": 1, "cat": "ac2g", "name": "ac2g", **where},
                {"ph": "i", "cat": "cpu_instant_event", "name": "[memory]", "s": "t", "args": totals, **where},
                {"ph": "M", "name": "thread_name", "args": {"name": draw(NAMES)}, **where},
            ]
        )
    )


EVENTS = st.builds(
    list.__add__, st.lists(complete_events(), min_size=1, max_size=20), st.lists(other_events(), max_size=8)
)


def read_text(text: str, *, packed: bool = False, block_bytes: int = 1 << 20) -> Trace:
    """Write ``text`` to a file and read it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        return read(path, block_bytes=block_bytes)


@examples(60)
@given(EVENTS, st.randoms(use_true_random=False))
def test_the_order_of_the_events_never_shows(events: list[dict[str, Any]], shuffler: random.Random):
    """Shuffling the events of a file changes nothing."""
    shuffled = shuffler.sample(events, len(events))
    assert plain(read_text(json.dumps({"traceEvents": events}))) == plain(
        read_text(json.dumps({"traceEvents": shuffled}))
    )


@examples(60)
@given(EVENTS, st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 2000))
def test_layout_never_shows(events: list[dict[str, Any]], indent: int | None, packed: bool, block_bytes: int):
    """Re-indenting, compressing and cutting a file elsewhere change nothing."""
    keys = {"deviceProperties": [{"id": 0, "name": "NVIDIA"}, {"id": 1, "name": "NVIDIA"}], "traceName": "]}"}
    before, after = {**keys, "traceEvents": events}, {"traceEvents": events, **keys}
    found = read_text(json.dumps(after, indent=indent, ensure_ascii=False), packed=packed, block_bytes=block_bytes)
    assert plain(read_text(json.dumps(before))) == plain(found)


@examples(40)
@given(EVENTS, st.lists(st.none() | st.integers() | st.just({}) | st.just({"ph": "X"}), max_size=5))
def test_every_entry_is_accounted_for(events: list[dict[str, Any]], rubbish: list[Any]):
    """Rows, other phases and malformed entries add up to the entries of the file."""
    trace = read_text(json.dumps([*rubbish, *events]))
    found = {issue.name: issue.count for issue in trace.issues}
    malformed, copies = found.get("malformed_event", 0), found.get("duplicate_event", 0)
    assert len(rubbish) == malformed
    assert len(rubbish) + len(events) == trace.event_count
    assert sum(event["ph"] == "X" for event in events) == len(trace.events) + copies
