"""Forecasts: the founding case, the one public pair of real traces, what applies and why not, and when none is made."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import pytest

from stallscope.analysis.contract.forecast import WhatIf
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.contract.whatif import UNMEASURED
from stallscope.analysis.fixes.constants import TABLE
from stallscope.analysis.fixes.names import STANDARD, TITLES, Wanted, parse
from stallscope.analysis.forecast.asked import Asked
from stallscope.analysis.summary import summarize
from stallscope.traces.model.manifest import CpuRun, Gpu, Machine, Manifest, Steps, Window
from stallscope.traces.read.read import read
from tests.builders import TraceBuilder
from tests.evidence.simulator.kineto import trace_bytes
from tests.evidence.simulator.machine import Machine as Simulated
from tests.evidence.simulator.program import Every, Instruction, Kernel, Launch, Loop, Work, item
from tests.evidence.simulator.run import Process
from tests.real import real
from tests.simulated_iris import SAMPLE

SAMPLE_STEP_US = 503.0  # median of its profiled steps


@cache
def sample(*fixes: Wanted, unprofiled_us: float | None = None, driver_model: str | None = None) -> Summary:
    """The summary of the simulated Iris training, with a manifest where an unprofiled step is given."""
    manifest = None if unprofiled_us is None else a_manifest(unprofiled_us, driver_model)
    return summarize(read(SAMPLE), manifest, asked=Asked(fixes=fixes or STANDARD))


def a_manifest(unprofiled_us: float, driver_model: str | None = None, cpu_run: CpuRun | None = None) -> Manifest:
    """A manifest with an unprofiled window of 100 steps."""
    window = Window(
        kind="unprofiled",
        round="full",
        first_step=0,
        steps=100,
        duration_ns=round(100_000 * unprofiled_us),
        samples_ns=[round(1000 * unprofiled_us)] * 100,
    )
    gpu = Gpu(name="GPU", driver_model=driver_model)
    machine = Machine(
        os="Linux", python="3.13", cpu="c", cores=8, threads=8, torch="2.13.0", torch_gpu="cuda 13.0", gpus=[gpu]
    )
    return Manifest(
        stallscope="0",
        created="2026-01-01T00:00:00Z",
        command=["train.py"],
        worker="w",
        pid=1,
        machine=machine,
        steps=Steps(count=100, source="optimizer"),
        windows=[window],
        cpu_run=cpu_run,
    )


def of(summary: Summary, fix: str) -> WhatIf:
    """The forecast of one fix."""
    (found,) = [each for each in summary.what_if or [] if each.fix == fix]
    return found


def step(summary: Summary, fix: str) -> float:
    """Its expected step, µs."""
    found = of(summary, fix).step_us
    assert found is not None
    return found.expected


# --- the founding case ------------------------------------------------------------------------------


def test_reading_the_loss_less_often_hardly_helps_the_founding_case() -> None:
    """Every 100th step saves 4 to 9 %, and from there to every 2000th less than half a percent: the flat curve."""
    every_100, every_2000 = Wanted("record_every", 100.0), Wanted("record_every", 2000.0)
    summary = sample(every_100, every_2000)
    saved = 1 - step(summary, "record_every_100") / SAMPLE_STEP_US
    assert 0.04 < saved < 0.09
    assert step(summary, "record_every_100") - step(summary, "record_every_2000") < 0.005 * SAMPLE_STEP_US
    assert "no work left" in of(summary, "record_every_100").why


def test_a_cuda_graph_is_what_helps_the_founding_case() -> None:
    """Four times as fast or more even while each loss is read, and the first in the list but for a larger batch."""
    summary = sample()
    assert 4 < SAMPLE_STEP_US / step(summary, "cuda_graph") < 8
    adding_up = [each.fix for each in summary.what_if or [] if each.with_those_before_us is not None]
    assert adding_up[:2] == ["cuda_graph", "record_every_100"]


def test_savings_shrink_when_they_are_added_up() -> None:
    """After the graph, reading less often still saves what the read itself takes, and both together save most."""
    graph, reads = of(sample(), "cuda_graph"), of(sample(), "record_every_100")
    assert graph.with_those_before_us == pytest.approx(step(sample(), "cuda_graph"))
    assert reads.with_those_before_us is not None
    assert reads.with_those_before_us < step(sample(), "cuda_graph")
    assert graph.adds_share == pytest.approx(graph.saving_share)


def test_every_forecast_lies_inside_its_interval() -> None:
    """Bounds in order: low ≤ expected ≤ high; the share saved fits the step, and what does not apply has no step."""
    summary = sample()
    assert summary.forecast is not None
    for each in summary.what_if or []:
        assert each.why
        if each.step_us is None:
            assert not each.applies
            continue
        assert 0 <= each.step_us.low <= each.step_us.expected <= each.step_us.high
        assert each.saving_share == pytest.approx(1 - each.step_us.expected / (summary.forecast.step_us or 0.0))


def test_all_fixes_are_answered_best_first() -> None:
    """Every fix is in the list, those that apply first, by what they save."""
    rows = sample().what_if or []
    assert {parse(row.fix).fix for row in rows} == set(TITLES)
    shares = [row.saving_share for row in rows if row.applies]
    assert shares == sorted(shares, key=lambda share: -(share or 0.0))
    assert [row.applies for row in rows] == sorted((row.applies for row in rows), reverse=True)


# --- calibration ------------------------------------------------------------------------------------


def test_an_unprofiled_step_is_where_forecasts_start() -> None:
    """Of a step of 503 µs under the profiler and 380 µs without, forecasts are of 380 µs, with a faster host."""
    base = sample(unprofiled_us=380.0).forecast
    assert base is not None
    assert (base.step_us, base.basis, base.confidence) == (380.0, "unprofiled", "ok")
    assert base.host_factor is not None
    assert 0.70 < base.host_factor < 0.80
    assert step(sample(unprofiled_us=380.0), "record_every_100") < 380.0


def test_without_an_unprofiled_step_the_interval_reaches_further() -> None:
    """The same trace alone: profiled time, said so, with the host up to 1.5 times as fast as it looks."""
    base = sample().forecast
    assert base is not None
    assert base.basis == "profiled time"
    assert base.host_factor == 1.0
    assert base.host_factor_low == pytest.approx(1 / 1.5, abs=0.01)


def test_an_unprofiled_step_that_cannot_be_is_said() -> None:
    """Five times as fast without the profiler: the two windows saw different work, and confidence is low."""
    base = sample(unprofiled_us=100.0).forecast
    assert base is not None
    assert base.confidence == "low"
    assert "different work" in base.reasons[-1]


def test_wddm_makes_forecasts_doubtful() -> None:
    """Under Windows' WDDM driver launches are batched: low confidence, with that reason."""
    summary = sample(unprofiled_us=380.0, driver_model="WDDM")
    assert summary.forecast is not None
    assert summary.forecast.confidence == "low"
    assert "WDDM" in summary.forecast.reasons[0]
    assert of(summary, "cuda_graph").confidence == "low"


