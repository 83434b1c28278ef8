"""Lines and modules of an attribution trace, carried over to the timing trace of the same loop."""

from __future__ import annotations

import msgspec
import pytest

from stallscope.analysis.report.ledger_tables import would_wait
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.stages.where.steps import find_window
from stallscope.analysis.summary import summarize
from stallscope.traces.model.manifest import Manifest
from tests.analysis.test_summary import manifest_of
from tests.builders import TraceBuilder

AUTOGRAD = 99


def frame(line: int, function: str = "<module>", file: str = "/home/u/work/train.py") -> dict:
    """One line of the script."""
    return {"file": file, "line": line, "function": function}


def site(kind: str, *frames: dict, **rest) -> dict:
    """One call site."""
    return {"kind": kind, "frames": list(frames), **rest}


SITES = [
    site("forward", frame(40)),
    site("backward", frame(41)),
    site("item", frame(6, "read"), frame(47), would_synchronize=True),
    site("item", frame(6, "read"), frame(49), would_synchronize=True),
]
MODULES = [{"name": "", "type": "Net"}, {"name": "layers.0", "type": "Linear"}, {"name": "layers.1", "type": "Linear"}]


def tables(**rest) -> Manifest:
    """A manifest with the tables of the marks."""
    return manifest_of(call_sites=SITES, modules=MODULES, command=["train.py"], **rest)


class Recorder:
    """Writes the same steps twice: bare, and 3 times slower with marks around."""

    def __init__(self, *, marks: bool) -> None:
        self.builder = TraceBuilder()
        self.marks = marks
        self.slower = 3 if marks else 1

    def mark(self, kind: str, number: int, start: float, duration: float) -> None:
        """A range as `_RecordFunctionFast` writes it."""
        if self.marks:
            self.builder.op(f"stallscope.{kind}#{number}", start * self.slower, duration * self.slower)

    def linear(self, at: float, module: int, sequence: int) -> None:
        """One layer: 10 µs, a kernel of 4 µs."""
        self.mark("module", module, at, 12)
        ids = {"Sequence number": sequence, "Fwd thread id": 0}
        self.builder.op("aten::addmm", (at + 1) * self.slower, 10 * self.slower, **ids)
        start = (at + 2) * self.slower
        self.builder.launch(start, 2, kernel=("gemm", start + 3, 4))

    def node(self, at: float, sequence: int) -> None:
        """The backward of a layer, on autograd's thread: a kernel of 7 µs."""
        ids = {"Sequence number": sequence, "Fwd thread id": 1}
        self.builder.op("AddmmBackward0", at * self.slower, 10 * self.slower, tid=AUTOGRAD, **ids)
        start = (at + 1) * self.slower
        self.builder.launch(start, 2, kernel=("gemm_b", start + 3, 7), tid=AUTOGRAD)

    def item(self, at: float, number: int) -> None:
        """A read of one value: blocked 9 µs."""
        self.mark("site", number, at, 12)
        self.builder.op("aten::item", (at + 1) * self.slower, 10 * self.slower)
        self.builder.memcpy(
            (at + 1.5) * self.slower, 1, copy=("Memcpy DtoH (Device -> Pinned)", (at + 3) * self.slower, 1)
        )
        self.builder.sync((at + 2) * self.slower, 9, name="cudaStreamSynchronize")

    def step(self, start: float, *, poll: bool = False, second_item: bool = True) -> None:
        """Forward, backward, two reads through one helper: 200 µs."""
        self.builder.step(start * self.slower, 200 * self.slower)
        self.mark("site", 0, start + 5, 40)
        self.mark("module", 0, start + 6, 38)
        self.linear(start + 8, 1, int(start) + 1)
        if poll:
            self.builder.call("cudaEventQuery", start + 21, 1)
        self.linear(start + 24, 2, int(start) + 2)
        self.mark("site", 1, start + 50, 50)
        self.builder.op("aten::ones_like", (start + 52) * self.slower, 2 * self.slower)
        self.node(start + 60, int(start) + 2)
        self.node(start + 75, int(start) + 1)
        self.item(start + 110, 2)
        if second_item:
            self.item(start + 130, 3)


