"""Where rows come from: sequence numbers, Python frames, call stacks."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from stallscope.traces.read.read import read
from tests.builders import TraceBuilder
from tests.real import every_real_trace, real
from tests.reference import load


def test_sequence_numbers_join_forward_and_backward():
    """An operator with sequence number 5 on thread 1, its backward node naming thread 1; -1 is no number."""
    builder = TraceBuilder().op("aten::relu", 10, 5, **{"Sequence number": 5, "Fwd thread id": 0})
    builder.op("ReluBackward0", 30, 5, tid=2, **{"Sequence number": 5, "Fwd thread id": 1})
    builder.op("aten::empty", 20, 5, **{"Sequence number": -1, "Fwd thread id": 0})
    trace = builder.trace()
    assert [trace.name_of(row) for row in trace.origins.autograd_row.tolist()] == ["aten::relu", "ReluBackward0"]
    assert (trace.origins.sequence.tolist(), trace.origins.forward_thread.tolist()) == ([5, 5], [0, 1])


def test_python_frames_form_a_tree_by_id():
    """Frame 2 is called by frame 1, which nothing recorded called; rows follow time, whatever the file's order."""
    frame = {"cat": "python_function", "pid": 1, "tid": 1, "ph": "X"}
    inner = frame | {"name": "nn.Module: Linear_0", "ts": 5, "dur": 1, "args": {"Python id": 2, "Python parent id": 1}}
    outer = frame | {"name": "a.py(3): f", "ts": 1, "dur": 9, "args": {"Python id": 1, "Python parent id": None}}
    origins = TraceBuilder().event(**inner).event(**outer).trace().origins
    assert origins.python_id.values.tolist() == [1, 2]
    assert (origins.python_parent.known.tolist(), origins.python_parent.values.tolist()) == ([False, True], [0, 1])


def test_call_stacks_are_kept_once_each():
    """Three operators, two of one stack; Meta's builds write an empty text where they know none."""
    builder = TraceBuilder()
    for start, stack in ((1, "b.py(2): g"), (2, "a.py(1): f"), (3, ""), (4, "b.py(2): g")):
        builder.op("aten::mm", start, 1, **{"Call stack": stack})
    origins = builder.trace().origins
    assert origins.stacks == ("a.py(1): f", "b.py(2): g")
    assert (origins.stack_row.tolist(), origins.stack.tolist()) == ([0, 1, 3], [1, 0, 1])


def test_the_stream_of_a_wait_is_kept():
    """Rows of cuda_sync name the stream they wait for; a row without one says nothing."""
    builder = TraceBuilder()
    for start, args in ((1, {"stream": 7}), (2, {"stream": -1}), (3, {}), (4, {"stream": "0x0"})):
        builder.complete("cuda_sync", "Stream Sync", start, 1, pid=0, tid=7, **args)
    origins = builder.trace().origins
    assert (origins.sync_row.tolist(), origins.sync_stream.tolist()) == ([0, 1, 3], [7, -1, 0])


def test_where_the_event_of_a_wait_was_recorded_is_kept():
    """Event waits name the stream and the call that recorded their event; -1 where that came before the recording."""
    builder = TraceBuilder()
    told = {"wait_on_stream": 20, "wait_on_cuda_event_id": 3, "wait_on_cuda_event_record_corr_id": 55}
    early = {"wait_on_stream": 7, "wait_on_cuda_event_record_corr_id": -1}
    for start, args in ((1, {"stream": -1, **told}), (2, {"stream": 7}), (3, early), (4, {"wait_on_stream": 7})):
        builder.complete("cuda_sync", "Event Sync", start, 1, pid=0, tid=-1, **args)
    origins = builder.trace().origins
    assert origins.event_row.tolist() == [0, 2]
    assert (origins.event_stream.tolist(), origins.event_recorded.tolist()) == ([20, 7], [55, -1])


def test_a_number_beyond_64_bits_loses_only_itself(tmp_path):
    """One id that fits no column: its row says nothing of its origin, every other row stays once."""
    builder = TraceBuilder().op("a", 1, 1, **{"Sequence number": 7})
    builder.op("b", 2, 1, **{"Sequence number": 2**64 - 1}).complete(
        "python_function", "f", 3, 1, **{"Python id": 2**63}
    )
    trace = read(builder.write(tmp_path))
    assert len(trace.events) == 3
    assert trace.origins.sequence.tolist() == [7]
    assert trace.origins.python_id.known.tolist() == [False]


@every_real_trace
def test_origins_of_real_traces_are_those_of_plain_json(path):
    """Counts and sums of every column; and each fwdbwd flow says no more than the sequence numbers at its ends."""
    events = load(path)["traceEvents"]
    rows = [event for event in events if event.get("ph") == "X"]
    origins = real(path).trace.origins
    assert told(rows, "Sequence number") == (len(origins.sequence), sum(origins.sequence.tolist()))
    assert told(rows, "Python id") == (len(origins.python_row), sum(origins.python_id.values.tolist()))
    assert told(rows, "Python parent id") == (
        int(origins.python_parent.known.sum()), sum(origins.python_parent.values.tolist()),
    )  # fmt: skip
    stacks = [row["args"]["Call stack"] for row in rows if row.get("args", {}).get("Call stack")]
    lengths = np.array([0, *map(len, origins.stacks)])
    assert (len(stacks), sum(map(len, stacks))) == (len(origins.stack_row), int(lengths[origins.stack + 1].sum()))
    assert flows_that_sequence_numbers_do_not_tell(events, rows) == []


def told(rows: list[dict[str, Any]], key: str) -> tuple[int, int]:
    """How many rows carry an integer argument, and its sum; negative sequence numbers are none."""
    found = [int(row["args"][key]) for row in rows if row.get("args", {}).get(key) is not None]
    found = [number for number in found if number >= 0]
    return len(found), sum(found)


def flows_that_sequence_numbers_do_not_tell(events: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    """Ids of fwdbwd flows without a forward and a backward row of one sequence number at their ends."""
    at: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if "Sequence number" in row.get("args", {}):
            at.setdefault((str(row["tid"]), row["ts"]), set()).add(row["args"]["Sequence number"])
    ends: dict[str, list[set[str]]] = {}
    for event in events:
        if event.get("cat") == "fwdbwd" and event["ph"] in "sf":
            ends.setdefault(json.dumps(event["id"]), []).append(at.get((str(event["tid"]), event["ts"]), set()))
    return [flow for flow, sets in ends.items() if len(sets) != 2 or not sets[0] & sets[1]]
