"""Modes and habits that hold the host up whatever the model does: left on for debugging, or never switched over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from stallscope.analysis.causes.case import Case, Claim
from stallscope.analysis.causes.starting import BARS
from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.intervals import Intervals
from stallscope.analysis.columns.rows import NameTest, matches, rows_named
from stallscope.analysis.replay.graph import Kind
from stallscope.analysis.stages.absent import ADVICE, TEXTS
from stallscope.analysis.stages.batches import held_ns
from stallscope.analysis.stages.captures import find_captures
from stallscope.analysis.units import count, microseconds, percent
from stallscope.traces.model.fields import CallKind, Category
from stallscope.traces.model.trace import Ints

MOST: Final = 0.5
PART: Final = 0.2
GPU_FIXES: Final = (
    *("compile_reduce_overhead", "cuda_graph", "larger_batch", "fused_optimizer", "foreach_optimizer"),
    *("pinned_memory", "record_every", "deferred_read", "fewer_launches"),
)
LONG_KERNEL_NS: Final = 50_000  # of which a launch that returns before the kernel's end did not wait for it
FEW_KERNELS: Final = 20  # of that length, from which launches can be judged
WAITED: Final = 0.8  # of these launches, from which launches block
HEAVY_NS: Final = 100_000  # an operator that takes that long by itself computes on the CPU
CHECKS: Final = 0.5  # of the nodes of the backward pass, from which each is checked

_is_heavy: Final = matches(
    re.compile(
        r"aten::(mkldnn\w*|mm|addmm|bmm|baddbmm|_?convolution\w*|conv\dd|thnn_conv2d|slow_conv\w*|native_batch_norm|"
        r"linear|matmul|_scaled_dot_product\w*|lstm|gru|mkldnn_rnn_layer|max_pool2d\w*|native_layer_norm|_softmax)$"
        r"|onednn::|mkldnn::"
    )
)
_is_compiling: Final = matches(
    re.compile(r".*\(dynamo_timed\)|_?compile\w*\.compile_inner|_compile\.compile_inner|.*compile_fx|OutputGraph\.")
)
_is_node: Final = matches(re.compile(r"autograd::engine::evaluate_function"))
_is_check: Final = matches(re.compile(r"aten::(isnan|_is_any_true|is_nonzero|item|any|_local_scalar_dense|eq|ne)$"))
_is_isnan: Final = matches(re.compile(r"aten::isnan$"))
_is_replica: Final = matches(
    re.compile(r"(Broadcast|Scatter|Gather|ReduceAddCoalesced|DataParallel\.)|torch::autograd::(Scatter|Gather)")
)


def find(case: Case) -> Iterator[Claim]:
    """Each of them where the trace shows it."""
    for rule in (_absent, _on_cpu, _recompiling, _blocking, _anomaly, _capture, _instantiated, _data_parallel, _wddm):
        yield from rule(case)


def _absent(case: Case) -> Iterator[Claim]:
    """The file lacks what would tell."""
    absent = case.facts.recording.absent
    if absent in ("nothing_recorded", "gpu_not_recorded"):
        title = "nothing was recorded" if absent == "nothing_recorded" else "the GPU's work was not recorded"
        yield case.claim(absent, title, evidence=TEXTS[absent], advice=ADVICE[absent])


def _rows(case: Case, accept: NameTest) -> Ints:
    """Operators and ranges of such names that begin in the window."""
    trace = case.trace
    rows = rows_named(trace, trace.events.rows(Category.CPU_OP, Category.ANNOTATION), accept)
    return rows[case.stages.window.holds(trace.events.ts_ns[rows])]


def _times(case: Case, rows: Ints) -> Intervals:
    return case.stages.window.cover(case.trace, rows)


def _gpu(case: Case) -> str | None:
    """The GPU that the machine has, by the file's own header or the manifest."""
    if case.trace.devices:
        return case.trace.devices[0].name
    machine = None if case.manifest is None else case.manifest.machine
    return machine.gpus[0].name if machine is not None and machine.gpus and machine.gpu_usable else None


def _on_cpu(case: Case) -> Iterator[Claim]:
    """Heavy operators that launch nothing, on a machine with a GPU."""
    gpu, operators, stages = _gpu(case), case.stages.operators, case.stages
    heavy = rows_named(case.trace, operators.rows, _is_heavy)
    own = operators.self_ns[np.isin(operators.rows, heavy)]
    heavy = operators.rows[np.isin(operators.rows, heavy)]
    if gpu is None or not len(heavy):
        return
    long = heavy[(own >= HEAVY_NS) & ~np.isin(heavy, _around(case, stages.launches.calls))]
    times = _times(case, long)
    share = intervals.total(times) / max(1, stages.window.length)
    if share < PART:
        return
    whole = not stages.launches.total or intervals.total(stages.activity.busy) < intervals.total(times) / 2
    names = {case.trace.name_of(row) for row in long.tolist()}
    us = stages.us(intervals.total(times))
    nodes = case.nodes_inside(times)
    yield case.claim(
        "model_on_cpu" if whole else "partly_on_cpu",
        "the model computes on the CPU" if whole else "a part of the model computes on the CPU",
        nodes=nodes if whole else nodes | case.with_launched(case.nodes_of(_beside(case, long))),
        cost_us=us,
        saves_us=us if case.graph is None else None,
        evidence=f"{percent(share)} of the time is in {', '.join(sorted(names)[:3])} on the CPU; "
        + (f"nothing of it ran on your {gpu}." if whole else f"your {gpu} does the rest."),
        where=_places(case, long),
        advice='Move model and data to the GPU: model.to("cuda") before the optimizer is made, and in the loop '
        'batch = batch.to("cuda").',
        bars=GPU_FIXES,
    )