def recorded(*steps: dict, marks: bool):
    """A trace of some steps."""
    recorder = Recorder(marks=marks)
    for number, how in enumerate(steps):
        recorder.step(200.0 * number, **how)
    return recorder.builder.trace()


def stages_of(timing, attribution):
    """All stages of the joined traces, the conservation laws checked."""
    stages = analyse(timing, tables(), attribution)
    assert stages.broken_laws() == []
    return stages


def test_lines_and_modules_are_carried_over_with_the_timing_traces_times():
    """Three timed steps, two marked ones: each line once, times those of the timing trace, modules by their names."""
    timing, attribution = recorded({}, {}, {}, marks=False), recorded({}, {}, marks=True)
    assert stages_of(timing, attribution)
    summary = summarize(timing, tables(), attribution)
    (wait,) = summary.sync_sites
    assert (wait.call_site, wait.called, wait.exact, wait.api) == ("train.py:6", "item", True, "cudaStreamSynchronize")
    assert (wait.calls_per_step, wait.blocked_us_per_step, wait.module) == (2.0, 18.0, None)
    assert (wait.callers, wait.stack) == (["train.py:47", "train.py:49"], ["train.py:6", "train.py:47"])
    places = {
        row.call_site: (row.called, row.host_us_per_step, row.device_forward_us_per_step,
                        row.device_backward_us_per_step, row.launches_per_step)
        for row in summary.call_sites
    }  # fmt: skip
    assert places == {
        "train.py:40": ("forward", 20.0, 8.0, 14.0, 4.0),  # the backward kernels are those of the model's line …
        "train.py:41": ("backward", 22.0, 0.0, 0.0, 0.0),  # … the host's time on autograd's thread is backward()'s
        "train.py:6": ("item", 20.0, 2.0, 0.0, 0.0),
    }
    modules = {
        row.name: (row.parent, row.type, row.calls_per_step, row.host_us_per_step, row.device_forward_us_per_step,
                   row.device_backward_us_per_step)
        for row in summary.modules
    }  # fmt: skip
    assert modules == {
        "Net": (None, "Net", 1.0, 26.0, 8.0, 14.0),
        "layers.0": ("Net", "Linear", 1.0, 10.0, 4.0, 7.0),
        "layers.1": ("Net", "Linear", 1.0, 10.0, 4.0, 7.0),
        "(no module)": (None, None, 0.0, 0.0, 0.0, 0.0),
    }
    covered = summary.attribution
    assert (covered.steps, covered.events_share, covered.waits_share, covered.launches_share) == (2, 1.0, 1.0, 1.0)


def test_a_line_that_waits_in_two_calls_is_one_row():
    """A read through pageable memory blocks in the copy and in the synchronize: one row, both calls named."""
    traces = []
    for marks in (False, True):
        recorder = Recorder(marks=marks)
        recorder.step(0, second_item=False)
        at = 111.2 * recorder.slower
        recorder.builder.memcpy(at, 0.3, copy=("Memcpy DtoH (Device -> Pageable)", at + 0.1, 0.1))
        recorder.builder.call("cudaMalloc", at + 0.05 * recorder.slower, 0.04)
        traces.append(recorder.builder.trace())
    rows = summarize(traces[0], tables(), traces[1]).sync_sites
    assert [(row.call_site, row.kind, row.api, row.apis, round(row.blocked_us_per_step, 2)) for row in rows] == [
        ("train.py:6", "synchronize", "cudaStreamSynchronize", ["cudaStreamSynchronize", "cudaMemcpyAsync"], 9.3),
        ("train.py:6", "allocation", "cudaMalloc", [], 0.04),
    ]


def test_a_wait_on_autograds_thread_is_backwards_line_and_the_forward_modules():
    """A wait inside the node of layers.1: blamed on `loss.backward()`, line 41, and on the module."""
    traces = []
    for marks in (False, True):
        recorder = Recorder(marks=marks)
        recorder.step(0, second_item=False)
        recorder.builder.sync(63 * recorder.slower, 5, name="cudaStreamSynchronize", tid=AUTOGRAD)
        traces.append(recorder.builder.trace())
    sites = {site.call_site: site for site in summarize(traces[0], tables(), traces[1]).sync_sites}
    assert (sites["train.py:41"].module, sites["train.py:41"].called) == ("layers.1", "backward")
    assert sites["train.py:41"].blocked_us_per_step == 5.0


