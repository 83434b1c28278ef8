"""Is the candidate faster, and how sure is that? Step times of runs → ``Statistics`` → one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stallscope.analysis.compare import bootstrap
from stallscope.analysis.compare.bootstrap import FEWEST_RUNS
from stallscope.analysis.compare.figures import change_of
from stallscope.analysis.compare.notes import FATAL
from stallscope.analysis.compare.recognise import every
from stallscope.analysis.compare.runs import Run, noise_floor, profiled_step, unprofiled_mean
from stallscope.analysis.contract.compare import (
    ArgumentChange,
    Change,
    CompareVerdict,
    Interval,
    Note,
    OperatorChange,
    PerStepChange,
    Statistics,
)
from stallscope.analysis.fixes.reads import READ
from stallscope.analysis.units import microseconds

SAME = 1.0  # percent: where no more can have changed, nothing has
OPENINGS = {"cannot tell": "Cannot tell whether this is faster: ", "no change": "No change: "}
ONE_RUN = "one run each; noise floor = drift between windows"
COUNTED = {  # exact figures worth a sentence
    "sync_calls": "synchronizing calls",
    "kernel_launches": "kernel launches",
    "graph_launches": "graph launches",
    "memcpys": "copies",
}


def measure(runs: Iterable[Run]) -> str:
    """Which step time is compared: the unprofiled mean if every run has one, else the step under the profiler."""
    known = all(unprofiled_mean(rank.summary) is not None for run in runs for rank in run.ranks)
    return "unprofiled_mean" if known else "profiled_median"


def step_us(run: Run, measured: str) -> float | None:
    """The step time of one run that is compared, µs."""
    return run.value(unprofiled_mean if measured == "unprofiled_mean" else profiled_step)


def statistics_of(baseline: Sequence[Run], candidate: Sequence[Run]) -> Statistics:
    """Step times, and their interval (several runs a side) or noise floor (one)."""
    measured = measure((*baseline, *candidate))
    values = [[step_us(run, measured) for run in side] for side in (baseline, candidate)]
    times = [[value for value in side if value is not None] for side in values]
    floor, source = noise_floor((*baseline, *candidate), times)
    known = all(len(found) == len(side) for found, side in zip(times, values, strict=True))
    interval = percent = None
    if known and min(map(len, times)) >= FEWEST_RUNS:
        interval, percent = _intervals(times)
    return Statistics(
        measure=measured,
        baseline_runs=len(baseline),
        candidate_runs=len(candidate),
        step_us=change_of(*values),
        level=bootstrap.LEVEL if interval else None,
        interval_us=interval,
        interval_percent=percent,
        noise_floor_percent=None if floor is None else 100 * floor,
        noise_source=source,
        method=bootstrap.METHOD if interval else _floor_words(baseline, candidate),
    )


def _intervals(times: Sequence[Sequence[float]]) -> tuple[Interval, Interval | None]:
    found = bootstrap.bootstrap_difference(*times)
    low, high = found.interval
    percent = None
    if found.ratio_interval:
        percent = Interval(low=100 * (found.ratio_interval[0] - 1), high=100 * (found.ratio_interval[1] - 1))
    return Interval(low=low, high=high), percent


def _floor_words(baseline: Sequence[Run], candidate: Sequence[Run]) -> str:
    if max(len(baseline), len(candidate)) < FEWEST_RUNS:
        return ONE_RUN
    return "one run on a side; noise floor = drift between windows, or spread between runs"


def kind_of(figures: Statistics, notes: Sequence[Note]) -> str:
    """``faster``, ``slower``, ``differs``, ``no change``, ``cannot tell`` or ``withheld``; see ``CompareVerdict``."""
    difference = figures.step_us.difference
    if difference is None or FATAL & {note.name for note in notes}:
        return "withheld"
    if _is_same(figures):
        return "no change"
    if figures.interval_us:
        bounds = [figures.interval_us, *([figures.interval_percent] if figures.interval_percent else [])]
        if any(bound.low <= 0 <= bound.high for bound in bounds):
            return "cannot tell"
        return "faster" if difference < 0 else "slower"
    floor, percent = figures.noise_floor_percent, figures.step_us.percent
    if floor is None or percent is None or abs(percent) <= floor:
        return "cannot tell"
    return "differs"


def _is_same(figures: Statistics) -> bool:
    """Whether no more than ``SAME`` can have changed: by the interval, else by difference and noise floor."""
    if figures.interval_us:
        bounds = figures.interval_percent
        return bounds is not None and max(abs(bounds.low), abs(bounds.high)) <= SAME
    floor, percent = figures.noise_floor_percent, figures.step_us.percent
    return floor is not None and percent is not None and max(floor, abs(percent)) <= SAME


def verdict_of(
    figures: Statistics,
    per_step: PerStepChange,
    operators: Sequence[OperatorChange],
    changed: Sequence[ArgumentChange] | None,
    names: tuple[str, str],
    notes: Sequence[Note],
) -> CompareVerdict:
    """The answer in one or two sentences. ``names``: baseline, candidate."""
    kind = kind_of(figures, notes)
    if kind == "withheld":
        reasons = [note.text for note in notes if note.name in FATAL] or ["a step time is unknown"]
        return CompareVerdict(kind=kind, text=f"No verdict: {reasons[0]}.")
    told = _reads(operators, changed or ())
    counted = _counts(per_step, [row for row in operators if not told or row.name != READ])
    sentences = [_times(figures, changed, names, kind), _certainty(figures, kind), counted, told]
    return CompareVerdict(kind=kind, text=" ".join(sentence for sentence in sentences if sentence))


def _times(figures: Statistics, changed: Sequence[ArgumentChange] | None, names: tuple[str, str], kind: str) -> str:
    """What a step takes on each side, and the difference."""
    step = figures.step_us
    before, after = step.baseline or 0.0, step.candidate or 0.0
    words = f"a step takes {microseconds(after)} instead of {microseconds(before)}{_less(step)}"
    words = words if step.difference else f"a step takes {microseconds(after)}, as before"
    subject = _subject(changed, names)
    opening = OPENINGS.get(kind, "")
    return f"{opening}{subject if not opening else subject[0].lower() + subject[1:]} {words}."


def _subject(changed: Sequence[ArgumentChange] | None, names: tuple[str, str]) -> str:
    """What the sentence is about: the one argument that was changed, else the two names."""
    if not changed or len(changed) > 1:
        return f"In {names[1]}, against {names[0]},"
    name, before, after = changed[0].name, changed[0].baseline, changed[0].candidate
    if after is None:
        return f"Without {name} {before}".strip()
    was = "not given" if before is None else before or "given"
    return f"With {name} {after}".replace("  ", " ").strip() + f" (was {was})"


def _less(step: Change) -> str:
    difference = step.difference or 0.0
    word = "less" if difference < 0 else "more"
    share = f" ({abs(step.percent):.1f} %)" if step.percent is not None else ""
    return f", {microseconds(abs(difference))}{share} {word}"


def _certainty(figures: Statistics, kind: str) -> str:
    """How sure that is."""
    if figures.interval_us and figures.level:
        bounds = figures.interval_percent
        level = f"{figures.level:.0%}".replace("%", " %")
        span = (
            f"{bounds.low:+.1f} to {bounds.high:+.1f} %"
            if bounds
            else f"{_signed(figures.interval_us.low)} to {_signed(figures.interval_us.high)}"
        )
        zero = ", which holds 0" if kind == "cannot tell" else ""
        return (
            f"{level} interval of the change: {span}{zero} ({figures.baseline_runs} and {figures.candidate_runs} runs)."
        )
    if figures.noise_floor_percent is None:
        return f"Noise floor unknown ({figures.method}): too few steps. Repeat the runs."
    seen = ", here between the halves of a run" if figures.noise_source == "halves" else ""
    floor = f"{figures.noise_floor_percent:.1f} % ({figures.method}{seen})"
    if kind == "no change":
        return f"The noise floor is {floor}."
    if kind == "cannot tell":
        return f"That is within the noise floor of {floor}. Repeat the runs."
    return f"That is more than the noise floor of {floor}. Repeat to be sure."


def _signed(us: float) -> str:
    return f"{'-' if us < 0 else '+'}{microseconds(abs(us))}"


def _reads(operators: Sequence[OperatorChange], changed: Sequence[ArgumentChange]) -> str:
    """How often a value is read where the recorded steps of one side held no read, and an argument says how often."""
    read = next((row.calls_per_step for row in operators if row.name == READ), None)
    told = every(changed)
    if read is None or told is None or bool(read.baseline) == bool(read.candidate):
        return ""
    name, was, now = told
    before = read.baseline or (read.candidate or 0.0) * now / was
    after = read.candidate or (read.baseline or 0.0) * was / now
    return (
        f"Reads of a value ({READ}) {before:.4g} → {after:.4g} a step, by {name} {was if read.candidate else now}: "
        "none fell into the recorded steps."
    )


def _counts(per_step: PerStepChange, operators: Sequence[OperatorChange]) -> str:
    """The exact counts that changed, which need no statistics."""
    figures = [(words, getattr(per_step, name)) for name, words in COUNTED.items()]
    figures += [(f"calls of {row.name}", row.calls_per_step) for row in operators if row.name == READ]
    found = [
        f"{words} {change.baseline:.4g} → {change.candidate:.4g}"
        for words, change in figures
        if change.exact and change.difference
    ]
    return f"Counted per step, exactly: {', '.join(found)}." if found else ""
