"""Options and loops from the command line to the summary: the deep plan, no attribution, work at a regular distance."""

from __future__ import annotations

import json

import pytest

from tests.scripts.forked import profiled, python
from tests.scripts.processes import write
from tests.scripts.recorded import events, manifest, steps_in, timing_trace, window

pytestmark = pytest.mark.slow

HEADER = """
    import sys, time, torch
    from torch import nn
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(16, 4)
    def step(wait=0.0):
        opt.zero_grad()
        loss = model(x).square().mean()
        time.sleep(wait)
        loss.backward()
        opt.step()
"""


def summary_of(folder):
    """The summary of a run as JSON."""
    return json.loads(python("-m", "stallscope", "summary", folder, "--format", "json", cwd=folder).out)


def test_the_deep_plan(tmp_path):
    """50 timed steps without stacks, 10 attributed ones with them: Python functions, and the marks as ever."""
    write(tmp_path, HEADER + "    for _ in range(4000): step()\n")
    ended = profiled("train.py", cwd=tmp_path, options=("--plan", "deep"))
    assert ended.code == 0, ended.err
    run = tmp_path / "runs" / "train"
    found = manifest(run)
    timing, attribution = window(found, "timing", "full"), window(found, "attribution", "full")
    assert (timing.steps, timing.detail) == (50, [])
    assert (attribution.steps, attribution.detail) == (10, ["shapes", "stacks", "marks"])
    assert len(steps_in(timing_trace(run))) == 50
    kinds = {each.get("cat") for each in events(run / attribution.trace)}
    assert "python_function" in kinds
    assert "python_function" not in {each.get("cat") for each in timing_trace(run)}
    assert "stack_tracer_lost" not in {each.name for each in found.findings}
    shown = summary_of(run)
    assert shown["steps"]["count"] == 50
    places = {site["call_site"] for site in shown["call_sites"]}
    assert places >= {"train.py:9", "train.py:11", "train.py:12"}
    assert not [place for place in places if "stallscope" in place]


def test_the_deep_plan_under_a_profiler_of_python(tmp_path):
    """The script's cProfile counts what it does without us; missing stacks are said once, and in the manifest."""
    body = """
    import cProfile, pstats
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(4000): step()
    profiler.disable()
    calls = {name[2]: row[0] for name, row in pstats.Stats(profiler).stats.items() if name[0] == __file__}
    print(calls["step"])
    """
    write(tmp_path, HEADER + body)
    ended = profiled("train.py", cwd=tmp_path, options=("--plan", "deep"))
    assert (ended.code, ended.out) == (0, "4000\n"), ended.err
    found = manifest(tmp_path / "runs" / "train")
    assert window(found, "attribution", "full").detail == ["shapes", "marks"]
    (said,) = [each.text for each in found.findings if each.name == "stack_tracer_lost"]
    assert ended.err.count(said) == 1


def test_no_attribution(tmp_path):
    """``--no-attribution``: two windows a round, no lines, no modules, and the summary claims none."""
    write(tmp_path, HEADER + "    for _ in range(2000): step()\n")
    ended = profiled("train.py", cwd=tmp_path, options=("--no-attribution",))
    assert ended.code == 0, ended.err
    run = tmp_path / "runs" / "train"
    found = manifest(run)
    assert [(each.kind, each.round) for each in found.windows if each.round != "after"] == [
        ("unprofiled", "short"),
        ("timing", "short"),
        ("unprofiled", "full"),
        ("timing", "full"),
    ]
    assert (found.call_sites, found.modules) == ([], [])
    shown = summary_of(run)
    assert (shown["attribution"], shown["sync_sites"], shown["call_sites"], shown["modules"]) == (
        None,
        None,
        None,
        None,
    )


def test_periodic_work_and_inflation_from_the_script_to_the_summary(tmp_path):
    """A step in every 20 takes 40 ms longer: period, length, share and where; profiled and unprofiled steps, both."""
    body = """
    for index in range(1500):
        step(0.04 if index % 20 == 19 else 0.001)
    """
    write(tmp_path, HEADER + body)
    ended = profiled("train.py", cwd=tmp_path)
    assert ended.code == 0, ended.err
    run = tmp_path / "runs" / "train"
    found, shown = manifest(run), summary_of(run)
    work = shown["steps"]["periodic"][0]  # a busy machine may seem to do something regular of its own
    assert work["period"] == 20
    assert work["evaluation"] is False
    longest = max((each for each in found.windows if each.kind == "unprofiled"), key=lambda each: each.steps)
    assert (longest.first_step + work["first"]) % 20 == 19
    assert work["occurrences"] == len([n for n in range(longest.steps) if (longest.first_step + n) % 20 == 19])
    assert 20_000 < work["extra_us"] < 80_000
    own = work["occurrences"] * work["extra_us"] * 1000 / sum(longest.samples_ns)
    assert work["share"] == pytest.approx(own, rel=0.5)
    unprofiled, timing = window(found, "unprofiled", "full"), window(found, "timing", "full")
    told = shown["steps"]["unprofiled_us"]
    assert told["mean"] == pytest.approx(unprofiled.duration_ns / unprofiled.steps / 1000)
    assert told["host_samples"]["samples"] == [ns / 1000 for ns in unprofiled.samples_ns]
    profiled_us = shown["steps"]["wall_us"]["mean"]
    assert shown["steps"]["inflation"] == pytest.approx(profiled_us / shown["steps"]["unprofiled_us"]["mean"], rel=0.01)
    assert timing.steps == shown["steps"]["count"]
    text = " ".join(python("-m", "stallscope", "summary", run, cwd=run).out.split())
    assert "every 20" in text
