"""Copies: their groups, and which of them block."""

import pytest

from stallscope.analysis.stages.memcpy import find_copies
from stallscope.analysis.stages.where.launches import find_launches
from stallscope.analysis.stages.where.steps import find_window
from tests.builders import TraceBuilder


def copies_of(builder):
    """The stage on a trace built here."""
    trace = builder.trace()
    window = find_window(trace)
    return find_copies(trace, window, find_launches(trace, window))


def test_groups_add_up_count_size_time_and_rate():
    """Two 1 kB copies of 2 µs and 3 µs: 2000 bytes in 5000 ns are 0.4 GB/s."""
    builder = TraceBuilder().step(0, 100)
    builder.memcpy(10, 1, copy=("Memcpy HtoD (Pinned -> Device)", 20, 2), nbytes=1000)
    builder.memcpy(30, 1, copy=("Memcpy HtoD (Pinned -> Device)", 40, 3), nbytes=1000)
    (group,) = copies_of(builder).groups
    assert (group.count, group.bytes, group.ns, group.blocking) == (2, 2000, 5000, False)
    assert group.timed_bytes / group.timed_ns == 0.4


@pytest.mark.parametrize(
    ("call", "name", "call_us", "blocks"),
    [
        ("cudaMemcpyAsync", "Memcpy DtoH (Device -> Pageable)", 2, True),  # by definition waits for the stream
        ("cudaMemcpyAsync", "Memcpy HtoD (Pageable -> Device)", 20, True),  # the call outlasts the copy
        ("cudaMemcpyAsync", "Memcpy HtoD (Pageable -> Device)", 2, False),  # staged, then returned
        ("cudaMemcpyAsync", "Memcpy DtoH (Device -> Pinned)", 20, False),
        ("cudaMemcpyAsync", "Memcpy DtoD (Device -> Device)", 20, False),
        ("cudaMemcpy", "Memcpy HtoD (Pinned -> Device)", 20, True),
        ("cudaMemcpy", "Memcpy DtoD (Device -> Device)", 20, False),
        ("hipMemcpyWithStream", "Memcpy DtoD (Device -> Device)", 20, True),  # ROCm's .item() is labelled so
    ],
)
def test_copies_that_make_the_host_wait(call, name, call_us, blocks):
    """A copy of 5 µs that starts with the call at 10 µs, as CUDA and ROCm name it."""
    builder = TraceBuilder().step(0, 100).memcpy(10, call_us, copy=(name, 12, 5), name=call)
    found = copies_of(builder)
    assert len(found.blocking_calls) == blocks
    assert found.groups[0].blocking is blocks


def test_synchronous_copy_call_without_a_device_row_blocks_by_its_name():
    """A cudaMemcpy whose copy was not recorded still made the host wait."""
    assert len(copies_of(TraceBuilder().step(0, 100).call("cudaMemcpy", 10, 20)).blocking_calls) == 1
