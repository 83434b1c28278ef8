"""Facts: the window in ns as the stages found it; what was not recorded is None, said to be unknown, and never 0."""

import pytest

from stallscope.analysis.answer.verdict import judge
from stallscope.analysis.causes.facts import Facts, GpuFacts, find_facts
from stallscope.analysis.fill.steps import fill_per_step
from stallscope.analysis.stages.stages import analyse
from tests.analysis.answer.test_verdict import facts
from tests.builders import TraceBuilder
from tests.real import real, real_parameters


def facts_of(builder: TraceBuilder) -> Facts:
    """The facts of a built trace without a manifest."""
    return find_facts(analyse(builder.trace()), None, refused=False)


def test_times_are_ns_of_the_window_and_figures_those_of_a_step():
    """Two steps of 100 µs, each with a kernel of 30: 60 µs of the window, 30 µs and 30 % of a step."""
    builder = TraceBuilder()
    for start in (0, 100):
        builder.step(start, 100).launch(start + 10, 5, kernel=("k", start + 20, 30))
    found = facts_of(builder)
    assert isinstance(found, GpuFacts)
    assert (found.window_ns, found.device.busy_ns, found.idle_ns, found.calls.launches) == (200_000, 60_000, 140_000, 2)
    assert (found.us(found.device.busy_ns), found.share(found.device.busy_ns)) == (30.0, 0.3)
    assert (found.time(found.device.busy_ns), found.part(found.device.busy_ns)) == ("30.0 µs", "30 %")


def test_launches_without_kernels_leave_the_gpu_unknown():
    """Two launches, no device row: there are calls and no device, and no verdict pretends to an idle GPU."""
    found = facts_of(TraceBuilder().step(0, 100).launch(10, 5).launch(20, 5))
    assert not isinstance(found, GpuFacts)
    assert (found.device, found.recording.unexplained_share, found.recording.orphan_share) == (None, None, None)
    assert found.calls is not None
    assert found.calls.launches == 2
    assert judge(found).text.startswith("2 launches were recorded in each step but not the kernels they started")


def test_a_run_without_a_gpu_has_neither_device_nor_calls():
    """Operators alone; how long a fetch of the DataLoader takes is unknown where there is no DataLoader."""
    found = facts_of(TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 10, 80))
    assert (found.device, found.calls) == (None, None)
    assert (found.input.fetch_us, found.input.workers) == (None, None)
    assert (found.host.operator_ns, found.rest_ns) == (80_000, 20_000)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"launches_known": False}, "The calls that start GPU work were not recorded. The GPU works 6 % of the time."),
        (
            {"launches_known": False, "measured": False},
            "Neither GPU work nor the calls that start it were recorded, so nothing is known of the GPU.",
        ),
    ],
)
def test_what_is_unknown_is_said_so(changes, said):
    """Without the calls the GPU's work is still told; without both nothing is, not even that it idles."""
    verdict = judge(facts(**changes))
    assert (verdict.kind, verdict.text) == ("unknown", said)


def test_without_a_kernel_none_is_given_a_length():
    """A host-bound trace in which no kernel ran: no kernel, and no mean of 0 µs."""
    verdict = judge(facts(kernels=0, kernel_sum_us=0.0, launches=0, busy_us=0.0, compute_us=0.0, stall_us=0.0))
    assert verdict.kind == "host-bound"
    assert "it works 560 µs of the 560 µs of each step, in which it starts no kernel" in verdict.text


@pytest.mark.parametrize("path", real_parameters())
def test_facts_and_rows_of_the_contract_say_the_same(path):
    """Both come from the stages: GPU work and stall, withheld in both or in neither; the idle time's classes add up."""
    stages = real(path).stages
    found = find_facts(stages, None, refused=False)
    row = fill_per_step(stages, found)
    busy_us = None if found.device is None else found.us(found.device.busy_ns)
    stall_us = None if found.calls is None else found.us(found.calls.stall_ns)
    assert (busy_us, stall_us) == (row.gpu_busy_us, row.sync_stall_us)
    if isinstance(found, GpuFacts):
        assert found.sync_ns + found.host_ns + min(found.device.input_ns, found.idle_ns) == found.idle_ns
