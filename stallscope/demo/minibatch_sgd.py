"""minibatch-sgd: one regression, minibatches of 1 to all rows: time of a step, of an epoch, to the goal."""

from __future__ import annotations

from stallscope.analysis.units import microseconds
from stallscope.demo.iris_mlp import DEVICES
from stallscope.demo.judging import Sample, judge, least_squares, times
from stallscope.demo.results import Result, VariantResult
from stallscope.demo.story import ONE_THREAD, Line, Panel, Story, Table, Variant, Workload, on_both, points

NEAREST = 1e-6  # as near to the best as 32-bit numbers tell
NOTE = (
    "Times are numbers of steps times the middle step, so what disturbs a few steps does not count. All ran with one "
    "thread of torch (`--threads 1`): most steps are too small to gain from more."
)
SIZES, QUICK_SIZES = (1, 10, 100, 1000, 10_000), (1, 1000)


def variants(quick: bool) -> list[Variant]:
    """A batch size each, on each device."""
    sizes, seconds = (QUICK_SIZES, "0.3") if quick else (SIZES, "3")

    def on(device: str) -> list[Variant]:
        return [
            Variant(
                f"{device}-batch-{size}",
                f"{DEVICES[device]}, {'all' if size == SIZES[-1] else size} row{'' if size == 1 else 's'} a step",
                ("--batch-size", str(size), "--seconds", seconds, *ONE_THREAD),
                device,
            )
            for size in sizes
        ]

    return on_both(on)


def tell(result: Result) -> Story:
    """Times of all batch sizes, the loss over time, and what of a step is overhead."""
    rows = []
    for variant in result.variants:
        goal = variant.sample("seconds_to_target")
        rows.append(
            (
                variant.title,
                variant.sample("us_per_step").shown(),
                Sample(tuple(1000 * ms for ms in variant.sample("epoch_ms").values)).shown(),
                microseconds(None if goal.median is None else goal.median * 1e6),
                f"{variant.sample('excess').median or 0:.2g}",
            )
        )
    headers = ("variant", "a step", "an epoch", "to a 1/1000 of the first loss", "loss left at the end")
    table = Table("Time by batch size", headers, rows, "Losses are above the best that a line can reach.")
    sentences = [
        sentence for device in result.devices for sentence in (*overhead(result, device), *goal_of(result, device))
    ]
    return Story((table,), tuple(panels(result)), tuple(sentences))


def panels(result: Result) -> list[Panel]:
    """Time of an epoch over batch size; loss over time."""
    epochs = []
    for device in result.devices:
        found = [(v.sample("batch").median, v.sample("epoch_ms").median) for v in result.on(device)]
        epochs.append(Line(DEVICES[device], tuple((x, y) for x, y in found if x is not None and y is not None)))
    curves = []
    for variant in result.variants:
        curve = [[x, max(y, NEAREST)] for x, y in variant.series("curve")[0] if x > 0]
        curves.append(Line(variant.title, points(curve)))
    return [
        Panel("One epoch of 10 000 rows", "rows a step", "ms", lines=tuple(epochs), log_x=True, log_y=True),
        Panel("How fast it learns", "seconds of training", "loss above the best", lines=tuple(curves), log_x=True,
              log_y=True, marks=False),
    ]  # fmt: skip


def overhead(result: Result, device: str) -> list[str]:
    """The constant part of a step, by a line through the steps' times."""
    found = [(v.sample("batch").median or 0, v.sample("us_per_step").median or 0) for v in result.on(device)]
    if len({x for x, _ in found}) < 2:  # noqa: PLR2004 - a line needs two
        return []
    constant, slope = least_squares(found)
    rows, step = min(found)
    if slope <= 0:
        return [f"{DEVICES[device]}: steps with more rows did not take longer here, so all of a step is overhead."]
    part = f"of which the constant is {constant / step:.0%}".replace("%", " %")
    if constant > step:
        part = "no longer than the constant"
    sentence = (
        f"{DEVICES[device]}: a line through the times of a step has {microseconds(constant)} that do not depend on the "
        f"batch and {1000 * slope:,.0f} ns a row; the smallest batch ({rows:.0f}) has steps of {microseconds(step)}, "
        f"{part}."
    )
    return [sentence]


def goal_of(result: Result, device: str) -> list[str]:
    """Which batch size reached the goal first, if that can be told."""
    reached = [v for v in result.on(device) if v.sample("seconds_to_target").values]
    if len(reached) < 2:  # noqa: PLR2004 - nothing to compare
        return [f"{DEVICES[device]}: fewer than two batch sizes came to a thousandth of the first loss; no comparison."]
    ranked = sorted(reached, key=lambda v: v.sample("seconds_to_target").median or 0)
    return [against(ranked[0], ranked[1], device), against(ranked[0], ranked[-1], device)][: len(ranked) - 1]


def against(first: VariantResult, other: VariantResult, device: str) -> str:
    """One comparison of the time to the goal."""
    goals = [v.sample("seconds_to_target") for v in (first, other)]
    found, factor = judge(goals[0], goals[1]), times(goals[1], goals[0])
    sizes = [f"{v.sample('batch').median:.0f}" for v in (first, other)]
    spent = [microseconds(1e6 * (goal.median or 0)) for goal in goals]
    verdict = found.say("earlier with the latter", "earlier with the former", "which is sooner these runs cannot tell")
    return (
        f"{DEVICES[device]}: a thousandth of the first loss is reached after {spent[0]} with {sizes[0]} rows a step, "
        f"after {spent[1]} with {sizes[1]} ({factor or 0:.2g} times): {verdict}."
    )


WORKLOAD = Workload(
    name="minibatch-sgd",
    script="minibatch_sgd.py",
    about="linear regression on 10 000 generated rows, trained with minibatches of 1 row to all of them",
    question="which batch size learns fastest, and how much of a step is overhead?",
    variants=variants,
    tell=tell,
    notes=(NOTE,),
)