def test_without_an_attribution_trace_a_wait_in_backward_has_its_module():
    """`nn.Module: Linear_0` of the trace's own stacks, by sequence number."""
    builder = TraceBuilder().step(0, 300).python("nn.Module: Linear_0", 5, 30)
    builder.op("aten::addmm", 10, 20, **{"Sequence number": 5, "Fwd thread id": 0})
    builder.launch(12, 2, kernel=("k", 20, 90))
    builder.op("AddmmBackward0", 100, 50, tid=AUTOGRAD, **{"Sequence number": 5, "Fwd thread id": 1})
    builder.sync(105, 20, name="cudaStreamSynchronize", tid=AUTOGRAD)
    (site,) = summarize(builder.trace()).sync_sites
    assert site.module == "Linear_0"


def test_steps_that_differ_are_joined_as_far_as_they_agree():
    """A poll more in one step, a read less in another: all but the poll have a counterpart."""
    timing = recorded({}, {"poll": True}, {"second_item": False}, marks=False)
    attribution = recorded({}, {}, marks=True)
    stages = stages_of(timing, attribution)
    joined = stages.places.joined
    rows = stages.launches.calls
    assert joined.share(rows) == 1.0
    polls = [row for row in range(len(timing.events)) if timing.name_of(row) == "cudaEventQuery"]
    assert joined.matched[polls].tolist() == [False]
    (wait,) = summarize(timing, tables(), attribution).sync_sites
    assert (wait.call_site, round(wait.calls_per_step * 3)) == ("train.py:6", 5)


def test_little_in_common_is_said():
    """Steps of other operators: nothing is joined, and health says so."""
    other = TraceBuilder()
    for start in (0, 200):
        other.step(start, 200).op("stallscope.site#0", start + 1, 50).op("aten::conv2d", start + 2, 20)
    summary = summarize(recorded({}, {}, marks=False), tables(), other.trace())
    assert summary.attribution.events_share == 0.0
    (issue,) = [issue for issue in summary.health.issues if issue.name == "attribution_partial"]
    assert (issue.severity, issue.share, summary.health.grade) == ("notice", 1.0, "ok")
    assert summary.sync_sites[0].call_site is None


@pytest.mark.parametrize("which", ["timing", "attribution"])
def test_a_trace_without_steps_is_not_joined(which):
    """Positions in the step need steps."""
    bare = TraceBuilder().op("aten::item", 0, 5).trace()
    traces = {"timing": recorded({}, marks=False), "attribution": recorded({}, marks=True), which: bare}
    assert analyse(traces["timing"], tables(), traces["attribution"]).places.joined is None


def test_marks_without_a_table_entry_and_damaged_names_are_left_alone():
    """Numbers beyond the tables, and names that only begin like marks."""
    attribution = TraceBuilder().step(0, 200)
    for name in ("stallscope.site#99", "stallscope.module#7", "stallscope.site#x", "stallscope.other"):
        attribution.annotation(name, 1, 100)
    attribution.op("aten::mm", 5, 5)
    stages = stages_of(TraceBuilder().step(0, 100).op("aten::mm", 5, 5).trace(), attribution.trace())
    assert (len(stages.places.joined.sites.rows), len(stages.places.joined.modules.rows)) == (0, 0)


