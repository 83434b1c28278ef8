"""The whole summary: the cross-check trace with every figure known, conservation laws, manifest, withheld figures."""

import msgspec
import numpy as np
import pytest

from stallscope.analysis.report.header import header
from stallscope.analysis.stages.activity import find_activity
from stallscope.analysis.stages.where.steps import Window
from stallscope.analysis.summary import summarize
from stallscope.traces.model.manifest import SCHEMA, Manifest
from stallscope.traces.read.read import read
from tests.analysis.synthetic import three_steps
from tests.builders import TraceBuilder
from tests.real import every_real_trace, real


def plain(value):
    """A contract value as a dict."""
    return msgspec.to_builtins(value)


def manifest_of(*windows, **facts) -> Manifest:
    """A manifest with the given windows; everything else as short as it can be."""
    machine = {"os": "Linux", "python": "3.11", "cpu": "a CPU", "cores": 2, "threads": 2, "torch": "2.13.0"}
    base = {"schema": SCHEMA, "stallscope": "0", "created": "", "command": ["t.py"], "worker": "w", "pid": 1}
    steps = {"count": 100, "source": "optimizer"}
    return msgspec.convert({**base, "machine": machine, "steps": steps, "windows": list(windows), **facts}, Manifest)


def window(kind, round_name, *, steps, duration_ns, samples_ns=(), **rest):
    """One window of a manifest."""
    return {
        "kind": kind, "round": round_name, "first_step": 0, "steps": steps, "duration_ns": duration_ns,
        "samples_ns": list(samples_ns), **rest,
    }  # fmt: skip


def test_every_figure_of_the_cross_check_trace():
    """The drawing in synthetic.py, figure by figure, per step."""
    summary = summarize(three_steps().trace())
    assert plain(summary.per_step) == {
        "kernel_launches": 3.0, "graph_launches": 0.0, "kernels": 3.0, "memcpys": 1.0, "memsets": 0.0,
        "sync_calls": 1.0, "sync_call_us": 243.0, "gpu_busy_us": 302.0, "gpu_idle_us": 698.0, "kernel_us": 300.0,
        "kernel_sum_us": 300.0, "memcpy_us": 2.0, "memset_us": 0.0, "communication_us": 0.0, "launch_call_us": 15.0,
        "sync_stall_us": 243.0, "dataloader_us": 0.0, "queue_delay_us": {"p50": 57.5, "p90": 240.0},
        "operator_us": None,
    }  # fmt: skip
    assert plain(summary.breakdown_us) == {
        "kernel": 300.0, "memcpy": 2.0, "memset": 0.0, "communication": 0.0, "runtime": 83.0, "dataloader": 0.0,
        "cpu_op": 15.0, "other": 600.0,
    }  # fmt: skip  # runtime 83, cpu_op 15, other 600: what torch-tb-profiler says of this trace
    assert (summary.steps.count, summary.steps.wall_us.samples) == (3, [1000.0] * 3)
    assert [plain(site) for site in summary.sync_sites] == [
        {"call_site": None, "operator": "aten::item", "api": "cudaStreamSynchronize", "module": None,
         "calls_per_step": 1.0, "blocked_us_per_step": 243.0, "idle_after_us_per_step": 216.0,
         "kind": "synchronize", "by_profiler": False, "chain": "aten::item < aten::_local_scalar_dense",
         "function": None, "thread": "thread 4242", "waited_us_per_step": 240.0, "own_cost_us": 3.0,
         "waited_for": "Memcpy DtoH (Device -> Pinned)", "lag_us": 240.0, "drained_share": 0.0,
         "called": None, "exact": None, "callers": [], "stack": [], "apis": [], "note": None,
         "seen_in_steps": None}
    ]  # fmt: skip
    assert plain(summary.idle_us) == {
        "sync": 3.0, "dataloader": 0.0, "host_python": 594.0, "host_operator": 13.0, "launch": 43.0, "memcpy": 45.0,
        "stream_dependency": 0.0, "unrecorded": 0.0, "unexplained": 0.0,
    }  # fmt: skip


def test_a_copy_to_pageable_memory_blocks_as_well():
    """Into pageable memory the copy call's own 5 µs are blocked time too: 248 µs."""
    assert summarize(three_steps("Pageable").trace()).per_step.sync_stall_us == 248.0


