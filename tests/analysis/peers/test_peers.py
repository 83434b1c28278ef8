"""The peers' view: their published figures on the cross-check trace, and the peers themselves on real traces."""

import logging
import statistics
import tempfile

import pytest

from stallscope.analysis.forecast.asked import Asked
from stallscope.analysis.peers.hta import find_hta
from stallscope.analysis.peers.tb import ROLES, find_tb
from stallscope.analysis.peers.tracelens import find_tracelens
from stallscope.analysis.report import peers_text
from stallscope.analysis.report.style import Style
from stallscope.analysis.report.summary import markdown
from stallscope.analysis.summary import summarize
from tests.analysis.synthetic import three_steps
from tests.builders import TraceBuilder
from tests.lanes import one_of_a_kind
from tests.real import every_real_trace, real


def figures_of(trace) -> dict[str, dict[str, float | None]]:
    """The peers' values by peer and figure."""
    found: dict[str, dict[str, float | None]] = {}
    for row in summarize(trace, asked=Asked(peers=True)).peers:
        found.setdefault(row.peer, {})[row.figure] = row.value
    return found


def test_the_peers_figures_of_the_cross_check_trace():
    """What HTA, torch-tb-profiler and TraceLens print of it: 838 and 984 idle, utilization 0.30, 1682 idle."""
    assert figures_of(three_steps().trace()) == {
        "HTA": {
            "kernel_time_us": 1588.0, "idle_time_us": 838.0, "idle_time_share": 838 / 1588,
            "compute_time_us": 600.0, "non_compute_time_us": 150.0,
            "idle_by_stream_us": 984.0, "host_wait_us": 844.0, "kernel_wait_us": 50.0, "other_us": 90.0,
            "launches": 8, "launch_delay_us": 89.5, "short_kernels": 2, "runtime_outliers": 0,
            "launch_delay_outliers": 4, "longest_queue": 2, "full_queue_us": 0.0,
        },
        "torch-tb-profiler": {
            "step_us": 1000.0, "kernel_us": 300.0, "memcpy_us": 2.0, "memset_us": 0.0, "communication_us": 0.0,
            "runtime_us": 83.0, "dataloader_us": 0.0, "cpu_op_us": 15.0, "other_us": 600.0,
            "gpu_utilization": 0.3, "est_sm_efficiency": pytest.approx(0.291), "est_occupancy_percent": 6.0,
        },
        "TraceLens": {
            "total_time_us": 2588.0, "busy_time_us": 906.0, "idle_time_us": 1682.0, "computation_time_us": 900.0,
            "exposed_comm_time_us": 0.0, "exposed_memcpy_time_us": 6.0,
        },
    }  # fmt: skip


def test_ours_stand_beside_them_with_a_reason():
    """Our idle time of the same trace is 698 µs a step; HTA looks at two of three steps and counts waits as work."""
    rows = {(row.peer, row.figure): row for row in summarize(three_steps().trace(), asked=Asked(peers=True)).peers}
    idle = rows["HTA", "idle_time_us"]
    assert (idle.ours, idle.unit) == (2094.0, "us")
    assert "2 rows in which the host waits" in idle.why
    assert "leaves out the last of 3 steps" in rows["HTA", "kernel_time_us"].why
    assert rows["torch-tb-profiler", "kernel_us"].why == "the same here"
    assert (rows["torch-tb-profiler", "gpu_utilization"].ours, rows["TraceLens", "busy_time_us"].ours) == (0.302, 906.0)


def test_the_peers_view_is_there_only_where_it_is_asked_for():
    """Null in the JSON otherwise; no text."""
    summary = summarize(three_steps().trace())
    assert summary.peers is None
    assert peers_text.render(summary, Style()) == ""


def test_text_and_markdown_show_every_figure_once():
    """Each peer, each figure, each reason; nothing wider than the page."""
    summary = summarize(three_steps().trace(), asked=Asked(peers=True))
    text = peers_text.render(summary, Style(width=60))
    assert max(map(len, text.splitlines())) <= 60
    assert ["GPU", "idle", "838", "µs", "2.09", "ms"] in [line.split() for line in text.splitlines()]
    assert [line.split()[0] for line in text.splitlines() if line.endswith("theirs        ours")] == [
        "HTA", "torch-tb-profiler", "TraceLens",
    ]  # fmt: skip
    page = markdown.page(summary)
    assert "### As TraceLens defines it" in page
    assert sum(line.startswith("|") for line in page.splitlines() if " µs | " in line) >= 20


