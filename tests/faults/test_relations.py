"""Relations that hold between the summaries of any trace and of a changed copy (metamorphic tests).

The traces are random, but sane: steps of random operators, launches of one or several streams and devices, copies,
waits, data loading. What is compared is the whole JSON summary but for path, health and verdict's words.
"""

from __future__ import annotations

import copy
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.summary import summarize
from stallscope.traces.model.errors import StallscopeError
from stallscope.traces.read.read import read
from tests.builders import TraceBuilder
from tests.examples import examples
from tests.faults.seed import START, kineto_text, training
from tests.faults.test_corpus import figures

Document = dict[str, Any]
EXAMPLES = examples(25)


@st.composite
def traces(draw: st.DrawFn) -> Document:
    """A sane trace as JSON values: times in whole ns, everything of a step inside the step."""
    builder = TraceBuilder()
    at = START
    ns = st.integers(1, 40_000).map(lambda value: value / 1000)
    for _ in range(draw(st.integers(0, 3))):
        begin = at
        if draw(st.booleans()):
            builder.dataloader(at + 1, duration := draw(ns))
            at += duration + 2
        for _ in range(draw(st.integers(0, 4))):
            at = _some_work(draw, builder, at, draw(ns))
        builder.step(begin, round(at - begin + 5, 3))
        at = round(at + 6, 3)
    builder.op("aten::tail", at, 3.0)
    return builder.document()


def _some_work(draw: st.DrawFn, builder: TraceBuilder, at: float, length: float) -> float:
    """One operator with what it does; when the next may begin."""
    kind = draw(st.sampled_from(["launch", "copy", "host", "graph"]))
    name = draw(st.sampled_from(["aten::mm", "aten::add", "aten::item"]))
    work = round(at + 6, 3), length
    builder.op(name, at, 20.0)
    if kind == "launch":
        device = draw(st.integers(0, 1))
        builder.launch(at + 1, 3.0, kernel=(draw(st.sampled_from(["gemm", "relu"])), *work), device=device, stream=7)
    elif kind == "copy":
        builder.memcpy(at + 1, 3.0, copy=("Memcpy DtoH (Device -> Pageable)", *work), nbytes=draw(st.integers(1, 999)))
        builder.sync(at + 5, round(length + 2, 3), name="cudaStreamSynchronize")
    elif kind == "graph":
        builder.graph_launch(at + 1, 3.0, [("a", *work), ("b", *work)])
    return round(at + max(21.0, length + 10), 3)


def summary_of(document: Document | bytes) -> Summary:
    """Write a document to a file and analyse it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return summarize(read(path))


def same(document: Document, changed: Document) -> None:
    """The two have the same summary but for the number of entries."""
    assert figures(summary_of(document)) == figures(summary_of(changed))


def without_moments(summary: Summary) -> dict[str, Any]:
    """The figures without where in time windows begin and end: moments of the trace's own clock."""
    plain = figures(summary)
    moments = [name for name in plain["steps"] if name.endswith(("_start_ns", "_end_ns"))]
    assert len(moments) == 4
    return plain | {"steps": {name: value for name, value in plain["steps"].items() if name not in moments}}


def mapped(document: Document, change: Callable[[dict[str, Any]], None]) -> Document:
    """A copy with ``change`` done to each event."""
    changed = copy.deepcopy(document)
    for event in changed["traceEvents"]:
        change(event)
    return changed


@EXAMPLES
@given(traces(), st.randoms(use_true_random=False))
def test_what_nobody_reads_changes_nothing(document: Document, chance: random.Random):
    """Unknown keys, unknown categories of no length, metadata and counters anywhere leave every figure as it was."""
    changed = mapped(document, lambda event: event.update(new_key=[{"ph": 1}], args={**event["args"], "New arg": 1.5}))
    extra = [
        {"ph": "M", "name": "process_labels", "pid": 3, "tid": 0, "ts": 0, "args": {"labels": "GPU 7"}},
        {"ph": "C", "name": "counter", "pid": "GPU 0 Counters", "ts": START, "args": {"x": 1}},
        {"ph": "s", "id": 5, "cat": "ac2g", "name": "ac2g", "pid": 1, "tid": 1, "ts": START},
    ]
    for event in extra:
        changed["traceEvents"].insert(chance.randrange(len(changed["traceEvents"]) + 1), event)
    same(document, changed | {"newTopLevelKey": {"a": [1, 2]}})


