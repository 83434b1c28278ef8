"""The interval of a difference between groups of runs: exact where it can be, honest with few runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stallscope.analysis.compare import bootstrap
from stallscope.analysis.compare.bootstrap import bootstrap_difference, t_quantile, welch_degrees_of_freedom


def coverage(runs: int, *, corrected: bool, rounds: int = 400) -> float:
    """Share of simulated comparisons of two like groups (normal, sd 2 %) whose interval holds the truth, 0."""
    random = np.random.default_rng(7)
    held = 0
    for _ in range(rounds):
        before, after = 100 + 2 * random.standard_normal((2, runs))
        if corrected:
            low, high = bootstrap_difference(before, after).interval
        else:
            picks = random.integers(0, runs, size=(2, 2000, runs))
            low, high = np.quantile(after[picks[1]].mean(axis=1) - before[picks[0]].mean(axis=1), [0.025, 0.975])
        held += bool(low <= 0 <= high)
    return held / rounds


def test_three_runs_a_side_cover_the_truth_as_often_as_claimed() -> None:
    """Of 400 comparisons of equal groups of three, at least 93 % of the 95 % intervals hold 0."""
    assert 0.93 <= coverage(3, corrected=True) <= 0.99


def test_the_plain_percentile_bootstrap_would_not() -> None:
    """The same simulation refutes the uncorrected method: that is why the correction is there."""
    assert coverage(3, corrected=False) < 0.85


def test_two_and_five_runs_a_side_cover_the_truth_too() -> None:
    """Fewest runs allowed, and more: never below the claim by more than the simulation's noise."""
    assert coverage(2, corrected=True) >= 0.93
    assert 0.92 <= coverage(5, corrected=True) <= 0.98


def test_the_interval_is_welchs_when_runs_are_many() -> None:
    """With 60 runs a side and no skew the bootstrap agrees with Welch's t interval to 5 % of its width."""
    random = np.random.default_rng(3)
    before, after = random.normal(100, 2, 60), random.normal(90, 1, 60)
    found = bootstrap_difference(before, after)
    error = math.sqrt(np.var(before, ddof=1) / 60 + np.var(after, ddof=1) / 60)
    centre = after.mean() - before.mean()
    assert found.difference == pytest.approx(centre)
    assert found.interval[0] == pytest.approx(centre - 1.99 * error, abs=0.2 * error)
    assert found.interval[1] == pytest.approx(centre + 1.99 * error, abs=0.2 * error)


def test_the_same_runs_give_the_same_interval() -> None:
    """The seed is fixed: a report must not change when it is printed again."""
    many = np.random.default_rng(1).normal(100, 3, 12)
    assert bootstrap_difference(many, many + 1) == bootstrap_difference(many, many + 1)
    first = bootstrap_difference([200.0, 210.0, 205.0], [170.0, 172.0, 169.0])
    assert first.difference == pytest.approx(-34.6667, abs=1e-4)
    assert first.ratio == pytest.approx(0.83089, abs=1e-5)


def test_runs_that_never_differ_have_an_interval_of_no_width() -> None:
    """Nothing varies, so there is nothing to resample: the interval is the difference itself."""
    found = bootstrap_difference([100.0, 100.0], [90.0, 90.0])
    assert found.interval == (-10.0, -10.0)
    assert found.ratio_interval == pytest.approx((0.9, 0.9))


def test_resampled_means_spread_like_the_mean_they_stand_for() -> None:
    """Of 0 and 2 the standard error is 1, of 1, 2, 3, 4, 5 it is 0.7071; without the scaling: 0.7071 and 0.6325."""
    random = np.random.default_rng(5)
    assert bootstrap._resampled_means([0.0, 2.0], random).std() == pytest.approx(1.0, abs=0.03)
    assert bootstrap._resampled_means([1.0, 2.0, 3.0, 4.0, 5.0], random).std() == pytest.approx(0.7071, abs=0.02)


def test_one_run_has_no_interval() -> None:
    """A side with one run is refused: its steps are no substitute for runs."""
    with pytest.raises(ValueError, match="at least two runs"):
        bootstrap_difference([100.0], [90.0, 91.0])


def test_no_ratio_where_a_mean_is_not_positive() -> None:
    """A ratio to nothing is unknown; the difference stays."""
    found = bootstrap_difference([0.0, 0.0], [5.0, 5.0])
    assert (found.difference, found.ratio, found.ratio_interval) == (5.0, None, None)


def test_t_quantiles() -> None:
    """Rounded down to whole degrees of freedom, so never too small; from 30 on the last entry of the table."""
    assert t_quantile(1.0) == 12.7062
    assert t_quantile(2.9) == 4.3027
    assert t_quantile(0.4) == 12.7062
    assert t_quantile(math.inf) == 2.0423
    assert len(bootstrap.T_QUANTILES) == 30


def test_welch_degrees_of_freedom() -> None:
    """Equal spreads: n1 + n2 - 2; all the spread on one side: that side's n - 1."""
    assert welch_degrees_of_freedom([1.0, 2.0, 3.0], [11.0, 12.0, 13.0]) == pytest.approx(4.0)
    assert welch_degrees_of_freedom([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]) == pytest.approx(2.0)
    assert welch_degrees_of_freedom([1.0, 1.0], [5.0, 5.0]) == math.inf
