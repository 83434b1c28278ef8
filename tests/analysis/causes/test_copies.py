"""Copies: a slow link by its fastest copies, many small ones by their number."""

import pytest

from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder

PINNED = "Memcpy HtoD (Pinned -> Device)"
PAGEABLE = "Memcpy HtoD (Pageable -> Device)"


def causes(work, steps=4):
    """Causes by name of a loop of steps of 10 ms with a kernel each; ``work`` adds what a step holds, from a time."""
    builder = TraceBuilder()
    for number in range(steps):
        at = 10_000 * number
        builder.step(at, 10_000).op("aten::mm", at + 7000, 50).launch(at + 7010, 5, kernel=("gemm", at + 7020, 2000))
        work(builder, at)
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


@pytest.mark.parametrize(("megabytes", "name", "named"), [(6, PINNED, True), (60, PINNED, False), (6, PAGEABLE, False)])
def test_a_slow_link_is_judged_by_large_copies_from_pinned_memory(megabytes, name, named):
    """In 5 ms 6 MB are 1.2 GB/s, slow for any slot; 60 MB are 12; pageable memory tells nothing of the link."""
    found = causes(
        lambda builder, at: builder.memcpy(at + 10, 20, copy=(name, at + 40, 5000), nbytes=megabytes * 1_000_000)
    )
    assert ("slow_link" in found) is named
    if named:
        assert "moves 1.2 GB/s" in found["slow_link"].evidence
        assert found["slow_link"].bars == ["pinned_memory"]


@pytest.mark.parametrize(("number", "named"), [(30, True), (10, False)])
def test_many_small_copies(number, named):
    """Thirty uploads of 1 kB a step, 100 µs each; ten are not many."""

    def work(builder, at):
        for place in range(number):
            start = at + 50 + 200 * place
            builder.memcpy(start, 100, copy=(PAGEABLE, start + 90, 2), nbytes=1024)

    assert ("many_small_copies" in causes(work)) is named