# --- the real pair ----------------------------------------------------------------------------------


def test_the_resnet_pair(real_traces: Path) -> None:
    """From the run without workers, the step with four is forecast within 10 % and inside the interval."""
    before, after = (
        real(next((real_traces / "kineto-2021" / f"resnet50_num_workers_{n}").glob("*.json.gz"))).summary
        for n in (0, 4)
    )
    found = of(before, "dataloader_workers").step_us
    assert found is not None
    measured = after.steps.wall_us.median
    assert measured == 126_548.0
    assert abs(found.expected / measured - 1) < 0.10
    assert found.low <= measured <= found.high
    assert of(before, "record_every_100").applies is False
    assert "has worker processes already" in of(after, "dataloader_workers").why


def test_a_trace_that_explains_too_little_gets_no_forecast(real_traces: Path) -> None:
    """In 42 % of this window the CPU waits for work that is not in the file: no forecast, and that reason."""
    summary = real(real_traces / "a100" / "recommender_rank0_of_16.json.gz").summary
    assert summary.what_if is None
    assert summary.forecast is not None
    assert summary.forecast.confidence == "refused"
    assert "42 %" in summary.forecast.reasons[0]


# --- what applies -----------------------------------------------------------------------------------


def test_a_run_without_a_gpu_gets_no_forecast() -> None:
    """Operators only: there is no GPU's work to be moved."""
    summary = summarize(TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 10, 80).trace())
    assert summary.what_if is None
    assert summary.forecast is not None
    assert summary.forecast.reasons == ["this run used no GPU"]