def _beside(case: Case, heavy: Ints) -> Ints:
    """The calls that wait between the same two kernels' launches as such an operator: what it takes and gives back."""
    stages, events = case.stages, case.trace.events
    kernels = events.category[case.trace.work.row] == Category.KERNEL
    launched = np.unique(events.ts_ns[np.setdiff1d(stages.launches.work_call[kernels], [-1])])
    waits = stages.syncs.blocking
    waits = waits[np.isin(events.thread[waits], events.thread[heavy])]
    between = np.searchsorted(launched, events.ts_ns[heavy])
    return waits[np.isin(np.searchsorted(launched, events.ts_ns[waits]), between)]


def _around(case: Case, rows: Ints) -> Ints:
    """The operators around these rows, at any depth."""
    parent, found = case.stages.operators.parent, [np.zeros(0, dtype=np.int64)]
    while len(rows):
        rows = np.unique(parent[rows])
        rows = rows[rows >= 0]
        found.append(rows)
    return np.concatenate(found)


def _places(case: Case, rows: Ints) -> list[str]:
    told = [place.call_site or place.function or place.module for place in case.stages.places.of(rows[:1000])]
    return list(dict.fromkeys(name for name in told if name))[:3]


def _recompiling(case: Case) -> Iterator[Claim]:
    """Compiling in most of the steps."""
    rows, window = _rows(case, _is_compiling), case.stages.window
    if not len(rows):
        return
    step = np.searchsorted(window.step_starts, case.trace.events.ts_ns[rows], side="right") - 1
    steps = len(np.unique(step))
    times = _times(case, rows)
    us = case.stages.us(intervals.total(times))
    if window.from_steps and steps < max(2, MOST * window.count):
        return
    yield case.claim(
        "recompiling",
        "torch.compile compiles again and again",
        nodes=case.nodes_inside(times),
        cost_us=us,
        evidence=f"In {steps} of {window.count} steps code is compiled, {microseconds(us)} a step.",
        where=_places(case, rows),
        advice="Find the reason with TORCH_LOGS=recompiles; then keep shapes the same (pad), or say which sizes vary: "
        "torch._dynamo.mark_dynamic(x, 0), torch.compile(model, dynamic=True).",
        bars=("compile_reduce_overhead", "cuda_graph"),
    )


def _blocking(case: Case) -> Iterator[Claim]:
    """Launch calls that return only when their kernel has ended."""
    trace, launches, told = case.trace, case.stages.launches, _environment(case)
    kernels = np.flatnonzero((trace.events.category[trace.work.row] == Category.KERNEL) & (launches.work_call >= 0))
    rows, calls = trace.work.row[kernels], launches.work_call[kernels]
    long = trace.events.dur_ns[rows] >= LONG_KERNEL_NS
    waited = trace.events.end_ns[calls[long]] >= trace.events.end_ns[rows[long]]
    share = float(waited.mean()) if len(waited) else 0.0
    seen = long.sum() >= FEW_KERNELS and share >= WAITED
    if not seen and told is None:
        return
    graph = case.graph
    nodes = None if graph is None or not seen else graph.kind == Kind.LAUNCH
    cost = case.stages.us(intervals.total(launches.calls_cover)) if seen else None
    judged = f"{percent(share)} of {int(long.sum())} launches return only when their kernel has ended."
    yield case.claim(
        "launch_blocking",
        "every launch waits for its kernel",
        nodes=nodes,
        cost_us=cost,
        evidence=judged if seen else f"{told} is set in this run's environment.",
        advice="Unset CUDA_LAUNCH_BLOCKING (on AMD HIP_LAUNCH_BLOCKING, AMD_SERIALIZE_KERNEL): it is meant for "
        "finding errors.",
        bars=("compile_reduce_overhead", "cuda_graph"),
    )


def _environment(case: Case) -> str | None:
    """The variable that makes launches block, where the manifest says that it is set."""
    found = () if case.manifest is None else (*case.manifest.machine.findings, *case.manifest.findings)
    told = next((finding.text for finding in found if finding.name == "launch_blocking"), None)
    return None if told is None else told.split()[0]


