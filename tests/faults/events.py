"""Rows C: the events."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tests.builders import TraceBuilder
from tests.faults.case import Case, case
from tests.faults.seed import KERNELS, START, STEPS, changed, training

ALL = ("*",)
HOST = ("steps", "per_step.kernel_launches", "per_step.sync_calls", "per_step.sync_call_us")
GPU = ("per_step.gpu_busy_us", "per_step.kernel_us", "per_step.kernels")
LAUNCHES = KERNELS * STEPS
DEVICE = ("kernel", "gpu_memcpy")

Event = dict[str, Any]


def only(cat: str, keep: Callable[[int], bool]) -> TraceBuilder:
    """The training, of one category only the events whose number passes the test."""
    builder, number, kept = training(), -1, []
    for event in builder.events:
        number += event.get("cat") == cat
        if event.get("cat") != cat or keep(number):
            kept.append(event)
    builder.events = kept
    return builder


def each(cat: str | None, change: Callable[[Event], None]) -> TraceBuilder:
    """The training with ``change`` done to each event of a category."""
    return changed(training(), change, cat=cat)


def some(cat: str, change: Callable[[Event], None], count: int = 1) -> TraceBuilder:
    """The training with ``change`` done to the first ``count`` events of a category."""
    builder = training()
    for event in [event for event in builder.events if event.get("cat") == cat][:count]:
        change(event)
    return builder


def args(**values: Any) -> Callable[[Event], None]:
    """A change that sets arguments; ``None`` takes them away."""

    def change(event: Event) -> None:
        event["args"] = {k: v for k, v in {**event["args"], **values}.items() if v is not None}

    return change


def fields(**values: Any) -> Callable[[Event], None]:
    """A change that sets fields of the event itself; ``...`` takes them away."""

    def change(event: Event) -> None:
        event.update(values)
        for key in [key for key, value in event.items() if value is ...]:
            del event[key]

    return change


def plus(*events: Any) -> dict[str, Any]:
    """The training with entries behind its events, as JSON values."""
    builder = training()
    return {**builder.keys, "traceEvents": [*builder.events, *events]}


def values(builder: TraceBuilder) -> dict[str, Any]:
    """A builder whose events the Kineto writer could not spell, as JSON values."""
    return builder.document()


def doubled() -> TraceBuilder:
    """Every event twice, as in a file that was merged with itself."""
    builder = training()
    builder.events += copy.deepcopy(builder.events)
    return builder


def shifted(us: float, cats: tuple[str, ...] = DEVICE) -> TraceBuilder:
    """The training with its device rows moved in time."""
    return each(None, lambda event: event.update(ts=event["ts"] + us * (event["cat"] in cats)))


def event(name: str, start: float, duration: float, **more: Any) -> Event:
    """An operator somewhere in the training."""
    times = {"ts": START + start, "dur": duration}
    return {"ph": "X", "cat": "cpu_op", "name": name, "pid": 4242, "tid": 4242, "args": {}, **times, **more}


def graphs() -> TraceBuilder:
    """A step with a graph launch that runs 40 equal kernels, and a capture of 40 launches before it."""
    builder = TraceBuilder().step(START, 5000.0).op("aten::mm", START + 1, 9.0)
    builder.launch(START + 2, 3.0, kernel=("warm", START + 8, 20.0))
    builder.call("cudaStreamBeginCapture", START + 100, 1.0)
    for i in range(40):
        builder.launch(START + 110 + 5 * i, 3.0)
    builder.call("cudaStreamEndCapture", START + 400, 1.0)
    rows = [("mul", START + 600 + 10 * i, 8.0) for i in range(40)]
    return builder.graph_launch(START + 500, 20.0, rows).graph_launch(
        START + 550, 20.0, [("mul", START + 600, 8.0)] * 2
    )


def cases() -> list[Case]:
    """Every case of these rows."""
    return [
        case("C1", "numbers among the events", "degraded", plus(7, None, "x", [1]), "malformed_event", unchanged=ALL),
        case("C1", "empty last event", "degraded", plus({}), "malformed_event", unchanged=ALL),
        case(
            "C2",
            "times as text",
            "ok",
            values(each(None, lambda e: e.update(ts=f"{e['ts']:.3f}", dur=f"{e['dur']:.3f}"))),
            unchanged=ALL,
        ),
        case("C2", "no start", "degraded", values(some("kernel", fields(ts=...))), "malformed_event"),
        case("C2", "no name", "degraded", values(some("cpu_op", fields(name=...))), "malformed_event", unchanged=HOST),
        case("C2", "no phase", "degraded", values(some("cpu_op", fields(ph=...))), "malformed_event", unchanged=HOST),
        case("C2", "no args", "ok", values(each("cpu_op", fields(args=...))), unchanged=ALL),
        case("C2", "args a list", "ok", values(each("cpu_op", fields(args=[1]))), unchanged=ALL),
        case(
            "C2",
            "metadata without ts",
            "ok",
            plus({"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "x"}}),
            unchanged=ALL,
        ),
        case(
            "C2",
            "no pid and tid",
            "degraded",
            values(each("cpu_op", fields(pid=..., tid=...))),
            "thread_without_ops",
            unchanged=(*HOST, *GPU),
        ),
        case(
            "C2",
            "ids as text",
            "ok",
            values(
                each(
                    None,
                    lambda e: args(
                        **{k: str(v) for k, v in e["args"].items() if k in ("correlation", "stream", "device")}
                    )(e),
                )
            ),
            unchanged=ALL,
        ),
        case(
            "C3",
            "negative duration",
            "degraded",
            some("kernel", fields(dur=-5.0), 2),
            "negative_duration",
            unchanged=HOST,
        ),
        case(
            "C3",
            "least integer as duration",
            "degraded",
            values(some("kernel", fields(dur=-(2**31)), 2)),
            "negative_duration",
            unchanged=HOST,
        ),
        case("C4", "zero durations", "ok", values(each("cpu_op", fields(dur=0))), unchanged=(*HOST, *GPU)),
        case(
            "C5", "duration of weeks", "degraded", some("kernel", fields(dur=3e12)), "implausible_time", unchanged=HOST
        ),
        case(
            "C5",
            "start at 0 of half the device rows",
            "degraded",
            some("kernel", fields(ts=0.0), LAUNCHES // 2),
            "implausible_time",
            unchanged=HOST,
            withheld=(*GPU, "per_step.gpu_idle_us", "breakdown_us.kernel", "kernels", "memcpy"),
            kinds=frozenset({"unknown", "refused"}),
        ),
        case(
            "C5",
            "start at 0 of one device row",
            "degraded",
            some("kernel", fields(ts=0.0)),
            "implausible_time",
            unchanged=HOST,
        ),
        case(
            "C5",
            "starts far in the future",
            "degraded",
            some("cpu_op", fields(ts=9e15), 3),
            "implausible_time",
            unchanged=(*HOST, *GPU),
        ),
        case(
            "C5",
            "start beyond 64 bits",
            "degraded",
            values(some("cpu_op", fields(ts=1e300))),
            "malformed_event",
            unchanged=(*HOST, *GPU),
        ),
        case(
            "C6",
            "unfinished operators",
            "ok",
            some("cpu_op", args(finished=False), 3),
            "unfinished_event",
            unchanged=ALL,
        ),
        case("C7", "operators overlap", "degraded", plus(event("late", 100, 100)), "overlap", unchanged=(*HOST, *GPU)),
        case(
            "C7",
            "operators overlap by rounding",
            "ok",
            plus(event("outer", 10, 20), event("inner", 20, 10.25)),
            unchanged=(*HOST, *GPU),
        ),
        case(
            "C8",
            "kernels overlap on a stream",
            "degraded",
            each("kernel", lambda e: e.update(dur=e["dur"] + 60)),
            "stream_overlap",
            unchanged=HOST,
        ),
        case(
            "C8",
            "kernels overlap a little",
            "ok",
            some("kernel", lambda e: e.update(dur=e["dur"] + 31)),
            unchanged=HOST,
        ),
        case("C9", "every event twice", "degraded", doubled(), "duplicate_event", unchanged=ALL),
        case(
            "C9",
            "every call twice",
            "degraded",
            plus(*(e for e in training().events if e.get("cat") == "cuda_runtime")),
            "duplicate_event",
            unchanged=ALL,
        ),
        case("C9", "equal kernels of a graph", "ok", graphs()),
        case(
            "C9",
            "operators that look alike",
            "ok",
            plus(event("aten::empty", 990, 0.0), event("aten::empty", 990, 0.0)),
        ),
        case(
            "C10",
            "launches of the first step missing",
            "degraded",
            only("cuda_runtime", lambda i: i >= KERNELS),
            "launched_before_recording",
            unchanged=GPU,
        ),
        case(
            "C11",
            "kernels of the last step missing",
            "degraded",
            only("kernel", lambda i: i < LAUNCHES - KERNELS),
            "gpu_records_lost",
            unchanged=HOST,
            withheld=("per_step.gpu_idle_us",),
            kinds=frozenset({"refused"}),
        ),
        case(
            "C11",
            "kernels of the first step missing",
            "degraded",
            only("kernel", lambda i: i >= KERNELS),
            "gpu_records_lost",
            unchanged=HOST,
            withheld=("per_step.gpu_idle_us",),
            kinds=frozenset({"refused"}),
        ),
        case(
            "C11", "one kernel missing", "info", only("kernel", lambda i: i != 9), "launch_without_work", unchanged=HOST
        ),
        case(
            "C11",
            "every third kernel missing",
            "degraded",
            only("kernel", lambda i: i % 3 != 1),
            "launch_without_work",
            unchanged=HOST,
            withheld=GPU,
        ),
        case("C11", "launches while a graph is captured", "ok", graphs()),
        case(
            "C12",
            "no kernels",
            "degraded",
            _without_device(),
            "no_gpu_records",
            unchanged=HOST,
            withheld=(*GPU, "kernels", "memcpy"),
            kinds=frozenset({"unknown"}),
        ),
        case(
            "C13",
            "no correlations",
            "degraded",
            each(None, args(correlation=None)),
            "no_correlation",
            unchanged=(*HOST, *GPU),
        ),
        case(
            "C13",
            "one correlation for all",
            "degraded",
            each(None, lambda e: args(correlation=1)(e) if "correlation" in e["args"] else None),
            "correlation_reused",
            unchanged=(*HOST, *GPU),
        ),
        case("C13", "correlations of a second file", "degraded", _two_files(), "correlation_reused"),
        case(
            "C14",
            "External id names another operator",
            "ok",
            each("cuda_runtime", args(**{"External id": 3})),
            unchanged=ALL,
        ),
        case("C15", "kernels 200 us before their launch", "degraded", shifted(-200.0), "clock_offset", unchanged=HOST),
        case("C15", "kernels 5 us before their launch", "ok", shifted(-15.0), unchanged=HOST),
        case(
            "C16",
            "clock of the device drifts",
            "ok",
            each("kernel", lambda e: e.update(ts=e["ts"] + (e["ts"] - START) * 1e-3)),
            unchanged=HOST,
        ),
        case("C16", "another base time", "ok", training().key(baseTimeNanoseconds=1), unchanged=ALL),
        case(
            "C17",
            "Python frames at process 0",
            "ok",
            plus(event("f.py(1): f", 20, 900, cat="python_function", pid=0, tid=0)),
            unchanged=(*HOST, *GPU),
        ),
        case(
            "C18",
            "launches on a thread without operators",
            "degraded",
            some("cuda_runtime", fields(tid=99), 9),
            "thread_without_ops",
            unchanged=(*HOST, *GPU),
        ),
        case(
            "C19",
            "some events of an unknown category",
            "info",
            plus(event("x", 30, 1, cat="new_in_2027")),
            "unknown_category",
            unchanged=ALL,
        ),
        case(
            "C19",
            "many events of an unknown category",
            "degraded",
            plus(*(event("x", 30 + i, 1, cat="new_in_2027") for i in range(60))),
            "unknown_category",
            unchanged=ALL,
        ),
        case(
            "C19",
            "unknown phases",
            "ok",
            plus({"ph": "N", "name": "x", "ts": START}, {"ph": "D", "name": "x", "ts": START}),
            unchanged=ALL,
        ),
        case(
            "C19",
            "begin and end events",
            "degraded",
            plus({"ph": "B", "name": "x", "ts": START}, {"ph": "E", "ts": START}),
            "unpaired_phase",
            unchanged=ALL,
        ),
        case(
            "C19",
            "calls named INVALID",
            "ok",
            each("cuda_runtime", lambda e: e.update(name="INVALID") if e["name"] == "cudaMemcpyAsync" else None),
            unchanged=("steps", "per_step.kernel_launches", *GPU),
        ),
        case(
            "C20",
            "flow ends without a beginning",
            "ok",
            plus(
                *(
                    {"ph": "f", "id": i, "cat": "ac2g", "name": "ac2g", "pid": 1, "tid": 1, "ts": START, "bp": "e"}
                    for i in range(50)
                )
            ),
            unchanged=ALL,
        ),
    ]


def _without_device() -> TraceBuilder:
    builder = training()
    builder.events = [e for e in builder.events if e.get("cat") not in DEVICE]
    return builder


def _two_files() -> TraceBuilder:
    """Two recordings in one list: each numbers its correlations from 1."""
    first, second = training(), training(start=START + 1000.0 * STEPS)
    first.events += second.events
    return first