def test_the_cpu_is_measured_and_never_modelled() -> None:
    """With steps timed on the CPU their time is the answer; without, or where they failed, it is said why not."""
    times = CpuRun(steps=200, duration_ns=200 * 146_000, samples_ns=[146_000] * 200)
    trace = read(SAMPLE)
    measured = summarize(trace, a_manifest(380.0, cpu_run=times))
    found = of(measured, "cpu")
    assert found.step_us is not None
    assert found.step_us.expected == 146.0
    assert found.confidence == "measured"
    failed = summarize(trace, a_manifest(380.0, cpu_run=CpuRun(why="the script asks for a GPU by name")))
    assert of(failed, "cpu").applies is False
    assert "asks for a GPU" in of(failed, "cpu").why
    assert "only a measurement" in of(sample(), "cpu").why


def test_steps_that_differ_cannot_be_a_graph() -> None:
    """Each step launches a kernel of another name: shapes or branches change, so no graph."""
    builder = TraceBuilder()
    for number in range(4):
        start = 1000 * number
        builder.step(start, 1000).launch(start + 100, 5, kernel=(f"kernel_{number}", start + 110, 50))
    found = of(summarize(builder.trace()), "cuda_graph")
    assert found.applies is False
    assert "only 1 of 4 steps" in found.why


def test_a_copy_from_pageable_memory_can_be_pinned() -> None:
    """A blocking copy of 8 MB at 4 GB/s a step: pinned, it takes less, and the interval allows for who pins it."""
    builder = TraceBuilder()
    for number in range(4):
        start = 10_000 * number
        builder.step(start, 10_000)
        copy = ("Memcpy HtoD (Pageable -> Device)", start + 120, 2000)
        builder.memcpy(start + 100, 2030, copy=copy, nbytes=8_000_000)
        builder.launch(start + 2200, 5, kernel=("gemm", start + 2210, 7000))
        builder.sync(start + 2300, 6920)
    found = of(summarize(builder.trace()), "pinned_memory")
    assert found.applies
    assert found.step_us is not None
    assert found.step_us.low < 10_000
    assert "8.00 MB" in found.why


# --- names and constants ----------------------------------------------------------------------------


def test_fixes_are_asked_for_by_name_and_number() -> None:
    """With =, as the name in the output, or with the usual number; hyphens do as well."""
    assert parse("record_every=50") == Wanted("record_every", 50.0)
    assert parse("record_every_100") == Wanted("record_every", 100.0)
    assert parse("dataloader-workers") == Wanted("dataloader_workers", 4.0)
    assert parse("cuda_graph") == Wanted("cuda_graph")


@pytest.mark.parametrize("text", ["nope", "cuda_graph=3", "record_every=often", "record_every=0"])
def test_a_fix_that_is_none_is_refused_with_the_list(text: str) -> None:
    """An unknown name, a number where none is taken, no number, zero."""
    with pytest.raises(ValueError, match="record_every"):
        parse(text)


def test_only_what_is_asked_for_is_forecast() -> None:
    """One fix with a number of its own."""
    summary = sample(Wanted("record_every", 50.0))
    assert [each.fix for each in summary.what_if or []] == ["record_every_50"]