def _anomaly(case: Case) -> Iterator[Claim]:
    """A check for nan after most nodes of the backward pass."""
    nodes, checks = _rows(case, _is_node), _rows(case, _is_isnan)
    if not len(nodes) or len(checks) < CHECKS * len(nodes):
        return
    backward = np.unique(case.trace.events.thread[nodes])
    rows = _rows(case, _is_check)
    rows = rows[np.isin(case.trace.events.thread[rows], backward)]
    times = _times(case, rows)
    us = case.stages.us(intervals.total(times))
    yield case.claim(
        "anomaly_mode",
        "anomaly detection checks every gradient",
        nodes=case.with_launched(case.nodes_inside(times, backward.tolist())),
        cost_us=us,
        evidence=f"{count(case.stages.per_step(len(checks)))} checks for nan a step in the backward pass, each read "
        f"back by the CPU: {microseconds(us)}.",
        advice="Turn it off: torch.autograd.set_detect_anomaly(False).",
        bars=("record_every", "deferred_read"),
    )


def _capture(case: Case) -> Iterator[Claim]:
    """A CUDA graph that is being captured, or made, in the window."""
    captures = find_captures(case.trace, case.stages.window)
    if not captures.dominate:
        return
    times = captures.times
    us = case.stages.us(intervals.total(times))
    yield case.claim(
        "graph_capture",
        "a graph is being captured: its kernels do not run yet",
        nodes=case.nodes_inside(times),
        cost_us=us,
        evidence=f"{captures.captured} of {captures.launches} launches are recorded into a graph, in "
        f"{microseconds(us)}; they start no kernel.",
        advice="This is set-up, done once. Record the replays that follow it.",
        bars=BARS,  # it takes place once
    )


def _instantiated(case: Case) -> Iterator[Claim]:
    """Graphs that are made anew in steady steps."""
    events, window = case.trace.events, case.stages.window
    rows = events.calls(CallKind.GRAPH_INSTANTIATE)
    rows = rows[window.holds(events.ts_ns[rows])]
    step = np.unique(np.searchsorted(window.step_starts, events.ts_ns[rows], side="right"))
    if not window.from_steps or len(step) < max(2, MOST * window.count):
        return
    us = case.stages.us(int(window.durations(case.trace, rows).sum()))
    yield case.claim(
        "graph_instantiated",
        "the graph is made anew in each step",
        nodes=case.nodes_of(rows),
        cost_us=us,
        evidence=f"Graphs are instantiated in {len(step)} of {window.count} steps, {microseconds(us)} a step.",
        advice="Keep shapes and addresses the same so that it can be replayed; with torch.compile call "
        "torch.compiler.cudagraph_mark_step_begin() before each step.",
    )


def _data_parallel(case: Case) -> Iterator[Claim]:
    """One process that copies its model to several GPUs in each step."""
    rows = _rows(case, _is_replica)
    names = {case.trace.name_of(row).split("#")[0] for row in rows.tolist()}
    gpus = len(case.stages.activity.devices)
    if gpus < 2 or len(names) < 2:  # noqa: PLR2004 - it scatters or broadcasts, and gathers, on several
        return
    times = _times(case, rows)
    us = max(case.stages.us(intervals.total(times)), _device_us(case, times))
    yield case.claim(
        "data_parallel",
        "nn.DataParallel copies the model to every GPU in each step",
        nodes=case.with_launched(case.nodes_inside(times)),
        cost_us=us,
        evidence=f"One process feeds {gpus} GPUs: {', '.join(sorted(names)[:4])} take {microseconds(us)} a step, and "
        "one Python process starts the work of all.",
        advice="Use one process a GPU: torch.nn.parallel.DistributedDataParallel, started by torchrun.",
        bars=("no_sync",),
    )


def _device_us(case: Case, times: Intervals) -> float:
    """How long the devices work, any of them, on what was launched in these times, µs a step."""
    trace, launches = case.trace, case.stages.launches
    started = (launches.work_call >= 0) & intervals.covers(times, trace.events.ts_ns[launches.work_call])
    rows = trace.work.row[started]
    return case.stages.us(intervals.total(intervals.union(trace.events.ts_ns[rows], trace.events.end_ns[rows])))


def _wddm(case: Case) -> Iterator[Claim]:
    """Launches that the driver holds back and sends together."""
    held, window = held_ns(case.trace), case.stages.window
    if held is None or not window.length:
        return
    us = case.stages.us(held)
    yield case.claim(
        "wddm_batching",
        "Windows' driver sends launches in batches",
        cost_us=us,
        evidence=f"Kernels start in bunches: the GPU idles for {microseconds(us)} a step while launches that were made "
        "already are held back.",
        advice="Run under Linux, or with the card in TCC or MCDM mode (nvidia-smi -dm); else use fewer launches: "
        'torch.compile(model, mode="reduce-overhead").',
        confidence="low confidence",
    )
