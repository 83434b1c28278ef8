"""The rule verdict: shares in, one word and one sentence out; advice is that of the causes which save most."""

import pytest

from stallscope.analysis.answer.verdict import judge
from stallscope.analysis.causes.facts import Calls, Device, Facts, GpuFacts, Host, Input, Recording
from stallscope.analysis.contract.causes import Cause
from stallscope.analysis.report.bars import cpu_parts
from stallscope.analysis.report.tables import tables
from stallscope.analysis.stages.sites_by_line import SitesOfLine
from stallscope.analysis.stages.sync import Site
from stallscope.analysis.stages.where.places import Place
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder

NO_GPU = {"vendor": "cpu", "measured": False, "launches_known": False}


def facts(**changes) -> Facts:
    """A step of 560 µs with 19 kernels of 1.6 µs, as the Iris training's; ``changes`` say what is different."""
    base = {
        "vendor": "cuda", "measured": True, "launches_known": True, "refused": False, "from_steps": True,
        "step_us": 560.0, "unexplained_share": 0.0, "late_share": 0.0, "orphan_share": 0.0,
        "launches": 19, "graph_launches": 0, "memory_us": 0.0,
        "launch_call_us": 90.0, "kernels": 19, "kernel_sum_us": 30.4, "busy_us": 32.0, "stall_us": 39.0,
        "compute_us": 30.4, "copy_us": 1.6, "communication_us": 0.0, "input_us": 0.0, "dataloader_us": 0.0,
        "fetches": 0, "operators": 40, "operator_us": 300.0, "optimizer": None, "optimizer_launches": 0,
        "loader_workers": None, "trains": False, "gpus": 1, "cores": None, "threads": None, "scatter": None,
        "steps": 1, "cut_steps": 0, "sites": [item(39.0)],
    }  # fmt: skip
    step = {**base, **changes}
    ns = {name.removesuffix("_us"): round(1000 * step["steps"] * us) for name, us in step.items() if "_us" in name}
    device = Device(
        gpus=step["gpus"], kernels=step["kernels"] * step["steps"], kernel_sum_ns=ns["kernel_sum"], busy_ns=ns["busy"],
        compute_ns=ns["compute"], copy_ns=ns["copy"], input_ns=ns["input"], copies=(),
    )  # fmt: skip
    calls = Calls(
        launches=step["launches"] * step["steps"], graph_launches=step["graph_launches"],
        optimizer_launches=step["optimizer_launches"], launch_ns=ns["launch_call"],
        stall_ns=ns["stall"], memory_ns=ns["memory"],
        waits=tuple(SitesOfLine((site,)) for site in step["sites"]),
        kinds={site: str(site.operator).removeprefix("aten::") for site in step["sites"]},
    )  # fmt: skip
    return (GpuFacts if step["measured"] and step["launches_known"] else Facts)(
        vendor=step["vendor"],
        window_ns=ns["step"],
        steps=step["steps"],
        recording=Recording(
            refused=step["refused"], steps=step["steps"], cut_steps=step["cut_steps"], from_steps=step["from_steps"],
            unexplained_share=step["unexplained_share"], lost_share=0.0, late_share=step["late_share"],
            orphan_share=step["orphan_share"], cut_short=False,
        ),
        host=Host(
            operators=step["operators"], operator_ns=ns["operator"], optimizer=step["optimizer"],
            trains=step["trains"], cores=step["cores"], threads=step["threads"], scatter=step["scatter"],
            wall_ns=ns["step"],
        ),
        input=Input(dataloader_ns=ns["dataloader"], fetches=step["fetches"], workers=step["loader_workers"]),
        communication_ns=ns["communication"],
        device=device if step["measured"] else None,
        calls=calls if step["launches_known"] else None,
    )  # fmt: skip


def item(blocked_us: float, operator: str = "aten::item", drained_share: float | None = None) -> Site:
    """A wait in .item(), or in another operator."""
    return Site(
        kind="synchronize", api="cudaStreamSynchronize", place=Place(operator, None, None, None, None, "main"),
        by_profiler=False, calls=1, blocked_ns=round(1000 * blocked_us), waited_ns=0, idle_after_ns=None, lag_ns=None,
        drained_share=drained_share, waited_for=None, waited_way=None,
    )  # fmt: skip


GPU_BUSY = {"busy_us": 520.0, "compute_us": 515.0, "kernel_sum_us": 515.0}