def test_a_run_without_a_gpu_lists_the_lines_that_would_wait():
    """Counted in the attribution window: line 6 twice a step, through two callers; nothing blocks."""

    def loop(*, marks: bool):
        builder = TraceBuilder(gpu=None)
        for start in (0, 100):
            builder.step(start, 100)
            for number, at in ((2, 10), (3, 40)):
                if marks:
                    builder.op("stallscope.module#1", start + at - 1, 14)
                    builder.op(f"stallscope.site#{number}", start + at, 12)
                builder.op("aten::item", start + at + 1, 5)
        return builder.trace()

    (row,) = summarize(loop(marks=False), tables(), loop(marks=True)).sync_sites
    assert msgspec.to_builtins(row) == {
        "call_site": "train.py:6", "operator": None, "api": None, "module": "layers.0", "calls_per_step": 2.0,
        "blocked_us_per_step": 0.0, "idle_after_us_per_step": None, "kind": "would_synchronize", "by_profiler": False,
        "chain": None, "function": "read", "thread": None, "waited_us_per_step": None, "own_cost_us": None,
        "waited_for": None, "lag_us": None, "drained_share": None, "called": "item", "exact": True,
        "callers": ["train.py:47", "train.py:49"], "stack": ["train.py:6", "train.py:47"], "apis": [],
        "note": "would synchronize on a GPU", "seen_in_steps": 2,
    }  # fmt: skip


def test_calls_of_one_line_are_told_apart():
    """``a = x.cpu(); b = [x.item() for _ in range(5)]``: a row each, the list's own frame is no caller; places too."""
    sites = [
        site("cpu", frame(6), would_synchronize=True),
        site("item", frame(6, "<listcomp>"), frame(6), would_synchronize=True),
        site("forward", frame(6)),
    ]

    def loop(*, marks: bool):
        builder = TraceBuilder(gpu=None)
        for start in (0, 200):
            builder.step(start, 200)
            for at, number in enumerate((0, 1, 1, 1, 1, 1, 2)):
                if marks:
                    builder.op(f"stallscope.site#{number}", start + 20 * at, 12)
                builder.op("aten::to", start + 20 * at + 1, 5)
        return builder.trace()

    summary = summarize(loop(marks=False), manifest_of(call_sites=sites, command=["train.py"]), loop(marks=True))
    told = [(row.call_site, row.called, row.calls_per_step, row.callers) for row in summary.sync_sites]
    assert told == [("train.py:6", "item", 5.0, []), ("train.py:6", "cpu", 1.0, [])]
    places = [(row.call_site, row.called, row.host_us_per_step) for row in summary.call_sites]
    assert places == [("train.py:6", "item", 25.0), ("train.py:6", "cpu", 5.0), ("train.py:6", "forward", 5.0)]


@pytest.mark.parametrize(
    ("steps", "often", "said"),
    [
        (2, "each", "train.py:6 .item(), called from train.py:47, 4 times in 2 steps: would synchronize on a GPU."),
        (5, "each", "train.py:6 .item(), called from train.py:47, 2 times a step: would synchronize on a GPU."),
        (5, "last", "train.py:6 .item(), called from train.py:47, in 1 of 5 steps: would synchronize on a GPU."),
    ],
)
def test_how_often_a_line_would_wait_is_a_rate_only_of_enough_steps(steps, often, said):
    """Twice in each of 2 steps, of 5 steps, in the last of 5: and what was looked at is said."""

    def loop(*, marks: bool):
        builder = TraceBuilder(gpu=None)
        for step in range(steps):
            builder.step(step * 100, 100).op("aten::mm", step * 100 + 1, 5)
            for at in (10, 40) if often == "each" or step == steps - 1 else ():
                if marks:
                    builder.op("stallscope.site#2", step * 100 + at, 12)
                builder.op("aten::item", step * 100 + at + 1, 5)
        return builder.trace()

    first, last = would_wait(summarize(loop(marks=False), tables(), loop(marks=True)))
    assert first.startswith(f"{said} Keep loss.detach() in a list")
    assert last == (
        f"Looked for in the {steps} steps whose lines were recorded: what happens less often (an evaluation, a print "
        "every 100 steps) may be missing here, and would wait too."
    )


def test_the_window_of_the_attribution_trace_counts():
    """Its warm-up, outside the steps, is no part of the counts."""
    builder = TraceBuilder(gpu=None).op("stallscope.site#2", 0, 9).op("aten::item", 1, 5).step(20, 50)
    builder.op("stallscope.site#2", 30, 9).op("aten::item", 31, 5)
    trace = builder.trace()
    assert find_window(trace).count == 1
    (row,) = summarize(TraceBuilder(gpu=None).step(0, 50).op("aten::item", 1, 5).trace(), tables(), trace).sync_sites
    assert row.calls_per_step == 1.0
