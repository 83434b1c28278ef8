"""Every dialect of the format becomes the same columns."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from stallscope.traces.model.fields import CallKind, Category, Direction, KernelFamily, Memory
from stallscope.traces.model.trace import Device, Thread, Trace
from stallscope.traces.read.read import read
from tests.builders import TraceBuilder
from tests.traces.plain import plain, rows


def trace_of(tmp_path: Path, document: Any) -> Trace:
    """Write ``document`` as JSON and read it."""
    path = tmp_path / "trace.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return read(path)


def issues(trace: Trace) -> dict[str, int]:
    """The issues of ``trace`` by name, without the one that most tiny traces have."""
    return {issue.name: issue.count for issue in trace.issues if issue.name != "no_steps"}


def event(**fields: Any) -> dict[str, Any]:
    """A complete event with every field that the test does not give."""
    return {"ph": "X", "cat": "cpu_op", "name": "a", "pid": 1, "tid": 1, "ts": 1, "dur": 1, "args": {}} | fields


def test_a_trace_becomes_columns():
    """A step, an operator, a launch, its kernel and a wait become five rows in order of time."""
    trace = (
        TraceBuilder()
        .sync(30, 115)
        .op("aten::mm", 10, 50.25)
        .launch(20, 5, kernel=("gemm", 40, 100))
        .step(0, 1000)
        .trace()
    )
    assert rows(trace) == [
        ("ANNOTATION", "ProfilerStep#0", 0, 1_000_000),
        ("CPU_OP", "aten::mm", 10_000, 50_250),
        ("RUNTIME", "cudaLaunchKernel", 20_000, 5_000),
        ("RUNTIME", "cudaDeviceSynchronize", 30_000, 115_000),
        ("KERNEL", "gemm", 40_000, 100_000),
    ]
    assert plain(trace.events.correlation) == {"values": [0, 0, 2, 1, 2], "known": [False, False, True, True, True]}
    assert trace.issues == ()


def test_rows_that_start_together_are_ordered():
    """Of rows that start together the longest comes first, then category, then name, then thread."""
    trace = TraceBuilder().op("b", 0, 5).op("a", 0, 5).annotation("z", 0, 5).op("outer", 0, 9).trace()
    assert [name for _, name, _, _ in rows(trace)] == ["outer", "a", "b", "z"]


def test_device_work_carries_its_columns():
    """Kernels have a grid and an occupancy, copies have bytes; what a row does not say is missing, not 0."""
    trace = (
        TraceBuilder()
        .launch(0, 1, kernel=("gemm", 5, 10), stream=20, device=3)
        .memcpy(2, 1, copy=("Memcpy DtoH (Device -> Pageable)", 20, 2), nbytes=616)
        .trace()
    )
    assert plain(trace.work) == {
        "row": [2, 3],
        "device": [3, 0],
        "stream": [20, 7],
        "bytes": {"values": [0, 616], "known": [False, True]},
        "blocks": {"values": [128, 0], "known": [True, False]},
        "blocks_per_sm": [0.97, None],
        "occupancy_percent": [6.0, None],
        "direction": [Direction.unknown, Direction.DtoH],
        "memory": [Memory.unknown, Memory.pageable],
        "family": [KernelFamily.PRODUCT, KernelFamily.OTHER],
    }


def test_names_of_calls_and_device_rows_become_kinds():
    """A call, its driver call and the row of a wait have kinds; an operator of the same name has none."""
    builder = TraceBuilder().op("cudaLaunchKernel", 0, 9).launch(1, 1, kernel=("ncclDevKernel_AllReduce", 10, 5))
    builder.memcpy(3, 1, copy=("Memcpy HtoD (Pinned -> Device)", 20, 2)).call("cuLaunchKernel", 5, 1, cat="cuda_driver")
    builder.complete("cuda_sync", "Stream Wait Event", 7, 1, pid=0, tid=7)
    trace = builder.trace()
    kinds = {trace.name_of(row): CallKind(kind).name for row, kind in enumerate(trace.events.call_kind) if kind}
    assert kinds == {
        "cudaLaunchKernel": "KERNEL_LAUNCH", "cudaMemcpyAsync": "COPY_ASYNC", "cuLaunchKernel": "KERNEL_LAUNCH",
        "Stream Wait Event": "STREAM_WAIT",
    }  # fmt: skip
    assert trace.events.calls(CallKind.KERNEL_LAUNCH).tolist() == [1, 3]
    assert trace.events.calls(CallKind.STREAM_WAIT).tolist() == []
    work = trace.work
    assert (work.direction.tolist(), work.memory.tolist()) == ([0, Direction.HtoD], [0, Memory.pinned])
    assert work.family.tolist() == [KernelFamily.COLLECTIVE, KernelFamily.OTHER]


def test_memory_samples():
    """``[memory]`` instants become samples in order of time, the host told from the device."""
    trace = TraceBuilder().op("a", 0, 1).memory(9, 300, 400).memory(4, 100, 200, device=None).trace()
    assert plain(trace.memory) == {
        "ts_ns": [4_000, 9_000],
        "on_device": [False, True],
        "device": [0, 0],
        "allocated_bytes": {"values": [100, 300], "known": [True, True]},
        "reserved_bytes": {"values": [200, 400], "known": [True, True]},
        "address": {"values": [1, 1], "known": [True, True]},
        "bytes": {"values": [512, 512], "known": [True, True]},
    }


def test_memory_samples_written_as_complete_events():
    """Torch's Python exporter writes ``[memory]`` as complete events with a made-up duration: still samples."""
    args = {"Total Allocated": 7, "Total Reserved": 8, "Device Type": 1, "Device Id": 0, "finished": False}
    trace = TraceBuilder().op("a", 0, 1).complete("cpu_instant_event", "[memory]", 3, 99, **args).trace()
    assert trace.memory.allocated_bytes.values.tolist() == [7]
    assert rows(trace) == [("CPU_OP", "a", 0, 1_000)]
    assert issues(trace) == {}