def test_what_later_stages_compute_is_null_and_every_key_is_there():
    """Nothing is invented: savings and modules are null; forecasts are there, in profiled time."""
    summary = plain(summarize(three_steps().trace()))
    assert set(summary["verdict"]["savings"].values()) == {None}
    assert (summary["modules"], summary["forecast"]["basis"]) == (None, "profiled time")
    assert (summary["schema"], summary["verdict"]["confidence"]) == ("stallscope.summary/2", "rule")


def test_a_cpu_run_has_no_gpu_figures():
    """Every GPU figure is null, not 0; the breakdown sums to the step without its GPU classes."""
    trace = TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 10, 30).dataloader(50, 20).trace()
    summary = summarize(trace)
    figures = plain(summary.per_step)
    assert {name for name, value in figures.items() if value is not None} == {"dataloader_us", "operator_us"}
    assert plain(summary.breakdown_us) == {
        "kernel": None, "memcpy": None, "memset": None, "communication": None, "runtime": 0.0, "dataloader": 20.0,
        "cpu_op": 30.0, "other": 50.0,
    }  # fmt: skip
    assert (summary.sync_sites, summary.memcpy, summary.kernels, summary.verdict.kind) == (None, None, None, "cpu")


def test_launches_without_kernels_withhold_device_figures_only():
    """Launch counts, sync calls and stalls stay; device figures are null, the trace is degraded."""
    builder = TraceBuilder().step(0, 100).launch(10, 5).launch(20, 5).sync(30, 40)
    summary = summarize(builder.trace())
    assert (summary.per_step.kernel_launches, summary.per_step.sync_call_us) == (2.0, 40.0)
    assert (summary.per_step.kernels, summary.per_step.gpu_busy_us, summary.breakdown_us.kernel) == (None, None, None)
    assert (summary.health.grade, summary.verdict.kind) == ("degraded", "unknown")


def test_devices_of_one_process_are_listed_and_averaged():
    """Two GPUs busy for 20 and 60 of 100 µs: 40 on average, each under its own name."""
    builder = TraceBuilder().step(0, 100).launch(1, 1, kernel=("k", 10, 20))
    builder.launch(3, 1, kernel=("k", 10, 60), device=1)
    summary = summarize(builder.trace())
    assert [(device.device, device.gpu_busy_us, device.gpu_idle_us) for device in summary.devices] == [
        (0, 20.0, 80.0),
        (1, 60.0, 40.0),
    ]
    assert (summary.per_step.gpu_busy_us, summary.per_step.gpu_idle_us, summary.per_step.kernels) == (40.0, 60.0, 1.0)


def test_figures_are_per_step_of_all_steps_medians_of_the_whole_ones():
    """Two steps of 1 ms with 4 operators each and a stub of 50 µs: totals over 3 steps, median 1 ms."""
    builder = TraceBuilder().step(0, 1000).step(1000, 1000).step(2000, 50)
    for start in range(0, 2000, 250):
        builder.op("a", start, 100)
    builder.launch(10, 1, kernel=("k", 20, 30))
    steps = summarize(builder.trace())
    assert (steps.steps.count, steps.steps.wall_us.samples, steps.steps.wall_us.median) == (3, [1000.0, 1000.0], 1000.0)
    assert steps.per_step.kernel_us == 10.0


def test_unprofiled_times_and_inflation_come_from_the_round_of_the_trace(tmp_path):
    """Profiled steps of 1 ms against 8 ms for 10 unprofiled steps: 1.25 times; the short round stays out."""
    path = three_steps().write(tmp_path, "w.1.pt.trace.json")
    manifest = manifest_of(
        window("unprofiled", "short", steps=5, duration_ns=500_000_000),
        window("unprofiled", "full", steps=10, duration_ns=8_000_000, samples_ns=[700_000, 900_000]),
        window("timing", "full", steps=3, duration_ns=3_000_000, trace="w.1.pt.trace.json"),
    )
    steps = summarize(read(path), manifest).steps
    assert (steps.unprofiled_us.mean, steps.unprofiled_us.steps, steps.inflation) == (800.0, 10, 1.25)
    assert steps.unprofiled_us.host_samples.samples == [700.0, 900.0]


