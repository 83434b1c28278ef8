"""Copies by place: what they cost, what ran beside them, and the copy that was meant not to block."""

import pytest

from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder
from tests.real import real

PAGEABLE = "Memcpy HtoD (Pageable -> Device)"
PINNED = "Memcpy HtoD (Pinned -> Device)"


def copy(builder, at, name=PAGEABLE, *, sync, call="cudaMemcpyAsync", operator="aten::copy_"):
    """An operator that copies 1000 bytes for 4 µs, and synchronizes unless told not to."""
    builder.op("aten::to", at, 30).op(operator, at + 1, 28)
    builder.memcpy(at + 2, 5, copy=(name, at + 10, 4), nbytes=1000, name=call)
    return builder.sync(at + 8, 10, name="cudaStreamSynchronize") if sync else builder


def sites_of(builder):
    """The copy sites of a trace built here."""
    stages = analyse(builder.trace())
    assert stages.broken_laws() == []
    return stages.copy_sites


@pytest.mark.parametrize(
    ("name", "call", "sync", "asked", "trap"),
    [
        (PAGEABLE, "cudaMemcpyAsync", True, False, False),
        (PAGEABLE, "cudaMemcpyAsync", False, True, True),
        (PINNED, "cudaMemcpyAsync", False, True, False),
        ("Memcpy DtoH (Device -> Pageable)", "cudaMemcpyAsync", False, True, True),
        ("Memcpy DtoD (Device -> Device)", "cudaMemcpyAsync", False, None, False),
        ("Memcpy HtoD (Host -> Device)", "hipMemcpyWithStream", False, False, False),
        ("Memcpy HtoD (Host -> Device)", "hipMemcpyAsync", False, True, False),
    ],
)
def test_whether_non_blocking_was_asked_for(name, call, sync, asked, trap):
    """PyTorch synchronizes after a copy unless non_blocking=True; pageable memory makes that a trap."""
    (site,) = sites_of(copy(TraceBuilder().step(0, 100), 10, name, sync=sync, call=call))
    assert (site.non_blocking, site.is_trap) == (asked, trap)
    assert site.place.chain == "aten::to < aten::copy_"


def test_outside_copy_nothing_is_known_of_non_blocking():
    """A copy that .item() or a C++ extension makes does not follow that habit."""
    (site,) = sites_of(copy(TraceBuilder().step(0, 100), 10, sync=False, operator="aten::_local_scalar_dense"))
    assert site.non_blocking is None


def test_a_site_adds_up_its_copies():
    """Two of 1000 bytes in 4 µs each: 0.25 GB/s, 7 µs of the two blocked calls; a third, elsewhere, is its own site."""
    builder = copy(copy(TraceBuilder().step(0, 200), 10, sync=True), 50, sync=True)
    builder.memcpy(100, 9, copy=(PAGEABLE, 101, 4), nbytes=1000)
    rows = summarize(builder.trace()).copy_sites
    assert [(row.chain, row.count_per_step, row.us_per_step, row.blocked_us_per_step) for row in rows] == [
        ("aten::to < aten::copy_", 2.0, 8.0, 0.0),
        (None, 1.0, 4.0, 9.0),
    ]
    assert (rows[0].gb_per_s, rows[0].bytes_per_step) == (0.25, 2000.0)


def test_overlap_is_the_time_beside_kernels_of_the_same_device():
    """A copy from 20 to 24 under a kernel until 21: a quarter; a kernel of another device does not count."""
    builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("k", 5, 16), stream=8)
    builder.launch(3, 1, kernel=("elsewhere", 5, 90), device=1)
    copy(builder, 10, PINNED, sync=False)
    summary = summarize(builder.trace())
    assert (summary.copy_sites[0].overlap_share, summary.memcpy[0].overlap_share) == (0.25, 0.25)


def test_the_trap_is_counted_and_named():
    """One of two pageable copies was meant not to block: counted in its row, and said above the table."""
    from stallscope.analysis.report.full_page import page
    from stallscope.analysis.report.style import Style

    summary = summarize(copy(copy(TraceBuilder().step(0, 100), 10, sync=True), 50, sync=False).trace())
    assert summary.memcpy[0].non_blocking_trap_per_step == 1.0
    text = " ".join(page(summary, Style()).split())
    assert "non_blocking=True has no effect on 1 of these copies: the CPU memory is pageable, not pinned" in text


def test_copies_of_real_traces(real_traces):
    """OWLv2's 55 pageable DtoH copies in 5 batches take 15 ms, the recommender's 30 blocking ones 758 ms."""
    owl = real(real_traces / "h100" / "owlv2_large.json.gz").summary
    (site,) = [row for row in owl.copy_sites if row.direction == "DtoH"]
    assert (owl.steps.count, site.count_per_step, site.memory, site.non_blocking) == (5, 11.0, "pageable", False)
    assert 5 * site.blocked_us_per_step == pytest.approx(15_256, abs=1)
    assert site.function.startswith("_ensure_tensor_on_device (transformers/pipelines/base.py:")
    rec = real(real_traces / "a100" / "recommender_rank0_of_16.json.gz").summary
    to_host = [row for row in rec.copy_sites if row.direction == "DtoH"]
    assert sum(row.count_per_step for row in to_host) * 5 == 30
    assert sum(row.blocked_us_per_step for row in to_host) * 5 == pytest.approx(758_000, abs=1_000)
    within = [row for row in rec.copy_sites if row.direction == "DtoD"]
    assert (sum(row.count_per_step for row in within) * 5, sum(row.blocked_us_per_step for row in within)) == (1140, 0)


def test_rocm_copies_block_by_their_call(real_traces):
    """On AMD hipMemcpyWithStream holds the host up, whatever the direction says, and was not asked to go on."""
    for name, calls in (("mi250_minitoy_train", 2), ("mi300_graph_decode", 1)):
        summary = real(real_traces / "amd" / f"{name}.json.gz").summary
        waits = [site for site in summary.sync_sites if site.kind == "copy"]
        assert {site.api for site in waits} == {"hipMemcpyWithStream"}
        assert sum(site.calls_per_step for site in waits) * summary.steps.count == calls
        assert [row.non_blocking for row in summary.copy_sites if row.blocked_us_per_step] == [False]
