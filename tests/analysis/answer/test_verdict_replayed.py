"""The verdict where the step can be replayed: by what each class of work would save."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from stallscope.analysis.answer.verdict import judge
from stallscope.analysis.replay.counterfactual import NAMES, Replayed
from stallscope.analysis.replay.graph import Graph, Kind, Tag
from stallscope.analysis.replay.graph_build import build
from stallscope.analysis.replay.replay import replay
from stallscope.analysis.replay.trust import Trust, find_trust
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from stallscope.traces.read.read import read
from tests.analysis.answer.test_verdict import facts, item
from tests.builders import TraceBuilder
from tests.sample_simulator import Hardware, Simulator, Work, steps
from tests.sample_trace import trace_bytes
from tests.simulated_iris import SAMPLE, step

OK = Trust(level="ok", reasons=(), identity_error=0.0, unexplained_share=0.0, late_share=0.0, orphan_share=0.0)


def replayed(*, joint: float = 0.0, second: str = "sync", trust: Trust = OK, **savings: float) -> Replayed:
    """A replay of a step of 560 µs in which each class saves what is said, the others nothing."""
    shares = {name: savings.get(name, 0.0) for name in NAMES.values()}
    return _replayed(trust, shares, second, joint)


def not_replayed(trust: Trust) -> Replayed:
    """A replay that was given up."""
    return _replayed(trust, {}, "", 0.0)


def _replayed(trust: Trust, savings: dict[str, float], second: str, joint: float) -> Replayed:
    stages = analyse(loop().trace())
    return Replayed(
        graph=graph_of(loop())[0], part=stages, passes=2, trust=trust, step_us=560.0, savings=savings, second=second,
        joint=joint,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("savings", "kind"),
    [
        ({"host": 0.90, "sync": 0.06}, "launch-bound"),
        ({"sync": 0.21, "host": 0.13}, "sync-bound"),
        ({"input": 0.50, "sync": 0.31}, "input-bound"),
        ({"copy": 0.40}, "copy-bound"),
        ({"communication": 0.41, "compute": 0.17}, "communication-bound"),
        ({"compute": 0.66, "host": 0.01}, "compute-bound"),
        ({"compute": 0.19, "joint": 0.24}, "balanced"),
        ({"host": 0.41, "input": 0.33, "second": "input", "joint": 0.43}, "mixed(host, input)"),
        ({"host": 0.11, "second": "compute", "joint": 0.95}, "mixed(host, compute)"),
        ({"host": 0.11, "second": "compute", "joint": 0.24}, "balanced"),
        ({"host": 0.09, "second": "compute", "joint": 0.95}, "balanced"),
    ],
)
def test_kinds(savings, kind):
    """From 20 % and 1.5 times the second one name; two names from 10 % and 25 % together; else none."""
    verdict = judge(facts(), replayed(**savings))
    assert (verdict.kind, verdict.confidence) == (kind, "ok")
    assert verdict.text.endswith(".")
    assert verdict.savings.host == savings.get("host", 0.0)


def test_a_host_bound_step_is_launch_bound_only_where_launching_is_what_the_host_does():
    """3 launches in 560 µs are not what takes the time."""
    assert judge(facts(launches=3, kernels=3), replayed(host=0.9)).kind == "host-bound"


def test_the_text_says_what_would_be_left():
    """Beside the account of the step: what it would take if the CPU's work cost nothing."""
    text = judge(facts(), replayed(host=0.9, sync=0.06)).text
    assert text.endswith(" If the CPU's own work cost nothing, a step would take 56.0 µs instead of 560 µs, 90 % less.")


def test_two_causes_are_named_with_what_both_would_save():
    """Either alone, and both; and that it takes both where either alone only uncovers the other."""
    text = judge(facts(), replayed(host=0.11, second="compute", joint=0.95)).text
    assert text == (
        "The CPU's own work and the GPU's own work hold a step up together. If the CPU's own work cost nothing, a "
        "step of 560 µs would be 11 % shorter; if the GPU's own work did, 0 %; if both did, 95 %. Change both: either "
        "alone only uncovers the other."
    )


def test_a_second_cause_that_adds_nothing_is_not_a_second_cause():
    """41 and 32 % alone, 41 % together: without the first the second holds nothing up; 20 and 15 %, 35 %: two."""
    text = judge(facts(), replayed(host=0.41, input=0.32, second="input", joint=0.41)).text
    assert text == (
        "The CPU's own work and loading data hold a step up. If the CPU's own work cost nothing, a step of 560 µs "
        "would be 41 % shorter; if loading data did, 32 %; if both did, 41 %, no more than the first alone: without "
        "the CPU's own work, loading data holds nothing up."
    )
    two = judge(facts(), replayed(host=0.20, input=0.15, second="input", joint=0.35)).text
    assert two.startswith("Two things hold a step up: the CPU's own work and loading data. If")
    assert two.endswith("if both did, 35 %.")