def test_the_founding_case_is_launch_bound_and_item_is_not_the_cause():
    """The sentence a beginner needs, with this run's figures, and .item() acquitted with its own."""
    verdict = judge(facts())
    assert verdict.kind == "launch-bound"
    assert verdict.text == (
        "Each step starts 19 kernels of 1.60 µs; preparing and starting them takes the CPU 521 µs, so the GPU works "
        "6 % of the time and waits for the CPU the rest."
    )
    assert verdict.not_the_cause[0] == "Waiting in .item(): 39.0 µs of 560 µs, 7 % of each step."


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "launch-bound"),
        ({"launches": 3, "kernels": 3}, "host-bound"),  # too few launches to be about launching
        ({"kernel_sum_us": 19 * 40.0, "busy_us": 200.0}, "host-bound"),  # each kernel outlasts the work to start it
        ({"step_us": 56_000.0}, "host-bound"),  # 2.9 ms per launch: the time goes elsewhere
        ({"input_us": 400.0, "dataloader_us": 400.0}, "input-bound"),
        ({"stall_us": 300.0, "busy_us": 250.0, "compute_us": 250.0}, "sync-bound"),
        (GPU_BUSY, "compute-bound"),
        ({**GPU_BUSY, "stall_us": 500.0}, "compute-bound"),  # a long wait under a busy GPU is no cause
        ({"busy_us": 520.0, "compute_us": 200.0, "communication_us": 300.0}, "communication-bound"),
        ({"busy_us": 520.0, "compute_us": 200.0, "copy_us": 300.0}, "copy-bound"),
        ({"busy_us": 400.0, "compute_us": 400.0, "stall_us": 90.0}, "balanced"),
        ({"unexplained_share": 0.11}, "refused"),
        ({"refused": True}, "refused"),
        ({"measured": False}, "unknown"),
        ({"launches_known": False}, "unknown"),
        ({"step_us": 0.0}, "unknown"),
        ({"vendor": "mtia", "measured": False, "launches_known": False}, "unknown"),
        ({"vendor": "cpu", "measured": False, "launches_known": False}, "cpu"),
    ],
)
def test_kinds(changes, kind):
    """One change to the founding case each, and the word it gets; every kind has a sentence."""
    verdict = judge(facts(**changes))
    assert verdict.kind == kind
    assert verdict.confidence == ("refused" if kind == "refused" else "rule")
    assert verdict.text.endswith(".")
    assert len(verdict.advice) <= 3


def test_no_advice_and_no_acquittal_where_the_verdict_abstains():
    """Figures that cannot be trusted support no advice."""
    verdict = judge(facts(unexplained_share=0.42))
    assert (verdict.not_the_cause, verdict.advice) == ([], [])
    assert "42 %" in verdict.text


def test_small_doubts_are_said():
    """Between 2 and 10 % of unexplained waits the verdict stands, with low confidence; likewise many lost launches."""
    assert "Low confidence: 5 % of the time" in judge(facts(unexplained_share=0.05)).text
    assert "Low confidence: 26 % of the GPU work has no launch" in judge(facts(orphan_share=0.26)).text


def test_waits_under_a_busy_gpu_are_explained_not_blamed():
    """A GPU-bound step that waits 500 µs in .item(): the wait would only move."""
    verdict = judge(facts(**GPU_BUSY, stall_us=500.0, sites=[item(500.0)]))
    assert any("would wait elsewhere" in text for text in verdict.not_the_cause)
    assert not any(".item()" in text for text in verdict.advice)


def test_a_cpu_run_says_what_the_cpu_does():
    """Operators against everything between them."""
    verdict = judge(facts(vendor="cpu", measured=False, launches_known=False))
    assert verdict.text == (
        "This run used no GPU. Of the 560 µs of each step the CPU spends 54 % in 40 operators of 7.50 µs each, and "
        "46 % outside them: Python, and whatever was not recorded."
    )


def test_a_cpu_run_that_loads_data_most_of_the_time_is_input_bound():
    """69 % in the DataLoader, 29 % in operators: the sentence blames loading."""
    verdict = judge(facts(**NO_GPU, step_us=1000.0, dataloader_us=690.0, operator_us=290.0, operators=2))
    assert verdict.kind == "input-bound"
    assert verdict.text == (
        "Loading data is the limit, on a run without a GPU: 690 µs of the 1.00 ms of each step (69 %) pass in the "
        "DataLoader. The CPU spends 29 % in 2 operators of 145 µs each, and 2 % outside both: Python, and whatever was "
        "not recorded."
    )
    assert verdict.not_the_cause == []


@pytest.mark.parametrize(
    ("loading_us", "operator_us", "kind"),
    [(200.0, 199.0, "input-bound"), (199.0, 100.0, "cpu"), (300.0, 300.0, "cpu"), (300.0, 600.0, "cpu")],
)
def test_loading_names_a_cpu_run_from_a_fifth_of_the_step_and_above_the_operators(loading_us, operator_us, kind):
    """Both limits, from both sides."""
    changes = {"step_us": 1000.0, "dataloader_us": loading_us, "operator_us": operator_us}
    assert judge(facts(**NO_GPU, **changes)).kind == kind


def test_a_cpu_run_names_the_loader_beside_the_operators_from_one_percent_on():
    """10 % of loading is named and is not part of the rest; 0.5 % is not worth a word."""
    told = judge(facts(**NO_GPU, step_us=1000.0, dataloader_us=100.0, operator_us=600.0, operators=2))
    assert "60 % in 2 operators of 300 µs each, 10 % in the DataLoader, and 30 % outside both: Python" in told.text
    silent = judge(facts(**NO_GPU, step_us=1000.0, dataloader_us=5.0, operator_us=600.0, operators=2))
    assert "DataLoader" not in silent.text