def test_steps_with_evaluation_in_them_are_left_out_of_medians(tmp_path):
    """The manifest says that the second recorded and the third unprofiled step held an evaluation pass."""
    builder = TraceBuilder().step(0, 1000).step(1000, 9000).step(10000, 1000)
    for start in (1, 1001, 10001):
        builder.op("a", start, 1)
    manifest = manifest_of(
        window("unprofiled", "full", steps=3, duration_ns=11_000_000, samples_ns=[10**6, 10**6, 9 * 10**6],
               evaluation_steps=[2]),
        window("timing", "full", steps=3, duration_ns=1, trace="w.pt.trace.json", evaluation_steps=[1]),
    )  # fmt: skip
    summary = summarize(read(builder.write(tmp_path, "w.pt.trace.json")), manifest)
    steps = summary.steps
    assert (steps.wall_us.samples, steps.unprofiled_us.mean, steps.unprofiled_us.steps) == ([1000.0, 1000.0], 1000.0, 2)
    assert (steps.left_out, steps.unprofiled_us.left_out) == (1, 1)
    told = dict(header(summary))
    assert told["Steps"].endswith("(without 1 that held an evaluation)")
    assert told["Unprofiled"].startswith("1.00 ms a step over 2 steps (1 more, which held an evaluation, left out)")


def test_machine_memory_and_findings_come_from_the_manifest():
    """Peaks of the manifest win over the trace's samples; findings of run and machine are joined."""
    builder = three_steps().memory(5, 100, 200)
    manifest = manifest_of(
        peak_allocated_bytes=700, complete=True, findings=[{"name": "too_short", "text": "5 steps."}]
    )
    summary = summarize(builder.trace(), manifest)
    assert (summary.memory.peak_allocated, summary.memory.peak_reserved) == (700, 200)
    assert (summary.machine.cpu, summary.machine.torch) == ("a CPU", "2.13.0")
    assert [finding.name for finding in summary.findings] == ["too_short"]


def test_a_simulated_trace_is_known_as_such():
    """A device called "simulated" is no hardware."""
    assert summarize(TraceBuilder(gpu="simulated").step(0, 9).launch(1, 1, kernel=("k", 3, 1)).trace()).trace.simulated
    assert not summarize(three_steps().trace()).trace.simulated


def test_an_empty_trace_gives_a_summary():
    """No activity at all: zeros and nulls, verdict unknown, no exception."""
    summary = summarize(TraceBuilder().annotation("x", 1, 1).trace())
    assert (summary.steps.window_us, summary.verdict.kind) == (0.0, "unknown")


@every_real_trace
def test_conservation_laws_hold_on_real_traces(path):
    """Breakdown sums to the window, self times to the time in operators, groups to their totals, to the nanosecond.

    The window of the device, where the host runs ahead of it.
    """
    assert real(path).stages.broken_laws() == []
    summary, window = real(path).summary, real(path).stages.device_window
    step_us = window.length / (1000 * window.count)
    parts = [value for value in plain(summary.breakdown_us).values() if value is not None]
    assert sum(parts) == pytest.approx(step_us, abs=1e-3)
    busy, idle = summary.per_step.gpu_busy_us, summary.per_step.gpu_idle_us
    if busy is not None:
        assert busy + idle == pytest.approx(step_us, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("h100/bert_small", "launch-bound"),
        ("h100/vit_nsfw", "launch-bound"),
        ("b200/eager", "launch-bound"),
        ("h100/owlv2_large", "input-bound"),
        ("kineto-2021/resnet50_num_workers_0/worker0.1623143089861", "mixed(host, input)"),
        ("kineto-2021/resnet50_num_workers_4/worker0.1623212756351", "launch-bound"),
        ("kineto-2021/resnet50_autograd_api/worker0", "mixed(host, input)"),
        ("a100/alexnet", "start-up"),
        ("a100/nccl_training", "launch-bound"),
        ("a100/diff_control_a100", "host-bound"),
        ("amd/mi300_vit_nsfw", "launch-bound"),
        ("amd/mi300_resnet_train_act_checkpoint", "mixed(communication, host)"),
        ("v100/ns_resolution_rank0", "compute-bound"),
        ("v100/diff_test_v100", "compute-bound"),
        ("ranks/sampled_rank-0", "refused"),
        ("a100/recommender_rank0_of_16", "refused"),
        ("a100/cupti_counters", "unknown"),
        ("mtia/inference_rank_0", "unknown"),
        ("cpu/rank_non_gpu", "unknown"),
    ],
)
def test_verdicts_on_real_traces(name, kind, real_traces):
    """What the reference replay of these traces found too; where kernels are missing the verdict abstains.

    Two differ with reason. nccl_training starts 900 kernels of 60 µs a step and takes 247 µs for each: host-bound, and
    by our words launch-bound. Of mi300_resnet the reference took the whole span, 38 ms of it collectives launched
    before the window; in a steady state host and collectives take 16 ms a step each, and only both together save much.
    """
    path = next(real_traces.glob(f"{name}*.json.gz"))
    assert real(path).summary.verdict.kind == kind