def test_the_sum_of_waits_is_set_against_what_removing_them_saves():
    """500 µs of 560 in waits under a busy GPU: without them 2 % would be saved, for the CPU would wait elsewhere."""
    busy = {"busy_us": 520.0, "compute_us": 515.0, "kernel_sum_us": 515.0, "stall_us": 500.0, "sites": [item(500.0)]}
    verdict = judge(facts(**busy), replayed(compute=0.5, sync=0.02))
    assert verdict.kind == "compute-bound"
    assert verdict.not_the_cause[0] == (
        "Waiting in .item(): 500 µs of 560 µs, 89 % of each step. If it cost nothing, 2 % would be saved: the CPU "
        "would wait elsewhere."
    )


def test_a_wait_for_a_drained_queue_saves_its_own_cost():
    """The GPU had finished when .item() came: what is saved is the call, and the sentence says so."""
    said = judge(facts(sites=[item(39.0, drained_share=1.0)]), replayed(host=0.9, sync=0.06)).not_the_cause[0]
    assert "The GPU had already finished when the CPU came to wait; doing without saves 33.6 µs (6 %)" in said


def test_what_is_worth_changing_is_not_acquitted():
    """Waits that would save 16 % are not listed as innocent, nor as the cause."""
    said = judge(facts(), replayed(host=0.9, sync=0.16)).not_the_cause
    assert not any("Waiting" in each for each in said)


def test_low_confidence_says_why():
    """Reasons of a replay that is not to be trusted too far stand at the end of the verdict."""
    trust = replace(OK, level="low confidence", reasons=("only 1 step was recorded", "the steps are uneven"))
    verdict = judge(facts(), replayed(host=0.9, trust=trust))
    assert verdict.confidence == "low confidence"
    assert verdict.text.endswith("Low confidence: only 1 step was recorded; the steps are uneven.")


def test_a_trace_that_explains_too_little_gets_a_verdict_by_rule_and_its_doubt():
    """GPU work that started late for 40 % of the time: what the shares say, no savings, and why not to trust it."""
    trust = replace(OK, level="refused", late_share=0.4, reasons=("GPU work started late, by 40 % of the time",))
    verdict = judge(facts(), not_replayed(trust))
    assert (verdict.kind, verdict.confidence, verdict.savings.host) == ("launch-bound", "rule", None)
    assert verdict.text.endswith("Low confidence: GPU work started late, by 40 % of the time.")


def test_a_gpu_that_idles_with_work_launched_gets_no_verdict():
    """For 31 % of the time it idles although work had been launched: the rest of its idling says nothing either."""
    trust = replace(OK, level="refused", late_share=0.4, reasons=("GPU work started late, by 40 % of the time",))
    verdict = judge(facts(late_share=0.31), not_replayed(trust))
    assert (verdict.kind, verdict.confidence, verdict.not_the_cause) == ("refused", "refused", [])
    assert verdict.text.startswith("The GPU works 6 % of the time, and in 31 % it idles although work was launched")


def test_a_replay_that_misses_leaves_the_rule():
    """All is explained, but the unchanged replay is 7 % off: shares of the time still hold, a forecast does not."""
    trust = replace(OK, level="refused", identity_error=-0.07, reasons=("replaying the trace unchanged misses",))
    verdict = judge(facts(), not_replayed(trust))
    assert (verdict.kind, verdict.confidence, verdict.savings.host) == ("launch-bound", "rule", None)


# --- trust ------------------------------------------------------------------------------------------


def graph_of(builder: TraceBuilder) -> tuple[Graph, Trust]:
    """The graph of a built trace, and what its replay is worth."""
    stages = analyse(builder.trace())
    graph = build(stages)
    assert graph is not None
    return graph, find_trust(stages, graph, replay(graph))


def loop(count: int = 5, *, late: float = 0.0, first: float = 100.0) -> TraceBuilder:
    """Steps of 100 µs, the first of another length, with two kernels each; the second of them ``late`` µs late."""
    builder, at = TraceBuilder(), 0.0
    for n in range(count):
        builder.step(at, first if n == 0 else 100.0)
        builder.launch(at + 10, 4, kernel=("gemm", at + 18, 5)).launch(at + 30, 4, kernel=("gemm", at + 38 + late, 5))
        at += first if n == 0 else 100.0
    return builder


def test_an_even_loop_is_trusted():
    """Five equal steps with everything explained."""
    assert graph_of(loop())[1].level == "ok"


