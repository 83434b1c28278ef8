"""How each figure of a page is defined, in the words of docs/reference.md."""

from __future__ import annotations

from typing import Final

from stallscope.analysis.report.html.page import escape, prose

Defined = tuple[str, str]

_STEP: Final[tuple[Defined, ...]] = (
    ("step", "one training iteration."),
    (
        "window",
        "from the start of the first step to the end of the last, on the CPU's clock; without steps, the whole trace.",
    ),
    ("per step", "the total of the window divided by the number of steps."),
)
OF_A_RUN: Final[tuple[Defined, ...]] = (
    *_STEP,
    (
        "median",
        (
            "the middle one of the steps' times; steps that the recorder cut short or that held an evaluation are left "
            "out of it. A step more than a fifth off it stands out."
        ),
    ),
    ("inflation", "profiled step time divided by unprofiled step time."),
    ("launch", "a runtime or driver call and the device work it caused."),
    ("call time", "the duration of a call."),
    ("queue delay", "start of the device work minus end of the call; it may be negative."),
    ("sync call", "cudaStreamSynchronize and its like."),
    ("sync stall", "CPU time blocked for any reason, copies that block included."),
    ("GPU busy", "some kernel, copy or memset runs on some stream: each instant once, never a sum."),
    ("idle", "the rest of the window, each gap divided by what the thread did that launches the next work."),
    ("time per step (table)", "each instant once, for the first of its rows that was active: the rows add up."),
    ("self", "without the operators (modules) called inside."),
    ("saves", "the step replayed with that work at no cost, against the step as it is; savings do not add up."),
    (
        "forecast",
        "the step replayed with the change made; its interval is made to hold the truth in four of five cases.",
    ),
    ("-", "not known from this trace. It is never a zero."),
)
OF_A_COMPARISON: Final[tuple[Defined, ...]] = (
    *_STEP,
    (
        "step time",
        (
            "unprofiled mean where every run recorded one, else the median under the profiler. Of a side, the mean of "
            "its runs; of a run, the mean of its ranks."
        ),
    ),
    ("change", "after minus before; in percent of before."),
    (
        "95 % interval",
        (
            "a bootstrap of the runs (not of the steps) of both sides, widened for few runs. It needs two runs a side, "
            "and is one for each figure by itself: of twenty figures that did not change, one may seem to."
        ),
    ),
    (
        "noise floor",
        "how far step times lie apart with nothing changed: between runs of a side, windows of a run, or its halves.",
    ),
    ("exact", "a count on which all runs of each side agree; it needs no interval."),
    ("one step, instant by instant", "each instant once, for the first of its rows that was active: the rows add up."),
    ("self", "without the operators called inside."),
    ("-", "not known on one side. It is never a zero."),
)


def definitions(defined: tuple[Defined, ...]) -> str:
    """The section; folded on the screen, whole in print."""
    listed = "".join(f"<dt>{escape(term)}</dt><dd>{prose(said)}</dd>" for term, said in defined)
    return (
        f'<details class="defined"><summary>How each figure is defined</summary><div><dl>{listed}</dl></div></details>'
    )
