"""Forecasts from simulated traces against what the simulator then executes.

The pairs are held out: nobody looks at them one by one, and no constant of the analysis is set on them. Where a figure
falls, look for the cause on development pairs: `python -m tests.evidence.simulator`. The figures of all 240 pairs are
in `results/held-out.txt`; here are the first 60, so the bounds of the interval are wider.
"""

from __future__ import annotations

import re
import statistics

import pytest

from stallscope.analysis.fixes.names import Wanted
from tests import ROOT
from tests.evidence.simulator.evaluate import NEVER, Scored, figures, manifest, score, summary_of
from tests.evidence.simulator.kineto import trace_bytes
from tests.evidence.simulator.machine import Machine
from tests.evidence.simulator.models import loop
from tests.evidence.simulator.pairs import RECORDED, pairs, timed_steps
from tests.evidence.simulator.program import Every, Instruction, Kernel, Launch, Loop, Work, item
from tests.evidence.simulator.run import Process


@pytest.fixture(scope="module")
def scored() -> list[Scored]:
    """60 held-out pairs: 12 of each fix, in all of its regimes."""
    return [score(one) for one in pairs("held-out", 60)]


@pytest.mark.slow
@pytest.mark.full
def test_forecasts_are_near_what_then_happens(scored: list[Scored]) -> None:
    """A forecast for nearly all, its median error at most 5 %, nine of ten within 15 %, and no bias to speak of."""
    found = figures(scored)
    assert found.pairs == 60
    assert found.forecast >= 57
    assert found.median_error is not None
    assert found.median_error <= 0.05
    assert found.p90_error is not None
    assert found.p90_error <= 0.15
    assert found.bias is not None
    assert abs(found.bias) <= 0.03


@pytest.mark.slow
@pytest.mark.full
def test_the_host_factor_is_the_hosts_own_time_without_the_profiler_by_that_under_it() -> None:
    """40 held-out trainings whose host's work is known: half of the factors are at most 0.02 off, none 0.3."""
    errors = []
    for one in pairs("held-out", 40):
        process, steps = Process(loop(one.training), one.machine, one.name, "before"), timed_steps(one.training)
        worked = process.host.worked_ns
        step_ns, bare = process.step_ns(steps), (process.host.worked_ns - worked) / steps
        worked = process.host.worked_ns
        trace = trace_bytes(process.record(RECORDED, warmup=0))
        factor = bare / ((process.host.worked_ns - worked) / RECORDED)
        summary = summary_of(trace, manifest(steps, step_ns), Wanted("cuda_graph"))
        errors += [abs(summary.scaled.factor - factor)] if summary.scaled else []
    assert len(errors) >= 28
    assert statistics.median(errors) <= 0.02
    assert max(errors) < 0.3


@pytest.mark.slow
@pytest.mark.full
def test_savings_are_not_taken_for_losses(scored: list[Scored]) -> None:
    """Of the changes that save or cost over 5 %, at least 95 % are forecast with the right sign."""
    found = figures(scored)
    assert found.signs >= 25
    assert found.sign_right is not None
    assert found.sign_right >= 0.95


@pytest.mark.slow
@pytest.mark.full
def test_intervals_say_how_sure_they_are(scored: list[Scored]) -> None:
    """80 % intervals: of 60 the truth lies in 70 to 95 %, nowhere near all and nowhere near half."""
    found = figures(scored)
    assert found.inside is not None
    assert 0.70 <= found.inside <= 0.95


def test_the_docs_give_the_figures_of_the_table() -> None:
    """Median, nine of ten and coverage in `docs/method.md` are those of `results/held-out.txt`, all pairs."""
    root = ROOT
    table = (root / "tests/evidence/simulator/results/held-out.txt").read_text(encoding="utf-8")
    (found,) = re.findall(r"^all +240 +\d+ +(\S+) % +(\S+) % +\S+ % +\S+ % of \d+ +(\S+) %$", table, re.MULTILINE)
    median, p90, inside = found
    told = " ".join((root / "docs/method.md").read_text(encoding="utf-8").split())
    assert f"within {median} %, nine of ten within {p90} %, the truth in the interval for {float(inside):.0f} %" in told


# --- the founding case ------------------------------------------------------------------------------

FOUNDING = Machine(host_scale=1.0)


def founding(every: int | None) -> Process:
    """20 kernels of 1.5 µs with 27 µs of host work each; the loss is read every ``every`` steps, or never."""
    read: tuple[Instruction, ...] = () if every is None else (Work(4.0), Every(every, (Work(8.0), item())))
    kernels = (Work(27.0 - FOUNDING.launch_us), Launch(Kernel("k", 1.5))) * 20
    return Process(Loop(kernels + read), FOUNDING, "founding")


def test_the_founding_case_is_launch_bound_and_its_flat_curve_is_foreseen() -> None:
    """Reading each step: the answer is "launch-bound", and every 100th or 2 000th step is forecast within 2 %."""
    process = founding(1)
    step_ns = process.step_ns(2_000)
    wanted = [Wanted("record_every", float(every)) for every in (100, 2_000, NEVER)]
    summary = summary_of(trace_bytes(process.record(20)), manifest(2_000, step_ns), *wanted)
    assert summary.verdict.kind == "launch-bound"
    forecast = {row.fix: row.step_us.expected for row in summary.what_if or [] if row.step_us}
    truth = {f"record_every_{every}": founding(every).step_ns(2_000) / 1000 for every in (100, 2_000)}
    for fix, us in truth.items():
        assert abs(forecast[fix] / us - 1) < 0.02
    assert abs(forecast["record_every_100"] / forecast[f"record_every_{NEVER}"] - 1) < 0.01
