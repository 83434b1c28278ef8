"""What a summary and its forecasts say of one trace agree: with the verdict, with the causes, figure by figure."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report.style import PLAIN
from stallscope.analysis.report.summary import text as summary_text
from stallscope.analysis.report.whatif import text as whatif_text
from tests.real import every_real_trace, real

TIME = r"([\d.]+ (?:ns|µs|ms|s))"
BAR = r"[█░ ]+"
KIND = r"([a-z-]+(?:\([a-z, ]+\))?)"
SAME = {  # figures that stand in several places, each by the words around it
    "verdict": (rf"Answer: {KIND}", rf"Bound by {KIND}"),
    "step": (
        *(rf"Steps [\d.]+ steps of {TIME}", rf"One step, {TIME}", rf"Step now {TIME}", rf"Now {TIME},"),
        *(rf"\ba step of {TIME} would be", rf"of the {TIME} of each step", rf"of your {TIME} step"),
        rf"would take [\d.]+ \S+ instead of {TIME}, \S+ %",
    ),
    "GPU busy": (
        *(rf"GPU working {BAR}[\d.]+ \S+ (<?[\d.]+ %)", r"the GPU is busy (<?[\d.]+ %) of the time"),
        r"The GPU is the limit: it works (<?[\d.]+ %) of",
    ),
    "GPU working": (rf"GPU working {BAR}{TIME}",),
    "loading data": (
        rf"loading data {BAR}{TIME}",
        rf"{TIME} a step in the DataLoader,",
        rf"making a batch takes {TIME}",
    ),
    "optimizer's launches": (
        *(r"([\d.]+) of [\d.]+ launches a step are the optimizer", r"'s step takes ([\d.]+) launches"),
    ),
    "uploads of pageable memory": (
        *(r"HtoD, pageable memory ([\d.]+ [\d.]+ \S?B) ", r"([\d.]+ copies a step \([\d.]+ \S?B)\) come from pageable"),
    ),
    "waits for the GPU": (rf"waiting for GPU {BAR}{TIME}", rf"\(\.item\(\), \.cpu\(\), synchronize\): {TIME} of"),
}
OF_PART = ("uploads of pageable memory", "loading data", "optimizer's launches")  # in ``whatif``, of what was replayed
BOUND = {  # fixes that can take away no more than one cause does
    "loader_main_process": "dataloader_workers_4",
    "loader_workers_slow": "dataloader_workers_4",
    "optimizer": "fused_optimizer",
    "wait_item": "record_every_100",
    "wait_to_device": "pinned_memory",
}
GPU_KINDS = ("compute-bound", "communication-bound", "copy-bound")
POINTS = 0.02  # of the step
WORTH = 0.05


@cache
def texts(path: Path) -> tuple[Summary, str, str]:
    """(summary, its page, that of its forecasts), each on one line."""
    summary = real(path).summary
    pages = (summary_text.render([summary], PLAIN, verbose=True), whatif_text.render([summary], PLAIN))
    first, second = (" ".join(page.split()) for page in pages)
    return summary, first, second


def figures(patterns: tuple[str, ...], text: str) -> set[str]:
    """What stands there."""
    found = {figure for pattern in patterns for figure in re.findall(pattern, text)}
    return {figure.replace(" copies a step (", " ") for figure in found}


@every_real_trace
def test_a_figure_that_appears_twice_is_the_same(path):
    """Verdict, step, GPU busy, loading, launches, uploads: in the answer, bars, tables, causes and forecasts alike.

    Where a part was replayed the heading of the reasons says that their figures are its own.
    """
    summary, page, forecasts = texts(path)
    part = summary.forecast is not None and summary.forecast.part is not None
    assert ("those replayed" in forecasts) == (part and any(each.applies for each in summary.what_if or []))
    for name, patterns in SAME.items():
        told = page if part and name in OF_PART else f"{page} {forecasts}"
        assert len(figures(patterns, told)) <= 1, (name, figures(patterns, told))


def test_a_difference_is_noticed():
    """The law can fail: two steps in one text."""
    assert figures(SAME["step"], "One step, 175 ms CPU … Now 175 ms, in profiled time") == {"175 ms"}
    assert len(figures(SAME["step"], "One step, 175 ms CPU … Now 176 ms, in profiled time")) == 2


@every_real_trace
def test_forecasts_do_not_contradict_the_verdict(path):
    """No words of the GPU as the limit but where it is; no fix saves more than the class of work that it shortens."""
    summary, page, forecasts = texts(path)
    if summary.verdict.kind not in GPU_KINDS:
        assert "GPU is the limit" not in f"{page} {forecasts}"
    rows = {each.fix: each.saving_share for each in summary.what_if or [] if each.saving_share is not None}
    savings = summary.verdict.savings
    for fix, most in (("dataloader_workers_4", savings.input), ("record_every_100", savings.sync)):
        if fix in rows and most is not None:
            assert rows[fix] <= most + POINTS, fix


@every_real_trace
def test_a_cause_and_its_fix_do_not_contradict(path):
    """A fix saves no more than its cause's absence would, and of one that is worth it a good part."""
    summary, _, _ = texts(path)
    rows = {each.fix: each.saving_share for each in summary.what_if or [] if each.saving_share is not None}
    for cause in summary.causes:
        fix = BOUND.get(cause.name)
        if fix in rows and cause.saves_share is not None:
            assert rows[fix] <= cause.saves_share + POINTS, cause.name
            if cause.saves_share >= WORTH and fix != "pinned_memory":  # pinning costs where no worker does it
                assert rows[fix] >= cause.saves_share / 3, cause.name


@every_real_trace
def test_bars_of_the_gpu_make_the_step(path):
    """Working, idle and not recorded are the whole step, as the page prints them."""
    _, page, _ = texts(path)
    (step, *_) = re.findall(rf"One step, {TIME}", page) or [None]
    if step is None or " GPU working " not in page:
        pytest.skip("no bars of a GPU")
    parts = re.findall(rf"(?:GPU working|idle|not recorded) {BAR}{TIME}", page.partition("One step, ")[2][:1500])
    assert sum(map(ns, parts)) == pytest.approx(ns(step), rel=0.01)


def ns(told: str) -> float:
    """A printed time."""
    value, unit = told.split()
    return float(value) * {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}[unit]