@EXAMPLES
@given(traces(), st.integers(1, 10**6))
def test_numbers_of_processes_threads_and_correlations_mean_nothing(document: Document, shift: int):
    """Renaming processes, threads and streams one to one, and renumbering correlations, changes no figure."""

    def change(event: dict[str, Any]) -> None:
        args = event["args"]
        if "stream" in args:
            event["tid"] = args["stream"] = args["stream"] + shift
        elif event["ph"] == "X":
            event["pid"], event["tid"] = event["pid"] + shift, f"t{event['tid']}"
        if "correlation" in args:
            args["correlation"] = 3 * args["correlation"] + shift

    before, after = (figures(summary_of(each)) for each in (document, mapped(document, change)))
    for summary in (before, after):
        for site in summary["sync_sites"] or []:
            site["thread"] = ""  # shown by its number
    assert before == after


@EXAMPLES
@given(traces(), st.integers(-(10**9), 10**9))
def test_when_it_was_recorded_means_nothing(document: Document, us: int):
    """Adding a constant to every time, and taking it off the base time, changes no figure and moves the window."""
    changed = mapped(document, lambda event: event.update(ts=event["ts"] + us))
    changed |= {"baseTimeNanoseconds": document["baseTimeNanoseconds"] - us * 1000}
    before, after = summary_of(document), summary_of(changed)
    assert without_moments(before) == without_moments(after)
    assert after.steps.window_start_ns - before.steps.window_start_ns == us * 1000


@EXAMPLES
@given(traces(), st.sampled_from([2, 4, 8]))
def test_twice_as_slow_is_twice_as_long(document: Document, factor: int):
    """Scaling all times scales every time and keeps every count (what is judged by a fixed cost of calls left out)."""

    def change(event: dict[str, Any]) -> None:
        event["ts"] = START + (event["ts"] - START) * factor
        event["dur"] = event["dur"] * factor

    before, after = (figures(summary_of(each)) for each in (document, mapped(document, change)))
    for name in ("kernel_launches", "kernels", "memcpys", "sync_calls"):
        assert after["per_step"][name] == before["per_step"][name]
    for name in ("kernel_us", "gpu_busy_us", "memcpy_us", "sync_call_us", "dataloader_us", "launch_call_us"):
        expected = before["per_step"][name]
        assert after["per_step"][name] == (None if expected is None else pytest.approx(expected * factor, abs=1e-2))
    assert after["steps"]["window_us"] == pytest.approx(before["steps"]["window_us"] * factor, abs=1e-2)


@EXAMPLES
@given(traces(), st.data())
def test_without_a_kernel_the_gpu_is_never_busier(document: Document, data: st.DataObject):
    """Taking one kernel out of a file never makes the GPU busier."""
    kernels = [event for event in document["traceEvents"] if event.get("cat") == "kernel"]
    if not kernels:
        return
    gone = data.draw(st.sampled_from(kernels))
    rest = [event for event in document["traceEvents"] if event is not gone]
    before, after = (summary_of({**document, "traceEvents": each}) for each in (document["traceEvents"], rest))
    if before.steps.source == "profiler_step" and None not in (before.per_step.gpu_busy_us, after.per_step.gpu_busy_us):
        devices = {each.device: each.gpu_busy_us for each in before.devices}
        assert all(each.gpu_busy_us <= devices[each.device] for each in after.devices)


@examples(150)
@given(st.integers(0, len(kineto_text(training(2)))), st.integers(0, 300), st.sampled_from([200, 3000, 1 << 20]))
def test_cut_anywhere_what_is_read_is_a_prefix(place: int, later: int, block_bytes: int):
    """Cut at any byte, reading fails in one of our sentences or gives the first rows; a later cut never gives fewer."""
    text = kineto_text(training(2)).encode()
    found = []
    for cut in (place, min(len(text), place + later), len(text)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            path.write_bytes(text[:cut])
            try:
                trace = read(path, block_bytes=block_bytes)
            except StallscopeError:
                found.append((0, 0, []))
                continue
        rows = sorted(zip(trace.events.ts_ns.tolist(), trace.events.dur_ns.tolist(), strict=True))
        found.append((len(rows), int(trace.events.end_ns.max()), rows))
    counts, reach, rows = zip(*found, strict=True)
    assert list(counts) == sorted(counts)
    assert list(reach) == sorted(reach)
    whole = copy.copy(rows[-1])
    for row in rows[0]:
        whole.remove(row)  # each row of the cut file is one of the whole file


@examples(60)
@given(traces(), st.binary(min_size=1, max_size=6), st.data())
def test_any_damage_ends_in_a_trace_or_a_sentence(document: Document, bad: bytes, data: st.DataObject):
    """Whatever bytes are put wherever, reading and analysing end in a summary or in one of our sentences."""
    text = json.dumps(document, indent=data.draw(st.sampled_from([None, 1]))).encode()
    place = data.draw(st.integers(0, len(text)))
    damaged = text[:place] + bad + text[place + data.draw(st.integers(0, 20)) :]
    try:
        summary = summary_of(damaged)
    except StallscopeError as error:
        said, grade = str(error), "ok"
    else:
        said, grade = "", summary.health.grade
    assert "\n" not in said
    assert grade in ("ok", "degraded")