def test_the_marks_of_an_attribution_window_are_annotations():
    """`stallscope.…` is never an operator, whatever its category; names that only look alike are what they were."""
    builder = TraceBuilder().op("stallscope.site#3", 1, 9).annotation("stallscope.module#0", 2, 5)
    builder.op("stallscope", 3, 1).op("stallscope/x", 4, 1).op("aten::mm", 5, 1)
    builder.complete("gpu_user_annotation", "stallscope.site#3", 6, 1, pid=0, tid=7)
    trace = builder.trace()
    found = [(trace.name_of(i), Category(c)) for i, c in enumerate(trace.events.category.tolist())]
    assert found == [
        ("stallscope.site#3", Category.ANNOTATION),
        ("stallscope.module#0", Category.ANNOTATION),
        ("stallscope", Category.CPU_OP),
        ("stallscope/x", Category.CPU_OP),
        ("aten::mm", Category.CPU_OP),
        ("stallscope.site#3", Category.DEVICE_ANNOTATION),
    ]


def test_the_2021_dialect(tmp_path: Path):
    """Categories, thread ids as text, streams in tids and steps among the operators: all as in later files."""
    trace = trace_of(
        tmp_path,
        {
            "schemaVersion": 1,
            "traceEvents": [
                event(cat="Operator", name="ProfilerStep#3", tid="25738", ts=100, dur=50),
                event(cat="Operator", name="enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", ts=101),
                event(cat="Operator", name="Optimizer.step#SGD.step", ts=102),
                event(cat="Operator", name="Optimizer.zero_grad#SGD.zero_grad", ts=103),
                event(cat="Operator", name="aten::mm", tid="25738", ts=104),
                event(cat="Runtime", name="cudaLaunchKernel", tid="25738", ts=105, args={"correlation": 9}),
                event(cat="Kernel", name="gemm", pid=0, tid="stream 7", ts=106, args={"correlation": 9, "device": 0}),
                event(cat="Memcpy", name="copy", pid=0, tid="stream 7", ts=107, args={"bytes": 4, "stream": 7}),
                event(cat="Memset", name="set", pid=0, tid="stream 22", ts=108),
                {"ph": "i", "name": "[memory]", "pid": 1, "tid": 1, "ts": 109, "s": "t", "args": {"Device Type": 0}},
            ],
        },
    )
    kinds = [category for category, _, _, _ in rows(trace)]
    assert kinds == [*["ANNOTATION"] * 4, "CPU_OP", "RUNTIME", "KERNEL", "MEMCPY", "MEMSET"]
    assert trace.work.stream.tolist() == [7, 7, 22]
    assert trace.vendor == "cuda"
    assert trace.memory.allocated_bytes.known.tolist() == [False]


