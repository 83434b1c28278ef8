"""With a class of work free the step is the longest path through what remains: computed a second way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stallscope.analysis.replay.counterfactual import NAMES, Replayed, find_replayed
from stallscope.analysis.stages.stages import analyse
from stallscope.traces.read.read import read
from tests.analysis.replay.longest_path import Moments
from tests.analysis.replay.test_pace import MAIN_PROCESS, WORKERS, loading, queued
from tests.analysis.replay.test_replay_properties import instructions, recorded
from tests.evidence.simulator.pairs import pairs
from tests.examples import examples
from tests.real import every_real_trace, real

EXACT = 1e-9


def follows_the_law(replayed: Replayed) -> None:
    """The step, what each class saves and what the best two save are those of the longest path."""
    moments = Moments(replayed.graph, replayed.passes)
    base = moments.step_ns()
    assert replayed.step_us == pytest.approx(base / 1000, rel=EXACT)
    works = {name: work for work, name in NAMES.items()}
    shares = {name: 1 - moments.step_ns([work]) / base for name, work in works.items() if name in replayed.savings}
    assert min(shares.values(), default=0.0) >= -EXACT
    assert replayed.savings == pytest.approx(shares, abs=EXACT)
    if shares:
        both = 1 - moments.step_ns([works[replayed.ranked[0]], works[replayed.second]]) / base
        assert replayed.joint == pytest.approx(both, abs=EXACT)


@examples(20)
@given(st.lists(instructions(), min_size=1, max_size=8))
def test_random_loops(body):
    """Any loop of launches, copies, waits, reads and hand-overs."""
    replayed = find_replayed(recorded(body))
    assert replayed is not None
    follows_the_law(replayed)


def test_simulated_trainings(tmp_path):
    """Trainings of several layers, with and without workers, pinned memory and reads."""
    for number, pair in enumerate(pairs("development", 10)):
        path = tmp_path / f"{number}.pt.trace.json"
        path.write_bytes(pair.trace)
        replayed = find_replayed(analyse(read(path)))
        assert replayed is not None
        follows_the_law(replayed)


@pytest.mark.parametrize("builder", [loading(WORKERS), queued()], ids=["workers behind", "launched before"])
def test_what_keeps_its_pace(builder):
    """Batches that workers make, and a queue of work that was launched before the window."""
    replayed = find_replayed(analyse(builder.trace()))
    assert replayed is not None
    follows_the_law(replayed)


def test_the_law_can_fail():
    """A saving that is none of the longest path's is noticed."""
    replayed = find_replayed(analyse(loading(MAIN_PROCESS).trace()))
    assert replayed is not None
    follows_the_law(replayed)
    with pytest.raises(AssertionError):
        follows_the_law(replace(replayed, savings=replayed.savings | {"input": replayed.savings["input"] - 0.001}))


@every_real_trace
def test_real_traces(path):
    """Real traces, as far as they can be replayed."""
    replayed = find_replayed(real(path).stages)
    if replayed is not None:
        follows_the_law(replayed)
