"""Completion: how long a step takes where the host runs ahead, and which steps count."""

import numpy as np

from stallscope.analysis.stages.stages import analyse
from tests.builders import TraceBuilder


def queued(kernels=(1000, 1000, 1000, 1000)) -> TraceBuilder:
    """Steps of 300 µs on the host, each with a kernel of so many µs that queues behind those before it."""
    builder, free = TraceBuilder(), 20.0
    for at, length in enumerate(kernels):
        builder.step(300 * at, 300).op("aten::mm", 300 * at + 5, 20).launch(
            300 * at + 10, 5, kernel=("k", free, length)
        )
        free += length
    return builder


def lengths(values) -> TraceBuilder:
    """Steps of so many µs, each with a kernel that ends in it."""
    builder, start = TraceBuilder(), 0
    for value in values:
        builder.step(start, value).op("aten::mm", start + 5, 20).launch(start + 10, 5, kernel=("k", start + 20, 30))
        start += value
    return builder


def test_a_step_is_the_slope_of_completion_where_the_host_runs_ahead():
    """Kernels of 1000 µs in steps of 300: the work of a step is done every 1000 µs, over three of the four steps."""
    stages = analyse(queued().trace())
    assert stages.completion.ahead
    assert stages.completion.step_ns == 1_000_000
    assert (stages.device_window.count, stages.device_window.length) == (3, 3_000_000)


def test_a_host_that_waits_is_not_ahead():
    """Kernels that end in their own steps: a step is from its start to the start of the next."""
    completion = analyse(lengths([300] * 4).trace()).completion
    assert (completion.ahead, completion.step_ns) == (False, 300_000)


def test_a_stream_of_copies_alone_completes_nothing():
    """A download that trails by 900 µs on a stream of its own does not make a step longer."""
    builder = lengths([300] * 4)
    builder.memcpy(60, 5, copy=("Memcpy DtoH (Device -> Pinned)", 300, 2000), stream=20)
    assert analyse(builder.trace()).completion.step_ns == 300_000


def test_one_outlier_does_not_count():
    """One step of 3000 µs among nine of 300 decides nothing."""
    completion = analyse(lengths([300, 300, 300, 3000, *[300] * 6]).trace()).completion
    assert (completion.step_ns, completion.outliers, completion.recurring) == (300_000, 1, 0)


def test_what_recurs_counts_by_its_share():
    """Every third step takes 900 µs: a step takes (2 · 300 + 900) ÷ 3."""
    completion = analyse(lengths([300, 300, 900] * 4).trace()).completion
    assert (completion.step_ns, completion.outliers, completion.recurring) == (500_000, 0, 4)


def test_a_cold_head_does_not_count():
    """The first two steps have no device rows, for recording of the device began later: they are left out."""
    builder = TraceBuilder()
    for at, length in enumerate((500, 500, 300, 300, 300)):
        start = sum((500, 500, 300, 300, 300)[:at])
        builder.step(start, length).op("aten::mm", start + 5, 20)
        builder.launch(start + 10, 5, kernel=("k", start + 20, 30) if at > 1 else None)
    completion = analyse(builder.trace()).completion
    assert completion.counts.tolist() == [False, False, True, True, True]
    assert completion.step_ns == 300_000


def test_a_window_of_some_steps_holds_only_their_time():
    """The second of three steps left out: 600 of 900 µs, and no instant of the second."""
    window = analyse(lengths([300] * 3).trace()).window
    part = window.only(np.array([True, False, True]))
    inside = part.holds(window.start + np.array([10_000, 310_000, 610_000]))
    assert (part.count, part.length) == (2, 600_000)
    assert inside.tolist() == [True, False, True]
    assert part.place(np.array([window.start + 650_000])).tolist() == [350_000]