def test_rocm_spellings(tmp_path: Path):
    """Streams as ``"0x0"`` and sizes as text, also among plain ones, are read as the numbers they are."""
    trace = trace_of(
        tmp_path,
        [
            event(cat="cuda_runtime", name="hipMemcpyWithStream", args={"stream": "0x0", "bytes": "616"}),
            event(cat="gpu_memcpy", name="CopyHostToDevice", ts=2, args={"stream": "0x3", "bytes": "616", "device": 2}),
            event(cat="kernel", name="gemm", ts=3, args={"stream": 1, "device": 2, "grid": [4, 1, 1]}),
        ],
    )
    assert trace.vendor == "rocm"
    assert trace.work.stream.tolist() == [3, 1]
    assert trace.work.bytes.values.tolist() == [616, 0]


def test_fields_of_unexpected_types_are_settled_one_by_one(tmp_path: Path):
    """A null correlation, a tid that is a number in a string, times as strings: read; what cannot be is missing."""
    trace = trace_of(
        tmp_path,
        [
            event(cat="kernel", name="k", ts="5.5", dur="2", args={"correlation": None, "device": "1", "stream": 3.0}),
            event(name="b", ts=1, args={"correlation": "12", "stream": [1]}),
            event(name="c", ts=2, args=None, tid=None),
            event(name="d", ts=3, args={"correlation": 2**63}),
            event(name="e", ts=4, args={"correlation": 18446744073709551615}),
        ],
    )
    assert [rows(trace)[0], rows(trace)[-1]] == [("CPU_OP", "b", 1_000, 1_000), ("KERNEL", "k", 5_500, 2_000)]
    assert trace.events.correlation.known.tolist() == [True, False, False, False, False]
    assert trace.work.device.tolist() == [1]


def test_numbers_that_no_machine_has_are_missing():
    """Ids, sizes and grids beyond 64 bits, as damaged files hold them, neither stop the reading nor wrap around."""
    huge = 2**64 - 1
    args = {"device": huge, "stream": 7, "bytes": huge, "grid": [2**40, 2**40, 1], "correlation": huge}
    trace = TraceBuilder().complete("kernel", "k", 0, 1, pid=2, **args).memory(3, huge, 5).trace()
    assert plain(trace.work.bytes) == {"values": [0], "known": [False]}
    assert plain(trace.work.blocks) == {"values": [0], "known": [False]}
    assert trace.work.device.tolist() == [2]  # the pid of device rows is the ordinal too
    assert trace.events.correlation.known.tolist() == [False]
    assert trace.memory.allocated_bytes.known.tolist() == [False]


def test_threads_have_names():
    """A thread is its pid and tid as text; the name is that of its metadata event, None where there is none."""
    trace = TraceBuilder().op("a", 0, 1, tid=7).op("b", 0, 1, tid="8").thread_name(7, "thread 7 (python)").trace()
    assert trace.threads == (Thread("4242", "7", "thread 7 (python)"), Thread("4242", "8", None))
    assert trace.events.thread.tolist() == [0, 1]


def test_a_tid_as_text_is_the_same_thread():
    """2021 files write one thread as 25738 here and "25738" there."""
    trace = TraceBuilder().op("a", 0, 1, tid=25738).op("b", 5, 1, tid="25738").trace()
    assert trace.threads == (Thread("4242", "25738", None),)


def test_the_keys_beside_the_events():
    """Devices, rank, base time, flags and other scalar keys are kept, floats as they are written."""
    trace = (
        TraceBuilder(rank=3, world_size=8)
        .op("a", 0, 1)
        .key(record_shapes=1, with_stack=1, roctracer_version=4.1, host_name="node", simulated=True, INFO=["x"])
        .trace()
    )
    assert trace.devices == (Device(0, "NVIDIA H100 80GB HBM3", 85018279936, 132, "9.0"),)
    assert (trace.rank, trace.world_size, trace.base_time_ns) == (3, 8, 1_767_189_312_000_000_000)
    assert trace.recorded == {"record_shapes", "with_stack"}
    assert trace.metadata == {"roctracer_version": "4.1", "host_name": "node", "simulated": "true"}