def test_constants_have_bounds_sources_and_marks() -> None:
    """Each value lies in its bounds and says where it is from; none has been measured on hardware yet."""
    assert len({each.name for each in TABLE}) == len(TABLE) >= 15
    for each in TABLE:
        assert each.low <= each.value <= each.high
        assert each.source
        assert each.mark == UNMEASURED
    assert msgspec.structs.replace(TABLE[0], measured=True).mark == "measured on hardware"


def test_the_contract_keeps_its_names() -> None:
    """`what_if` in the JSON: fix, step_us with low, expected, high, saving_share, applies, why."""
    (plain,) = msgspec.to_builtins(sample(Wanted("cuda_graph")).what_if)
    assert {"fix", "step_us", "saving_share", "applies", "why"} <= set(plain)
    assert list(plain["step_us"]) == ["low", "expected", "high"]


# --- the founding case, executed --------------------------------------------------------------------


def founding(every: int, folder: Path) -> tuple[Summary, float]:
    """20 kernels of 1.5 µs at 27 µs of host work each, the loss read each ``every`` steps: (summary, true step, µs)."""
    read_it: tuple[Instruction, ...] = (Work(4.0), Every(every, (Work(8.0), item())))
    body = (*(Work(22.5), Launch(Kernel("k", 1.5))) * 20, Work(10.0), *read_it)
    process = Process(Loop(body), Simulated(host_scale=1.0), "founding")
    step_us = process.step_ns(2000) / 1000
    trace = folder / f"every_{every}.1700000000000000000.pt.trace.json"
    trace.write_bytes(trace_bytes(process.record(20)))
    fixes = (Wanted("record_every", 100.0), Wanted("record_every", 2000.0), Wanted("cuda_graph"))
    return summarize(read(trace), a_manifest(step_us), asked=Asked(fixes=fixes)), step_us


def test_the_curve_that_the_founding_cases_author_measured(tmp_path: Path) -> None:
    """From the run that reads each loss: every 100th or 2000th is forecast within 3 % of what comes, and flat."""
    now, step_now = founding(1, tmp_path)
    assert now.verdict.kind == "launch-bound"
    assert any(".item()" in told for told in now.verdict.not_the_cause)
    for every in (100, 2000):
        _, truth = founding(every, tmp_path)
        assert step(now, f"record_every_{every}") == pytest.approx(truth, rel=0.03)
    flat = step(now, "record_every_100") - step(now, "record_every_2000")
    assert flat < 0.01 * step_now
    assert 4 < step_now / step(now, "cuda_graph") < 8


def test_a_run_that_reads_seldom_has_nothing_left_to_save(tmp_path: Path) -> None:
    """From the run that reads every 100th loss: no read in the 20 recorded steps, so nothing to forecast of reads."""
    now, _ = founding(100, tmp_path)
    assert now.verdict.kind == "launch-bound"
    assert of(now, "record_every_2000").applies is False


def test_fewer_launches_names_the_module_and_halves_what_it_does() -> None:
    """Two modules of 1 and 4 launches: the second is named, and two of its launches go with the work before them."""
    builder = TraceBuilder()
    for number in range(4):
        start = 1000 * number
        builder.step(start, 1000)
        builder.python("nn.Module: Linear_0", start + 10, 100).python("nn.Module: Block_0", start + 200, 700)
        builder.launch(start + 50, 5, kernel=("gemm", start + 60, 3))
        for launch in range(4):
            at = start + 250 + 150 * launch
            builder.launch(at, 5, kernel=("small", at + 8, 2))
    found = of(summarize(builder.trace()), "fewer_launches")
    assert found.title == "half the launches in Block_0"
    assert found.why.startswith("Block_0: 4 of 5 launches a step (80 %)")
    assert found.step_us is not None
    assert found.step_us.expected == pytest.approx(1000 - 2 * 5 - (195 + 145), abs=5)