def test_blocking_copies_of_the_recommender_are_found(real_traces):
    """Synchronize calls hold 2.8 ms of 5 steps, 30 pageable DtoH copies 758 ms; 1140 DtoD copies wait for nothing."""
    summary = real(real_traces / "a100" / "recommender_rank0_of_16.json.gz").summary
    assert summary.per_step.sync_call_us * 5 == pytest.approx(2_800, abs=5)
    to_host = next(row for row in summary.memcpy if (row.direction, row.memory) == ("DtoH", "pageable"))
    within = next(row for row in summary.memcpy if row.direction == "DtoD")
    assert (to_host.count_per_step * 5, to_host.blocking) == (30.0, True)
    assert (within.count_per_step * 5, within.blocking) == (1140.0, False)
    copies = [site for site in summary.sync_sites if site.api == "cudaMemcpyAsync"]
    assert sum(site.blocked_us_per_step for site in copies) * 5 == pytest.approx(758_000, abs=1_000)


def test_breakdown_equals_torch_tb_profilers_over_its_steps(real_traces):
    """Over the steps as torch-tb-profiler bounds them the classes are its own figures, to 0.05 µs.

    It moves a step's end to the end of the device work launched in it; ours ends with the host's step.
    """
    path = next(real_traces.glob("kineto-2021/resnet50_num_workers_0/*.json.gz"))
    stages = real(path).stages
    totals = np.array([_classes(stages, window) for window in _tb_steps(stages)]).sum(axis=0) / (6 * 1000)
    expected = [98588.7, 1915.3, 89.0, 0.0, 2907.5, 59261.8, 13674.2, 1155.7, 177592.2]
    assert totals.tolist() == pytest.approx(expected, abs=0.05)


def _tb_steps(stages):
    """The six steps from the end of the one before to the end of the last device work launched in each."""
    trace, own = stages.trace, stages.window
    calls = stages.launches.work_call
    previous = own.start
    for start, end in zip(own.step_starts.tolist(), own.step_ends.tolist(), strict=True):
        launched = (trace.events.ts_ns[calls] >= start) & (trace.events.end_ns[calls] <= end) & (calls >= 0)
        begins = max(previous, start)
        previous = max(end, int(trace.events.end_ns[trace.work.row[launched]].max()))
        bounds = np.array([begins]), np.array([previous])
        yield Window(begins, previous, *bounds, np.ones(1, dtype=bool), from_steps=True)


def _classes(stages, window):
    shares = find_activity(stages.trace, window).shares
    return [shares.kernel, shares.memcpy, shares.memset, shares.communication, shares.runtime, shares.dataloader,
            shares.cpu_op, shares.other, window.length]  # fmt: skip


def test_resnet_before_and_after_workers(real_traces):
    """The median step falls from 176 to 127 ms, the DataLoader from 69 to 1.4 ms."""
    before, after = (
        real(next(real_traces.glob(f"kineto-2021/resnet50_num_workers_{n}/*.json.gz"))).summary for n in (0, 4)
    )
    assert (round(before.steps.wall_us.median / 1000), round(after.steps.wall_us.median / 1000)) == (176, 127)
    assert before.per_step.dataloader_us == pytest.approx(69_298.5, abs=0.1)
    assert after.per_step.dataloader_us == pytest.approx(1_420.3, abs=0.1)
