"""Ranks end their unprofiled windows at the same step: rank 0 says when."""

import pytest

from stallscope.profiling.record import pace
from stallscope.profiling.record.pace import Pace
from stallscope.profiling.record.plan import Stage
from stallscope.traces.model.manifest import Window

FULL, SHORT = Stage("full", "unprofiled", 20), Stage("short", "unprofiled", 5)
MS = 1_000_000


def short_round(step_ns):
    """The windows of a short round whose 5 unprofiled steps took ``step_ns`` each."""
    taken = [step_ns] * 5
    return [Window(kind="unprofiled", round="short", first_step=5, steps=5, duration_ns=5 * step_ns, samples_ns=taken)]


@pytest.mark.parametrize(
    ("step_ns", "queues", "steps"),
    [(10 * MS, False, 25), (MS, True, 1000), (50_000, True, 4096), (500 * MS, True, 20), (30_000 * MS, True, 5)],
    ids=["a quarter of a second", "a second where launches queue", "no more than passes the queue", "few", "very slow"],
)
def test_rank_0_turns_its_time_into_steps(tmp_path, step_ns, queues, steps):
    """The number of steps after which it would have ended its window by time; the other rank reads it."""
    first, other = Pace(lambda: tmp_path, leads=True), Pace(lambda: tmp_path)
    first.open(FULL, 17, short_round(step_ns), queues=queues)
    other.open(FULL, 17, short_round(step_ns * 2), queues=queues)
    for each in (first, other):
        assert not each.enough(FULL, steps - 1, 10**12, queues=queues)
        assert each.enough(FULL, steps, 0, queues=queues)
        assert each.look_after(FULL, queues=queues)[1] == steps - 1


def test_a_rank_that_is_early_hears_of_it_later(tmp_path, monkeypatch):
    """The other rank opens its window before rank 0 has said anything, asks again, and then keeps to it."""
    monkeypatch.setattr(pace, "POLL_NS", 0)
    first, other = Pace(lambda: tmp_path, leads=True), Pace(lambda: tmp_path)
    other.open(FULL, 17, short_round(10 * MS), queues=False)
    assert other.look_after(FULL, queues=False)[1] == 4  # the shortest that rank 0 may give is 5 steps
    assert not other.enough(FULL, 24, 240 * MS, queues=False)
    first.open(FULL, 17, short_round(10 * MS), queues=False)
    assert not other.enough(FULL, 24, 240 * MS, queues=False)
    assert other.enough(FULL, 25, 250 * MS, queues=False)


def test_a_rank_that_hears_nothing_ends_by_itself(tmp_path):
    """Where rank 0 never says anything (it has failed), the window ends after twice its usual time."""
    other = Pace(lambda: tmp_path)
    other.open(FULL, 17, short_round(10 * MS), queues=False)
    assert not other.enough(FULL, 30, 300 * MS, queues=False)
    assert other.enough(FULL, 50, 500 * MS, queues=False)


def test_another_windows_number_is_not_taken(tmp_path, monkeypatch):
    """What was said of a window that began at another step, before the steps were found to be others, is void."""
    monkeypatch.setattr(pace, "POLL_NS", 0)
    first, other = Pace(lambda: tmp_path, leads=True), Pace(lambda: tmp_path)
    first.open(FULL, 17, short_round(10 * MS), queues=False)
    other.open(FULL, 40, short_round(10 * MS), queues=False)
    assert not other.enough(FULL, 25, 250 * MS, queues=False)


@pytest.mark.parametrize("folder", [None, lambda: None], ids=["alone", "no folder"])
def test_one_process_goes_by_time(folder):
    """Alone, or without a folder, the plan's own rule holds; the short round is five steps for everybody."""
    alone = Pace(folder)
    alone.open(SHORT, 5, [], queues=True)
    assert alone.enough(SHORT, 5, 0, queues=True)
    alone.open(FULL, 17, short_round(10 * MS), queues=False)
    assert alone.enough(FULL, 60, 600 * MS, queues=False)
    assert not alone.enough(FULL, 19, 600 * MS, queues=False)


def test_ranks_record_as_many_steps(tmp_path):
    """Rank 0 has room for 6 of 20 steps, so the other records 6; one alone records 20, or fewer if that takes long."""
    first, other, alone = Pace(lambda: tmp_path, leads=True), Pace(lambda: tmp_path), Pace()
    for each, steps in ((first, 6), (other, 20), (alone, 20)):
        each.record(49, steps)
    for each, steps in ((first, 6), (other, 20)):
        assert not each.recorded(5, steps, late=True)
        assert each.recorded(6, steps, late=False)
    assert not alone.recorded(19, 20, late=False)
    assert alone.recorded(20, 20, late=False)
    assert alone.recorded(1, 20, late=True)