@pytest.mark.parametrize(
    ("builder", "vendor"),
    [
        (TraceBuilder().op("a", 0, 1), "cpu"),  # a GPU in the machine, none in the run
        (TraceBuilder().launch(0, 1), "cuda"),
        (TraceBuilder(gpu="AMD Instinct MI300X").launch(0, 1, name="hipLaunchKernel"), "rocm"),
        (TraceBuilder(gpu="AMD Instinct MI300X").kernel(("gemm", 0, 1)), "rocm"),
        (TraceBuilder(gpu=None).kernel(("gemm", 0, 1)), "cuda"),
        (TraceBuilder().complete("mtia_runtime", "synchronize", 0, 1), "mtia"),
        (TraceBuilder().complete("xpu_runtime", "urEnqueueKernelLaunch", 0, 1), "xpu"),
    ],
)
def test_vendor(builder: TraceBuilder, vendor: str):
    """The vendor is that of the recorded calls, then of the device; without either the run was on the CPU."""
    assert vendor == builder.trace().vendor


def layouts() -> dict[str, str]:
    """One trace in every layout that writers use."""
    builder = TraceBuilder().step(0, 100).launch(5, 2, kernel=("gemm", 9, 50)).key(traceName="a, {b} ]}")
    after = json.loads(builder.json())
    before = {**builder.keys, "traceEvents": builder.events}
    one_per_line = "[\n" + ",\n".join(json.dumps(e) for e in builder.events) + "\n]"
    return {
        "one line": json.dumps(before),
        "indented": json.dumps(before, indent=2),
        "compact": json.dumps(before, separators=(",", ":")),
        "keys after": json.dumps({"traceEvents": after.pop("traceEvents"), **after}, indent=1),
        "one event a line": json.dumps(before).replace(json.dumps(builder.events), one_per_line),
        "byte order mark": "\ufeff" + json.dumps(before),
        "spaces around": "  \n" + json.dumps(before) + "\n\n ",
        "keys of events reversed": json.dumps(
            {**before, "traceEvents": [dict(reversed(e.items())) for e in before["traceEvents"]]}
        ),
    }


@pytest.mark.parametrize("layout", layouts())
@pytest.mark.parametrize("block_bytes", [1, 100, 1 << 20])
def test_layout_does_not_show(tmp_path: Path, layout: str, block_bytes: int):
    """The same events in any layout, cut anywhere, give the same trace."""
    path = tmp_path / "trace.json"
    path.write_text(layouts()[layout], encoding="utf-8")
    (tmp_path / "plain.json").write_text(layouts()["one line"], encoding="utf-8")
    assert plain(read(tmp_path / "plain.json")) == plain(read(path, block_bytes=block_bytes))


def test_a_list_is_a_trace(tmp_path: Path):
    """A bare list of events, as other tools write it, is read as traceEvents."""
    assert rows(trace_of(tmp_path, [event()])) == [("CPU_OP", "a", 1_000, 1_000)]


@pytest.mark.parametrize("block_bytes", [50, 1 << 20])
def test_objects_in_lists_are_no_place_to_cut(tmp_path: Path, block_bytes: int):
    """Lists of objects inside args look like the border of two events, and must not be taken for one."""
    args = {"frames": [{"name": "f", "ts": 1}, {"name": "g", "ts": 2}], "text": '}, {"name": "x"}]}'}
    path = TraceBuilder().op("a", 0, 9, **args).op("b", 1, 2, **args).op("c", 3, 2).write(tmp_path)
    trace = read(path, block_bytes=block_bytes)
    assert [name for _, name, _, _ in rows(trace)] == ["a", "b", "c"]
    assert trace.event_count == 3


@pytest.mark.parametrize("block_bytes", [50, 1 << 20])
def test_objects_in_lists_after_the_events(tmp_path: Path, block_bytes: int):
    """Device properties behind the events are no events, however the file is cut."""
    devices = [{"id": i, "name": f"GPU {i}"} for i in range(8)]
    trace_file = tmp_path / "trace.json"
    trace_file.write_text(json.dumps({"traceEvents": [event(), event(ts=2)], "deviceProperties": devices}))
    trace = read(trace_file, block_bytes=block_bytes)
    assert (len(trace.events), len(trace.devices)) == (2, 8)