def test_operators_that_the_dataloader_runs_are_loading_and_nothing_else():
    """600 µs of loading with 500 µs of aten::stack inside, 300 µs of aten::mm after it, in a step of 1 ms."""
    builder = (
        TraceBuilder(gpu=None).step(0, 1000).dataloader(0, 600).op("aten::stack", 50, 500).op("aten::mm", 600, 300)
    )
    verdict = summarize(builder.trace()).verdict
    assert verdict.kind == "input-bound"
    assert "600 µs of the 1.00 ms of each step (60 %)" in verdict.text
    assert "30 % in 1 operator of 300 µs, and 10 % outside both" in verdict.text


def test_what_processes_exchange_without_a_gpu_is_part_of_the_answer():
    """61 % in collectives stands first, and is not part of "Python"."""
    run = facts(**NO_GPU, step_us=1000.0, communication_us=610.0, operator_us=150.0, operators=2)
    verdict = judge(run)
    assert verdict.text == (
        "This run used no GPU. Of the 1.00 ms of each step the CPU spends 61 % exchanging data between processes, 15 % "
        "in 2 operators of 75.0 µs each, and 24 % outside both: Python, and whatever was not recorded."
    )
    silent = judge(facts(**NO_GPU, step_us=1000.0, communication_us=850.0, operator_us=0.0, operators=0))
    assert silent.text == (
        "This run used no GPU. Of the 1.00 ms of a step it spends 85 % exchanging data between processes; outside it "
        "no operator was recorded."
    )


def test_a_cpu_run_is_divided_once_for_answer_bar_and_table():
    """100 µs: 20 in a collective (5 of aten::mm run meanwhile), 10 loading, 40 of aten::mm, the rest 30, a range."""
    builder = TraceBuilder(gpu=None).step(0, 100).annotation("forward", 0, 100).annotation("gloo:all_reduce", 0, 20)
    summary = summarize(builder.dataloader(20, 10).op("aten::mm", 15, 5).op("aten::mm", 30, 40).trace())
    assert "20 % exchanging data between processes, 10 % in the DataLoader, and 30 % outside" in summary.verdict.text
    assert "40 % in 1 operator of 40.0 µs" in summary.verdict.text
    assert cpu_parts(summary) == [
        ("in operators", 40.0), ("exchanging data", 20.0), ("loading data", 10.0), ("the rest: Python etc.", 30.0),
    ]  # fmt: skip
    assert next(table.rows for table in tables(summary).values() if table.title.startswith("Time")) == [
        ("communication between processes", "20.0 µs", "20 %"),
        ("CPU loading data (DataLoader)", "10.0 µs", "10 %"),
        ("CPU in operators", "40.0 µs", "40 %"),
        ("the rest: Python, named ranges", "30.0 µs", "30 %"),
    ]


def test_a_step_cut_short_is_said_where_it_halves_the_figures():
    """One of 2 steps halves them; one of 20 is not worth a word."""
    said = "1 of the 2 recorded steps was cut short and holds next to nothing"
    text = judge(facts(steps=2, cut_steps=1)).text
    assert said in text
    assert "figures per step are up to 50 % below those of a whole step." in text
    assert "cut short" not in judge(facts(steps=20, cut_steps=1)).text


def cause(name: str, share: float, **changes) -> Cause:
    """A cause that saves so much of the step."""
    told = {"title": name, "saves_us": 560 * share, "saves_share": share, "cost_us": 560 * share, "share": share}
    return Cause(name=name, **{**told, "evidence": "Seen.", "advice": f"Mend {name}.", **changes})


def test_nothing_below_one_percent_is_advice():
    """Of causes that save 30, 0.9 and an unknown part of the step, the first and the last are advised on."""
    causes = [cause("a", 0.3), cause("b", 0.009), cause("c", 0.2, saves_us=None, saves_share=None)]
    assert judge(facts(), causes=causes).advice == ["Mend a.", "Mend c."]


def test_at_most_three_pieces_of_advice_and_none_twice():
    """Five causes, two of which are mended alike."""
    causes = [cause("a", 0.3), cause("b", 0.2, advice="Mend a."), *(cause(name, 0.1) for name in "cde")]
    assert judge(facts(), causes=causes).advice == ["Mend a.", "Mend c.", "Mend d."]


@pytest.mark.parametrize(("share", "kind"), [(0.2, "start-up"), (0.19, "launch-bound")])
def test_a_start_is_a_verdict_of_its_own_from_a_fifth_of_the_time(share, kind):
    """First calls that save most: no word of launching, and what was seen of the start in the sentence."""
    verdict = judge(facts(), causes=[cause("first_calls", share, evidence="90 % of the time passes in one.")])
    assert verdict.kind == kind
    said = verdict.text.startswith("This is the start of a run, and says little of its steps: 90 % of the time passes")
    assert said is (kind == "start-up")


def test_a_host_that_does_something_else_is_not_launch_bound():
    """Python between the operators saves most: the CPU is the limit, launching is not."""
    assert judge(facts(), causes=[cause("python", 0.5), cause("launching", 0.3)]).kind == "host-bound"
    assert judge(facts(), causes=[cause("launching", 0.5), cause("python", 0.3)]).kind == "launch-bound"
