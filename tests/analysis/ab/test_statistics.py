"""Intervals and answers: the truth is held as often as it is said, and early stopping is paid for."""

import math

import numpy as np
import pytest

from stallscope.analysis.ab.statistics import (
    ALPHA,
    decide,
    interval,
    looks,
    more_blocks,
    run_in_turn,
    spent,
    t_quantile,
)
from tests.analysis.ab.simulated import KINDS, covered, decided, is_false


@pytest.mark.parametrize(
    ("p", "degrees", "expected"),
    [(0.975, 1, 12.7062), (0.975, 4, 2.7764), (0.995, 9, 3.2498), (0.9995, 3, 12.9240), (0.975, 100, 1.98397)],
)
def test_students_quantiles_are_those_of_the_tables(p, degrees, expected):
    """Abramowitz and Stegun, table 26.10."""
    assert t_quantile(p, degrees) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("most", [2, 4, 5, 20, 200])
def test_all_looks_together_spend_the_whole_and_no_more(most):
    """They end at the largest number of blocks; between looks nothing is spent."""
    planned = looks(most)
    assert planned[-1] == most
    assert list(planned) == sorted(set(planned))
    assert sum(spent(at, most) for at in range(1, most + 1)) == pytest.approx(ALPHA)
    assert all(spent(at, most) == 0 for at in range(1, most) if at not in planned)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [5, 20])
def test_intervals_hold_the_truth(kind, count):
    """At 95 % in at least 92 % of 300 made-up pairs (the whole: ``bench_ab``), t and bootstrap alike."""
    random = np.random.default_rng(7 * count + KINDS.index(kind))
    assert sum(covered(random, count, kind) for _ in range(300)) >= 276


def test_stopping_early_is_seldom_wrong():
    """Of 300 pairs, most without a change that matters, at most 5 % are called what they are not."""
    random, false = np.random.default_rng(5), 0
    for number in range(300):
        change = float(random.choice([0.0, 0.0, 0.011, -0.03, 0.05]))
        kind, spread = KINDS[number % len(KINDS)], float(random.uniform(0.003, 0.03))
        false += is_false(decided(random, change, kind, spread, 20, 0.01), change, 0.01)
    assert false <= 15


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (-0.005, 0.004, "same"),
        (0.001, 0.004, "same"),  # no zero in it, but too small to matter
        (0.02, 0.04, "slower"),
        (-0.04, -0.02, "faster"),
        (0.001, 0.012, "cannot tell"),  # slower for sure, by how much it matters is not
        (-0.02, 0.03, "cannot tell"),
    ],
)
def test_which_answer_comes_first(low, high, answer):
    """The same, then faster or slower, else cannot tell."""
    d = np.log1p([low, high])
    found = interval([float(d.mean())] * 2)
    assert found is not None
    made = type(found)((low + high) / 2, low, high, 0.95, 9)
    assert decide(made, 0.01) == answer


def test_one_block_tells_nothing():
    """Neither an interval nor an answer, nor how many more it takes."""
    assert interval([0.1]) is None
    assert decide(None, 0.01) == "cannot tell"
    assert more_blocks([0.1], 0.01) is None


def test_how_many_more_blocks_it_takes():
    """The noisier, the more; a change as large as its noise takes few."""
    few, many = more_blocks([0.05, 0.06, 0.04, 0.05], 0.01), more_blocks([0.3, -0.2, 0.1, -0.1], 0.01)
    assert few == 1
    assert many is not None
    assert many > 100


def test_the_orders_of_two_blocks_are_each_others_reverse():
    """AB then BA, or BA then AB, whichever the seed says; of three variants likewise."""
    random = np.random.default_rng(1)
    for arms in (2, 3):
        first = run_in_turn(arms, 0, random, None)
        assert sorted(first) == list(range(arms))
        assert run_in_turn(arms, 1, random, first) == first[::-1]


def test_equal_blocks_have_no_width():
    """Noise of zero: the interval is the change, and no division by it fails."""
    found = interval([math.log(1.1)] * 20)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