def test_hta_rounds_a_kernel_within_one_microsecond_to_nothing():
    """A kernel from 10.2 to 10.9 µs becomes 11 to 10: one µs less than nothing. 20.5 to 30.5 becomes 21 to 30."""
    builder = TraceBuilder().launch(1, 1, kernel=("k", 10.2, 0.7)).launch(3, 1, kernel=("k", 20.5, 10))
    found = find_hta(builder.trace())
    assert (found.rounded, found.kernel_us, found.compute_us, found.idle_us) == (True, 19.0, 8.0, 11.0)


def test_hta_keeps_what_the_steps_before_the_last_launched():
    """A kernel that runs in the last step but was launched in the first counts; the last step's own does not."""
    builder = TraceBuilder().step(0, 100).step(100, 100).launch(90, 5, kernel=("a", 120, 10))
    found = find_hta(builder.launch(110, 5, kernel=("b", 150, 30)).trace())
    assert (found.dropped, found.steps, found.kernel_us) == (True, 1, 10.0)


def test_hta_drops_no_step_of_one():
    """With one step there is nothing to leave out."""
    found = find_hta(TraceBuilder().step(0, 100).launch(10, 5, kernel=("a", 20, 10)).trace())
    assert (found.dropped, found.steps, found.launches) == (False, 1, 1)


def test_hta_adds_up_the_gaps_of_each_stream():
    """Stream 7 idles for 60 µs between two kernels while stream 8 works: 60 µs by HTA, none by ours."""
    builder = TraceBuilder().launch(1, 1, kernel=("a", 10, 10)).launch(3, 1, kernel=("b", 10, 90), stream=8)
    summary = summarize(builder.launch(5, 1, kernel=("a", 80, 10)).trace(), asked=Asked(peers=True))
    rows = {row.figure: row.value for row in summary.peers if row.peer == "HTA"}
    assert (rows["idle_by_stream_us"], rows["other_us"], rows["idle_time_us"]) == (60.0, 60.0, 0.0)


def test_a_launch_queue_that_fills():
    """1030 launches return before the first kernel starts: 1024 of them wait from 1023 to 2006 µs."""
    builder = TraceBuilder()
    for i in range(1030):
        builder.launch(i, 0.5, kernel=("k", 2000 + i, 1))
    found = find_hta(builder.trace())
    assert (found.longest_queue, found.full_queue_us) == (1030, 983.0)


def test_tb_moves_the_end_of_a_step_to_its_last_kernel_and_drops_a_cut_tail():
    """Steps of 100 µs; the first's kernel ends at 130; the third launches one kernel where the second launched two."""
    builder = TraceBuilder().step(0, 100).step(100, 100).step(200, 100).op("a", 1, 5)
    builder.launch(10, 5, kernel=("k", 50, 80)).launch(110, 5, kernel=("k", 140, 10))
    found = find_tb(builder.launch(120, 5, kernel=("k", 160, 10)).launch(210, 5, kernel=("k", 220, 10)).trace())
    assert (found.steps, found.dropped, found.moved, found.total_us) == (2, 1, True, 100.0)
    assert found.gpu_utilization == 0.5  # kernels for 100 of the 200 µs from 0 to 200


def test_tb_without_steps_takes_the_operators_span():
    """One step from the first operator to the last; work it launched moves its end."""
    found = find_tb(TraceBuilder().op("a", 10, 5).op("b", 50, 10).launch(52, 2, kernel=("k", 60, 30)).trace())
    assert (found.steps, found.total_us) == (1, 80.0)


def test_tracelens_counts_what_runs_alone():
    """NCCL beside a kernel for 10 of 30 µs, a copy beside NCCL for 5 of 10: 20 and 5 exposed."""
    builder = TraceBuilder().kernel(("k", 0, 20)).kernel(("ncclDevKernel_AllReduce", 10, 30), stream=8)
    found = find_tracelens(builder.memcpy(1, 1, copy=("Memcpy HtoD (Pinned -> Device)", 35, 10), stream=9).trace())
    assert (found.computation_us, found.exposed_communication_us, found.exposed_memcpy_us) == (20.0, 20.0, 5.0)
    assert (found.total_us, found.busy_us, found.idle_us) == (45.0, 45.0, 0.0)