def test_few_steps_are_doubted():
    """Two steps may be unlike the rest."""
    assert graph_of(loop(2))[1].reasons == ("only 2 steps were recorded",)


def test_uneven_steps_are_doubted():
    """Steps of 100 µs and, of four, one of 400: the quartiles are 75 % of the median apart."""
    assert graph_of(loop(4, first=400.0))[1].reasons == (
        "the steps are uneven: the middle half of them spans 75 % of their median",
    )


@pytest.mark.parametrize(("late", "level"), [(4.0, "ok"), (30.0, "refused")])
def test_work_that_starts_late_for_no_reason(late, level):
    """30 µs in each 100, at every second kernel, are more than may stay unexplained; 4 are a matter of the machine."""
    builder = loop(5)
    for n in range(12):  # so that most launches show what a launch takes
        builder.launch(500 + 20 * n, 4, kernel=("gemm", 508 + 20 * n, 5))
    builder.step(500, 300)
    for n in range(5):
        builder.launch(820 + 100 * n, 4, kernel=("gemm", 828 + 100 * n + late * 3, 5))
        builder.step(800 + 100 * n, 100)
    _, trust = graph_of(builder)
    assert (trust.level == "refused") == (level == "refused")
    assert (trust.late_share > 0.1) == (level == "refused")


def test_an_unbelievable_profiler_and_a_batching_driver_are_doubted():
    """A step 3 times as long under the profiler; launches that Windows collects."""
    stages = analyse(loop().trace())
    graph = build(stages)
    found = find_trust(stages, graph, replay(graph), inflation=3.0, batched=True)
    assert found.reasons == (
        "under the profiler a step took 3 times as long as without it",
        "Windows' WDDM driver starts kernels in batches, which no trace shows",
    )
    assert find_trust(stages, graph, replay(graph), inflation=2.4).level == "ok"


# --- the founding case ------------------------------------------------------------------------------


def test_the_simulated_iris_step_is_launch_bound_and_item_is_not_the_cause():
    """The sample trace: the CPU's work would save most, .item() about its own 30 µs, and the verdict says so."""
    verdict = summarize(read(SAMPLE)).verdict
    assert (verdict.kind, verdict.confidence) == ("launch-bound", "ok")
    assert verdict.savings.host == pytest.approx(0.87, abs=0.02)
    assert verdict.savings.sync == pytest.approx(0.06, abs=0.01)
    assert verdict.not_the_cause[0].startswith("Waiting in .item(): 15.3 µs of 503 µs, 3 % of each step.")
    assert "The GPU had already finished" in verdict.not_the_cause[0]


def iris(every: int, count: int) -> list[float]:
    """Step times in µs of the simulated Iris training that reads its loss in every ``every``-th step, truly run."""
    simulator = Simulator(Hardware(jitter=0.0))
    ends = [0]
    for number in range(count):
        simulator.run(steps([step(number, read_loss=number % every == 0)], number))
        ends.append(simulator.now_ns)
    return (np.diff(ends) / 1000).tolist()


def test_reading_the_loss_seldom_gives_the_flat_curve_that_was_measured(tmp_path):
    """From a trace that reads it in each step: reading it in every 100th or 2000th makes a difference below 0.5 %.

    The forecast is T(never) + (T(each) − T(never)) ÷ k, and T(never) is the replay without .item(). It is 1.3 % off the
    truth: the Python around the call, 6 µs of 38, is in no range of the trace and cannot be told from the rest.
    """
    simulator = Simulator(Hardware(jitter=0.0))
    simulator.run(steps([step(number) for number in range(20)]))
    simulator.run([Work(20_000)])
    path = tmp_path / "worker0.1700000000000000000.pt.trace.json.gz"
    path.write_bytes(trace_bytes(simulator.spans))
    graph = build(analyse(read(path)))
    reading = graph.tag == Tag.ITEM
    copies = np.isin(np.arange(len(graph)), graph.edges.target[reading[graph.edges.source]])
    each = replay(graph, passes=2).step_ns / 1000
    never = replay(graph.without(reading | (copies & (graph.kind == Kind.MEMCPY))), passes=2).step_ns / 1000
    forecast = {k: never + (each - never) / k for k in (1, 100, 2000)}
    truth = {k: float(np.mean(iris(k, 300))) for k in (1, 100)}
    assert forecast[1] == pytest.approx(truth[1], rel=0.01)
    assert forecast[100] == pytest.approx(truth[100], rel=0.015)
    assert 0.04 < 1 - forecast[100] / forecast[1] < 0.09  # what little .item() costs …
    assert abs(forecast[2000] / forecast[100] - 1) < 0.005  # … is gone at every 100th step
