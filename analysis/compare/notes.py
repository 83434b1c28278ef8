"""What was changed between two sides, and what limits their comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stallscope.analysis.compare.runs import Run, unprofiled_mean, world_size
from stallscope.analysis.contract.compare import ArgumentChange, Note

FEW_STEPS = 5
FATAL = frozenset({"no_steps", "refused_trace", "different_steps"})  # with one of these there is no verdict

Sides = Sequence[Sequence[Run]]


def changed_arguments(baseline: Sequence[Run], candidate: Sequence[Run]) -> list[ArgumentChange] | None:
    """The arguments in which the two command lines differ; None where a run's command line is unknown."""
    before, after = _command(baseline), _command(candidate)
    if before is None or after is None:
        return None
    old, new = _named_arguments(before), _named_arguments(after)
    names = [*old, *(name for name in new if name not in old)]
    return [
        ArgumentChange(name=name, baseline=old.get(name), candidate=new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    ]


def _command(side: Sequence[Run]) -> list[str] | None:
    """The command line of a side's first run; None if any of its runs has none."""
    manifests = [run.first.manifest for run in side]
    return manifests[0].command if manifests[0] and all(manifests) else None


def _named_arguments(command: Sequence[str]) -> dict[str, str]:
    """``--name value``, ``--name=value`` and ``--flag`` by name; everything else together under "".

    A word after ``--name`` that starts with "-" is another option, unless it is a number.
    """
    named: dict[str, str] = {}
    loose: list[str] = []
    words = list(command)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or word == "--":
            loose.append(word)
        elif "=" in word:
            name, _, named[name] = word.partition("=")
        else:
            named[word] = words.pop(0) if words and _is_value(words[0]) else ""
    return {"": " ".join(loose), **named}


def _is_value(word: str) -> bool:
    return not word.startswith("-") or word.lstrip("-").replace(".", "", 1).isdigit()


def notes(baseline: Sequence[Run], candidate: Sequence[Run]) -> list[Note]:
    """Everything that limits the comparison; a name in ``FATAL`` forbids a verdict."""
    sides = (baseline, candidate)
    return list(dict.fromkeys(note for find in FINDERS for note in find(sides)))  # said of both sides: once


def _no_steps(sides: Sides) -> Iterator[Note]:
    for run in _all(sides):
        if any(not rank.summary.steps.count or rank.summary.steps.window_us <= 0 for rank in run.ranks):
            yield Note(name="no_steps", text=f"{run.name} holds no step: there is nothing to compare")


def _health(sides: Sides) -> Iterator[Note]:
    for run in _all(sides):
        grades = {rank.summary.health.grade for rank in run.ranks}
        if "refused" in grades:
            yield Note(name="refused_trace", text=f"{run.name}: its trace is too damaged to be compared")
        elif "degraded" in grades:
            yield Note(name="degraded_trace", text=f"{run.name}: its trace lost data; its figures may be too low")


def _different_steps(sides: Sides) -> Iterator[Note]:
    """A marked step against a whole trace is an apple against a basket."""
    marks = {run.first.summary.steps.source for run in _all(sides)}
    if len(marks) > 1:
        yield Note(
            name="different_steps",
            text="one side has marked steps, the other only a whole trace: their steps are not the same thing",
        )
    elif marks == {"whole_trace"}:
        yield Note(name="whole_traces", text="no step is marked in either trace: whole traces are set side by side")


def _steps_found_differently(sides: Sides) -> Iterator[Note]:
    found = {
        (run.first.manifest.steps.source, run.first.manifest.steps.period) for run in _all(sides) if run.first.manifest
    }
    if len(found) > 1:
        text = "the recorder found the steps in different ways (optimizer, forward, period): check what a step is"
        yield Note(name="steps_found_differently", text=text)


def _few_steps(sides: Sides) -> Iterator[Note]:
    for run in _all(sides):
        steps = run.first.summary.steps
        count = steps.unprofiled_us.steps if steps.unprofiled_us else steps.count
        if 0 < count < FEW_STEPS and steps.source != "whole_trace":
            held = f"{count} step{'s' if count > 1 else ''}"
            yield Note(name="few_steps", text=f"{run.name} has only {held}: record more with --steps")


def _profiled_only(sides: Sides) -> Iterator[Note]:
    if not all(unprofiled_mean(rank.summary) for run in _all(sides) for rank in run.ranks):
        yield Note(
            name="profiled_times",
            text="step times are those under the profiler, which slows a step down, and not both sides alike",
        )


def _scripts(sides: Sides) -> Iterator[Note]:
    before, after = ({_script(run.first.manifest.command) for run in side if run.first.manifest} for side in sides)
    if before and after and before != after:
        yield Note(name="different_scripts", text="the two sides ran different scripts")
    for side in sides:
        if len({tuple(run.first.manifest.command) for run in side if run.first.manifest}) > 1:
            yield Note(name="mixed_runs", text="the runs of one side have different command lines")


def _script(command: Sequence[str]) -> str:
    words = command[:2] if command[:1] == ["-m"] else command[:1]
    return " ".join(words).replace("\\", "/").rsplit("/", 1)[-1]


def _machines(sides: Sides) -> Iterator[Note]:
    kinds = {run.device for run in _all(sides)}
    devices = {tuple(sorted(run.first.summary.trace.devices)) for run in _all(sides)}
    if len(kinds) == 1 and len(devices) > 1:
        names = " and ".join(sorted(", ".join(names) or "unnamed" for names in devices))
        yield Note(name="different_devices", text=f"different devices: {names}")
    yield from _differing(sides, "different_cpus", "different CPUs", lambda run: run.first.summary.machine.cpu)
    yield from _differing(
        sides, "different_torch", "different torch builds", lambda run: run.first.summary.machine.torch
    )
    yield from _differing(sides, "different_threads", "different thread counts", _threads)
    yield from _differing(
        sides, "different_world_sizes", "different numbers of ranks", lambda run: str(world_size(run))
    )


def _threads(run: Run) -> str | None:
    threads = run.first.summary.machine.threads
    return None if threads is None else str(threads)


def _differing(sides: Sides, name: str, words: str, pick: Callable[[Run], str | None]) -> Iterator[Note]:
    before, after = ({value for value in map(pick, side) if value is not None} for side in sides)
    if len(before) == len(after) == 1 and before != after:
        yield Note(name=name, text=f"{words}: {before.pop()} before, {after.pop()} after")
    elif len(before | after) > 1:
        yield Note(name=name, text=f"{words}: {' and '.join(sorted(before | after))}")


def _not_alone(sides: Sides) -> Iterator[Note]:
    for run in _all(sides):
        if run.first.summary.machine.others_on_gpu:
            yield Note(name="gpu_shared", text=f"{run.name}: other processes used the GPU meanwhile")
        if run.first.summary.trace.simulated:
            yield Note(name="simulated", text=f"{run.name}: a generated trace; no hardware made its figures")


def _repeats(sides: Sides) -> Iterator[Note]:
    paths = [rank.summary.trace.path for run in _all(sides) for rank in run.ranks]
    if len(set(paths)) < len(paths):
        yield Note(name="same_trace_twice", text="the same trace was given more than once: it is no repeat of itself")
    before, after = (sorted(run.first.manifest.created for run in side if run.first.manifest) for side in sides)
    if min(len(before), len(after)) > 1 and (before[-1] < after[0] or after[-1] < before[0]):
        yield Note(
            name="not_interleaved",
            text="all runs of one side came before the other's: a machine that drifts can pose as a difference; "
            "take the sides in turn",
        )


def _all(sides: Sides) -> Iterator[Run]:
    for side in sides:
        yield from side


FINDERS: tuple[Callable[[Sides], Iterator[Note]], ...] = (
    _no_steps,
    _health,
    _different_steps,
    _steps_found_differently,
    _few_steps,
    _profiled_only,
    _scripts,
    _machines,
    _not_alone,
    _repeats,
)