def test_another_traceevents_inside(tmp_path: Path):
    """A nested key that is called traceEvents too is not the one."""
    document = {"meta": {"traceEvents": [event(name="wrong")]}, "traceEvents": [event(name="right")]}
    assert [name for _, name, _, _ in rows(trace_of(tmp_path, document))] == ["right"]


def test_gzip_is_told_by_its_bytes(tmp_path: Path):
    """Compressed, compressed in several members, padded, or not compressed under a .gz name: the same trace."""
    text = TraceBuilder().op("a", 0, 1).op("b", 2, 1).json().encode()
    forms = {
        "a.json.gz": gzip.compress(text),
        "b.json": gzip.compress(text),
        "c.json.gz": gzip.compress(text[:100]) + gzip.compress(text[100:]),
        "d.json.gz": gzip.compress(text) + b"\0" * 512,
        "e.json.gz": text,
    }
    for name, data in forms.items():
        (tmp_path / name).write_bytes(data)
        assert rows(read(tmp_path / name)) == [("CPU_OP", "a", 0, 1_000), ("CPU_OP", "b", 2_000, 1_000)], name


# -- defects that are counted -----------------------------------------------------------------------------------------


def test_a_negative_duration_counts_as_zero():
    """A negative duration is clamped to 0 and told as lost data."""
    trace = TraceBuilder().op("a", 5, -3).trace()
    assert rows(trace) == [("CPU_OP", "a", 5_000, 0)]
    assert issues(trace) == {"negative_duration": 1}


def test_malformed_events_are_counted(tmp_path: Path):
    """What cannot be an event is left out and counted; the others are kept."""
    bad = [7, None, {}, {"name": "no phase"}, event(ts=None), event(name=5), {"ph": "X", "name": "no times"}]
    trace = trace_of(tmp_path, {"traceEvents": [event(), *bad]})
    assert rows(trace) == [("CPU_OP", "a", 1_000, 1_000)]
    assert issues(trace) == {"malformed_event": 7}
    assert trace.event_count == 8


def test_unfinished_events_are_counted():
    """Events that the recorder closed at its own end are kept and counted."""
    assert issues(TraceBuilder().op("a", 0, 9, finished=False).op("b", 1, 1).trace()) == {"unfinished_event": 1}


def test_begin_and_end_events_are_counted(tmp_path: Path):
    """Durations in two halves are not read, and that is said."""
    halves = [{"ph": "B", "name": "x", "ts": 1}, {"ph": "E", "name": "x", "ts": 2}]
    assert issues(trace_of(tmp_path, [event(), *halves])) == {"unpaired_phase": 2}


def test_unknown_categories_are_counted():
    """An unknown category is counted by name and in no figure; known ones without a figure are no defect."""
    trace = TraceBuilder().complete("new_thing", "x", 0, 1).complete("Trace", "PyTorch Profiler (0)", 0, 9).trace()
    assert issues(trace) == {"unknown_category": 1}
    assert trace.unknown_categories == {"new_thing": 1}
    assert [category for category, _, _, _ in rows(trace)] == ["OTHER", "OTHER"]


def test_device_work_without_a_launch_is_counted():
    """A kernel that was launched before the recording began is kept and told."""
    trace = TraceBuilder().launch(0, 1, kernel=("a", 5, 1)).kernel(("b", 2, 1)).trace()
    assert issues(trace) == {"launched_before_recording": 1}


def test_a_trace_without_steps_is_told():
    """Without a ProfilerStep on the host that is said; a device annotation of a step is none."""
    builder = TraceBuilder().op("a", 0, 1).complete("gpu_user_annotation", "ProfilerStep#1", 0, 1)
    assert [issue.name for issue in builder.trace().issues] == ["no_steps"]
    assert builder.step(0, 9).trace().issues == ()


def test_kernels_that_differ_in_their_shape_only_keep_one_order():
    """Two rows of one graph launch that agree in time, name and id come out in one order, however written."""
    small, large = ({"correlation": 1, "device": 0, "stream": 7, "grid": [n, 1, 1]} for n in (2, 9))
    found = [
        TraceBuilder().complete("kernel", "k", 0, 1, **a).complete("kernel", "k", 0, 1, **b).trace().work.blocks.values
        for a, b in ((small, large), (large, small))
    ]
    assert [blocks.tolist() for blocks in found] == [[2, 9], [2, 9]]
