"""The ranks of one run side by side, and what the report says of them."""

from __future__ import annotations

import msgspec
import pytest

from stallscope import api
from stallscope.analysis.contract.rows import RankRow
from stallscope.analysis.fill.ranks import are_of_one_job, rank_spread
from stallscope.analysis.report.header import header
from stallscope.traces.model.errors import BadInput
from tests.builders import TraceBuilder


def row(rank, unprofiled=None, step=None, complete=True):
    """A rank with step times in µs."""
    return RankRow(rank=rank, worker=f"h_{rank}", steps=9, unprofiled_us=unprofiled, step_us=step, complete=complete)


def test_the_slowest_rank_by_times_without_the_profiler():
    """Where all ranks have unprofiled times, these count: rank 2 takes 150 µs, half as long again as rank 0."""
    spread = rank_spread([row(0, 100.0, 500.0), row(1, 120.0, 400.0), row(2, 150.0, 300.0)])
    assert (spread.slowest.rank, spread.fastest.rank, spread.share, spread.profiled) == (2, 0, 0.5, False)


def test_the_slowest_rank_by_times_under_the_profiler():
    """Where one rank has no unprofiled time, the profiled ones are compared; with neither, nothing is said."""
    spread = rank_spread([row(0, None, 500.0), row(1, 120.0, 400.0)])
    assert (spread.slowest.rank, spread.share, spread.profiled) == (0, 0.25, True)
    assert rank_spread([row(0, None, 500.0), row(1, 120.0, None)]) is None
    assert rank_spread([row(0, 1.0, 1.0)]) is None


@pytest.mark.parametrize(
    ("ranks", "worlds", "one"),
    [([0, 1], [2, 2], True), ([0, 0], [2, 2], False), ([0, 1], [2, 4], False), ([0, None], [2, 2], False)],
    ids=["two ranks", "one rank twice", "two world sizes", "a rank unknown"],
)
def test_ranks_of_one_job(ranks, worlds, one):
    """Ranks belong together if each is known and there once, in a world of one size."""
    assert are_of_one_job(ranks, worlds) is one


def folder_of(path, *ranks, world=4):
    """A run folder with a small trace for each of ``ranks``, without manifests."""
    path.mkdir()
    for rank in ranks:
        builder = TraceBuilder(rank=rank, world_size=world).step(0, 100 + rank).step(100 + rank, 100 + rank)
        builder.write(path, f"h_{9 - rank}.{rank + 1}.pt.trace.json")
    return path


def told(summary):
    """What the header says of the ranks."""
    return dict(header(summary)).get("Ranks")


def test_traces_without_manifests_are_told_apart_by_what_they_say(tmp_path):
    """Rank 0 of three files speaks, whatever they are called; the fourth rank left nothing, and that is said."""
    (found,) = api.load_rank(folder_of(tmp_path / "run", 2, 0, 1))
    assert found.summary.trace.rank == 0
    assert [(each.rank, each.step_us, each.steps) for each in found.summary.ranks] == [
        (0, 100.0, None),
        (1, 101.0, None),
        (2, 102.0, None),
    ]
    assert told(found.summary) == (
        "this is rank 0; of the others (ranks 1, 2) see one with --rank 1; 1 of 4 left nothing. Slowest under the "
        "profiler: rank 2, 102 µs a step; fastest: rank 0, 100 µs (spread 2 %). Ranks that wait for each other take "
        "equally long"
    )


def test_another_rank_on_demand(tmp_path):
    """``rank=1`` explains rank 1; a rank that is not there is refused in a sentence that lists those that are."""
    run = folder_of(tmp_path / "run", 0, 1)
    assert api.summarize(run, rank=1).trace.rank == 1
    with pytest.raises(BadInput, match="no rank 3 here; its ranks: 0, 1"):
        api.summarize(run, rank=3)


def test_traces_that_are_of_no_one_job_are_each_explained(tmp_path):
    """One rank twice: none is chosen, both are given, and neither has a table of ranks."""
    run = folder_of(tmp_path / "run", 0)
    (run / "h_9.1.pt.trace.json").rename(run / "h_1.1.pt.trace.json")
    again = folder_of(tmp_path / "again", 0)
    (again / "h_9.1.pt.trace.json").rename(run / "h_2.1.pt.trace.json")
    found = api.load_rank(run)
    assert [each.summary.trace.rank for each in found] == [0, 0]
    assert [each.summary.ranks for each in found] == [[], []]
    assert {issue.name for each in found for issue in each.summary.health.issues} >= {"rank_conflict"}


def test_a_rank_that_was_killed_is_named(tmp_path):
    """A rank whose manifest was never completed is told; many ranks in a row are told as a row."""
    summary = api.summarize(folder_of(tmp_path / "run", 0, 1, world=9))
    rows = [row(rank, 100.0, complete=rank != 7) for rank in range(9)]
    assert told(msgspec.structs.replace(summary, ranks=rows)).startswith(
        "this is rank 0; of the others (ranks 1 to 8) see one with --rank 1; not written to the end: rank 7. Slowest"
    )


def test_a_single_trace_says_nothing_of_ranks(tmp_path):
    """One trace, one worker: no line about ranks, and an empty table."""
    summary = api.summarize(folder_of(tmp_path / "run", 0, world=1))
    assert (told(summary), summary.ranks) == (None, [])
