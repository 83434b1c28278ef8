"""Work that happens every so many steps, found in step times; and nothing found where there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallscope.analysis.report.header import periodic
from stallscope.analysis.stages.periodic import Periodic, find_periodic
from stallscope.analysis.summary import summarize
from tests.analysis.test_summary import manifest_of, window
from tests.builders import TraceBuilder
from tests.examples import examples

seeds = st.integers(0, 2**32 - 1)
NOISES = {
    "normal": lambda random, size: random.normal(300, 6, size),
    "lognormal": lambda random, size: random.lognormal(5.7, 0.3, size),
    "spikes": lambda random, size: 300 + random.exponential(9, size) + (random.random(size) < 0.04) * 400,
    "drift": lambda random, size: np.linspace(300, 420, size) + random.normal(0, 3, size),
    "constant": lambda _random, size: np.full(size, 300.0),
    "two speeds": lambda random, size: np.where(random.random(size) < 0.5, 300.0, 500.0),
}


def found(samples_us) -> list[tuple[int, int]]:
    """(period, first) of what is found."""
    return [(each.period, each.first) for each in find_periodic((np.array(samples_us) * 1000).astype(int).tolist())]


def test_a_loss_read_every_100_steps():
    """400 steps of 300 µs, those at 99, 199, 299 and 399 take 90 µs longer: 360 µs of 120 360."""
    samples = [300_000] * 400
    samples[99::100] = [390_000] * 4
    assert find_periodic(samples) == [Periodic(100, 99, 4, 90_000, pytest.approx(360 / 120_360))]


@pytest.mark.parametrize("noise", NOISES)
@examples(25)
@given(seed=seeds, size=st.sampled_from((5, 20, 60, 300, 1500)))
def test_no_alarm_on_noise(noise, seed, size):
    """Whatever the noise: nothing is periodic."""
    assert found(NOISES[noise](np.random.default_rng(seed), size)) == []


@examples(40)
@given(seed=seeds, period=st.integers(2, 150), first=st.integers(0, 149), noise=st.sampled_from(("normal", "drift")))
def test_what_sticks_out_at_a_regular_distance_is_found(seed, period, first, noise):
    """At least 6 times in the window, 100 µs over a jitter of 6 µs: found, at its place, and nothing else."""
    random = np.random.default_rng(seed)
    samples = NOISES[noise](random, max(300, 6 * period + 60))
    samples[first % period :: period] += 100 + random.normal(0, 5, len(samples[first % period :: period]))
    assert found(samples) == [(period, first % period)]


@examples(20)
@given(seed=seeds)
def test_two_periods(seed):
    """A print every 10 steps (60 µs), an evaluation every 100 (900 µs) on top of one of them: both."""
    samples = np.random.default_rng(seed).normal(300, 5, 1200)
    samples[9::10] += 60
    samples[99::100] += 900
    assert found(samples) == [(10, 9), (100, 99)]


def test_nothing_is_made_of_few_or_empty_samples():
    """No samples, zeros, two long steps."""
    assert [find_periodic(each) for each in ([], [0] * 50, [1] * 20 + [9] + [1] * 20 + [9] + [1] * 20)] == [[], [], []]


def spikes(size, *places) -> list[float]:
    """300 µs a step, 500 µs at these places."""
    return [500.0 if i in places else 300.0 for i in range(size)]


def test_few_repeats_in_a_short_series_are_no_period():
    """Four at equal distances: of 20 steps by chance once in 200 shuffles, of 40 once in 3000."""
    assert found(spikes(20, 1, 6, 11, 16)) == []
    assert found(spikes(40, 9, 19, 29, 39)) == [(10, 9)]
    assert found(spikes(40, 9, 14, 19, 29, 39)) == []
    assert found(spikes(80, 9, 14, 19, 29, 39, 49, 59, 69, 79)) == [(10, 9)]


@pytest.mark.parametrize(("noise", "seed", "size"), [("lognormal", 13692, 20), ("two speeds", 10000594, 15)])
def test_noise_that_looked_periodic_is_none(noise, seed, size):
    """Long steps at equal distances among others that are long: what shuffled steps often show."""
    assert found(NOISES[noise](np.random.default_rng(seed), size)) == []


def test_alarms_on_short_noise_are_rarer_than_one_in_1000():
    """3000 short series of three kinds of noise, of which few would be enough to see a rate of one in 1000 doubled."""
    alarms = sum(
        bool(found(NOISES[noise](np.random.default_rng(seed), size)))
        for noise in ("lognormal", "spikes", "two speeds")
        for seed in range(200)
        for size in (10, 15, 20, 30, 60)
    )
    assert alarms <= 1


def test_the_summary_says_what_is_periodic():
    """30 steps of 1 ms, every 10th 3 ms, which held an evaluation: 60 of 90 µs."""
    samples = [1_000_000 + 2_000_000 * (i % 10 == 9) for i in range(40)]
    recorded = window("timing", "full", steps=1, duration_ns=1, trace="t.json")
    bare = window("unprofiled", "full", steps=40, duration_ns=sum(samples), samples_ns=samples,
                  evaluation_steps=[9, 19, 29, 39])  # fmt: skip
    trace = TraceBuilder(gpu=None).step(0, 1000).op("a", 0, 5).trace()
    summary = summarize(trace, manifest_of(bare, recorded))
    (each,) = summary.steps.periodic
    assert (each.period, each.first, each.occurrences, each.extra_us, each.evaluation) == (10, 9, 4, 2000.0, True)
    assert each.share == pytest.approx(8 / 48)
    assert periodic(summary) == [
        "every 10 steps an evaluation takes 2.00 ms longer (4 seen), 17 % of the time of all steps"
    ]


def test_the_window_after_the_recording_tells_what_the_short_one_before_it_cannot():
    """20 steps of 0.5 ms hold no evaluation; of the 400 timed afterwards every 50th takes 5.5 ms: 40 of 240 ms."""
    samples = [500_000 + 5_000_000 * (i % 50 == 49) for i in range(400)]
    manifest = manifest_of(
        window("unprofiled", "full", steps=20, duration_ns=10_000_000, samples_ns=samples[:20]),
        window("timing", "full", steps=1, duration_ns=1, trace="t.json"),
        window("unprofiled", "after", steps=400, duration_ns=sum(samples), samples_ns=samples,
               evaluation_steps=list(range(49, 400, 50))),
    )  # fmt: skip
    summary = summarize(TraceBuilder(gpu=None).step(0, 1000).op("a", 0, 5).trace(), manifest)
    assert periodic(summary) == [
        "every 50 steps an evaluation takes 5.00 ms longer (8 seen), 17 % of the time of all steps"
    ]
    assert (summary.steps.unprofiled_us.mean, summary.steps.unprofiled_us.steps) == (500.0, 20)


def test_a_short_window_after_the_recording_does_not_hide_the_longer_one():
    """The script ended 9 steps after the recording: the 40 steps before it tell of the evaluation."""
    samples = [1_000_000 + 2_000_000 * (i % 10 == 9) for i in range(40)]
    manifest = manifest_of(
        window("unprofiled", "full", steps=40, duration_ns=sum(samples), samples_ns=samples),
        window("timing", "full", steps=1, duration_ns=1, trace="t.json"),
        window("unprofiled", "after", steps=9, duration_ns=9_000_000, samples_ns=samples[:9]),
    )
    summary = summarize(TraceBuilder(gpu=None).step(0, 1000).op("a", 0, 5).trace(), manifest)
    assert [(each.period, each.occurrences) for each in summary.steps.periodic] == [(10, 4)]