def test_a_cpu_run_has_the_step_breakdown_only():
    """HTA and TraceLens find no device row; torch-tb-profiler divides the step all the same."""
    trace = TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 10, 30).dataloader(50, 20).trace()
    found = figures_of(trace)
    assert set(found) == {"torch-tb-profiler"}
    assert (found["torch-tb-profiler"]["cpu_op_us"], found["torch-tb-profiler"]["gpu_utilization"]) == (30.0, None)


@every_real_trace
def test_the_peers_parts_sum_up_on_real_traces(path):
    """The roles sum to the step, busy and idle to the total, compute and the rest to HTA's busy time."""
    trace = real(path).trace
    tb, hta, tracelens = find_tb(trace), find_hta(trace), find_tracelens(trace)
    if tb is not None:
        assert sum(tb.roles_us.values()) == pytest.approx(tb.total_us)
    if tracelens is not None:
        parts = tracelens.computation_us + tracelens.exposed_communication_us + tracelens.exposed_memcpy_us
        assert parts == pytest.approx(tracelens.busy_us)
    if hta is not None:
        assert hta.idle_us >= 0
        assert hta.compute_us + hta.non_compute_us + hta.idle_us == pytest.approx(hta.kernel_us)


def test_the_resnet_anchor(real_traces):
    """The figures that torch-tb-profiler's own sample is known for."""
    found = figures_of(real(next(real_traces.glob("kineto-2021/resnet50_num_workers_0/*.gz"))).trace)[
        "torch-tb-profiler"
    ]
    names = ("kernel_us", "memcpy_us", "runtime_us", "dataloader_us", "cpu_op_us", "other_us", "step_us")
    assert [round(found[name], 1) for name in names] == [98588.7, 1915.3, 2907.5, 59261.8, 13674.2, 1155.7, 177592.2]
    assert round(found["gpu_utilization"], 4) == 0.5551
    assert round(found["est_sm_efficiency"], 4) == 0.5468


def plugin_figures(path) -> dict[str, float | None]:
    """What the installed torch-tb-profiler computes of a file."""
    from torch_tb_profiler.profiler.data import RunProfileData

    logging.getLogger("tensorboard").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as cache:
        profile = RunProfileData.parse("worker0", "1", str(path), cache)
    metrics = profile.gpu_metrics_parser
    per_device = {
        "gpu_utilization": metrics.gpu_utilization,
        "est_sm_efficiency": metrics.avg_approximated_sm_efficiency_per_device,
        "est_occupancy_percent": metrics.avg_occupancy_per_device,
    }
    found = {f"{role}_us": cost for role, cost in zip((*ROLES, "step"), profile.avg_costs.costs, strict=True)}
    for name, values in per_device.items():
        known = [value for value in values if value is not None]
        found[name] = statistics.mean(known) if known else None
    return found


RUNS = ("resnet50_num_workers_0", "resnet50_num_workers_4", "resnet50_autograd_api")


@pytest.mark.slow
@pytest.mark.parametrize("run", one_of_a_kind(RUNS, "resnet50_num_workers_0"))
def test_equals_the_installed_torch_tb_profiler_on_traces_of_2021(run, real_traces):
    """Every figure to 0.1 %, steps or none, workers or none."""
    path = next(real_traces.glob(f"kineto-2021/{run}/*.gz"))
    found, expected = figures_of(real(path).trace)["torch-tb-profiler"], plugin_figures(path)
    assert found == {
        name: value if value is None else pytest.approx(value, rel=1e-3) for name, value in expected.items()
    }


@pytest.mark.slow
def test_equals_the_installed_torch_tb_profiler_on_a_cpu_run(tmp_path):
    """A CPU run recorded now: plain operators between step() calls, for its release drops annotations."""
    import torch

    path = tmp_path / "worker0.pt.trace.json"
    weight, batch = torch.randn(64, 64), torch.randn(128, 64)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(5):
            for _ in range(20):
                (batch @ weight).relu().sum()
            profiler.step()
    profiler.export_chrome_trace(str(path))
    found, expected = figures_of(real(path).trace)["torch-tb-profiler"], plugin_figures(path)
    assert expected["cpu_op_us"] > 0
    assert found == {name: value if value is None else pytest.approx(value, rel=1e-3, abs=0.01)
                     for name, value in expected.items()}  # fmt: skip
