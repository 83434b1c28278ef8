"""The answer of ``check``: every row, the workload, and whether the run can be compared at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stallscope.analysis.check.baseline import Against, bounds_of
from stallscope.analysis.check.budgets import Budgets
from stallscope.analysis.check.counts import find_counts
from stallscope.analysis.check.figures import Counted, without_allowed
from stallscope.analysis.check.rows import row_of
from stallscope.analysis.check.times import Times, time_row
from stallscope.analysis.check.workload import (
    Folders,
    key_of,
    key_words,
    machine_words,
    not_the_workload,
    script_folder,
)
from stallscope.analysis.contract.check import Check, CheckKey, CheckRow
from stallscope.analysis.stages.issues import find_issues
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.step_times import find_step_times
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.manifest import Manifest

PASSED, FAILED, NOT_COMPARABLE = "pass", "fail", "not_comparable"
EXIT_CODES = {PASSED: 0, FAILED: 1, NOT_COMPARABLE: 3}
SEVERITY = ("ok", "unknown_allowed", "unknown", "exceeded")
LOST = (Severity.DATA_LOSS, Severity.ERROR)


@dataclass(frozen=True, slots=True)
class Measured:
    """A run as a check sees it."""

    target: str
    counted: Counted
    key: CheckKey
    folders: Folders
    step_us: float | None  # without the profiler
    machine: str | None
    obstacles: tuple[str, ...]  # why its counts cannot be compared; () where they can
    is_repeat: bool = True  # False: another rank of a run, which says nothing of how runs differ


def measure(
    target: str, stages: Stages, manifest: Manifest | None, budgets: Budgets, current: str | None = None
) -> Measured:
    """Count what a run did in a step, and find what forbids to compare it; files are named from ``current``."""
    counts = find_counts(stages, manifest)
    return Measured(
        target=target,
        counted=without_allowed(counts, budgets.allow),
        key=key_of(stages, manifest, budgets.workload),
        folders=Folders(script_folder(manifest), current),
        step_us=_step_us(stages, manifest),
        machine=machine_words(manifest),
        obstacles=(*_obstacles(stages), *not_the_workload(budgets.workload, manifest)),
    )


def _step_us(stages: Stages, manifest: Manifest | None) -> float | None:
    times = find_step_times(stages.window, stages.completion.step_ns, stages.trace.path, manifest)
    return None if times.unprofiled is None else times.unprofiled.mean_us


def check(runs: Sequence[Measured], budgets: Budgets, against: Against | None = None) -> Check:
    """Hold every budget against repeated runs, and what they leave out against the baseline's figures.

    Of several runs the worst counts; figures beside the rows are those of the first.
    """
    measured, counted = runs[0], runs[0].counted
    asked = budgets.per_step if against is None else against.budgets(budgets.per_step)
    rows = [
        _worst([row_of(each, bounds_of(each, against), run.counted, run.folders) for run in runs]) for each in asked
    ]
    if budgets.time is not None:
        rows.append(time_row(budgets.time, times_of(runs), against))
    missing = None if against is None else against.obstacle(measured.key)
    obstacles = (*(each for run in runs for each in run.obstacles), *_apart(runs), *([missing] if missing else ()))
    outcome = _outcome(rows, obstacles)
    return Check(
        target=", ".join(run.target for run in runs),
        outcome=outcome,
        text=_text(outcome, rows, obstacles),
        key=measured.key,
        steps=counted.counts.steps,
        predicted=counted.counts.predicted,
        rows=rows,
        allowed=list(counted.allowed),
        notes=_notes(counted),
    )


def _worst(rows: Sequence[CheckRow]) -> CheckRow:
    """The row that decides, the first among equals."""
    return max(rows, key=lambda row: (SEVERITY.index(row.status), row.value_high or 0.0))


def _apart(runs: Sequence[Measured]) -> list[str]:
    """That the runs are no repeats of each other."""
    other = next((run for run in runs if run.key != runs[0].key), None)
    if other is None:
        return []
    return [f"{other.target} is {key_words(other.key)}, {runs[0].target} {key_words(runs[0].key)}: check one at a time"]


def times_of(runs: Sequence[Measured]) -> Times:
    """The steps of the runs; of runs on several machines no machine."""
    repeats = [run for run in runs if run.is_repeat]
    machines = {run.machine for run in repeats}
    return Times(tuple(run.step_us for run in repeats), machines.pop() if len(machines) == 1 else None)


def _obstacles(stages: Stages) -> list[str]:
    """Why the counts of a trace are not those of its steps."""
    found = [_lost(issue) for issue in find_issues(stages) if issue.severity in LOST]
    if not stages.window.from_steps:
        found.append("no steps are marked in this trace, so nothing can be counted per step")
    return found


def _lost(issue: TraceIssue) -> str:
    return f"the trace is not whole ({issue.name}): {issue.advice}"


def _outcome(rows: Sequence[CheckRow], obstacles: Sequence[str]) -> str:
    if obstacles:
        return NOT_COMPARABLE
    return FAILED if any(row.status in ("exceeded", "unknown") for row in rows) else PASSED


def _text(outcome: str, rows: Sequence[CheckRow], obstacles: Sequence[str]) -> str:
    if outcome == NOT_COMPARABLE:
        return f"Not comparable: {obstacles[0]}"
    if not rows:
        return "No budget was held against it."
    exceeded = [row.name for row in rows if row.status == "exceeded"]
    unknown = [row.name for row in rows if row.status == "unknown"]
    parts = [f"exceeded: {', '.join(exceeded)}"] if exceeded else []
    parts += [f"not known: {', '.join(unknown)}"] if unknown else []
    budgets = f"{len(rows)} budget{'s' if len(rows) != 1 else ''}"
    return f"Of {budgets} {'; '.join(parts)}." if parts else f"{budgets} kept."


def _notes(counted: Counted) -> list[str]:
    notes = []
    if counted.counts.predicted:
        notes.append(
            "This run used no GPU: waits are the calls that would wait on one, launches what its operators would "
            "start; figures that only a GPU has are unknown."
        )
    waits = counted.counts.waits or ()
    if counted.allowed and waits and not any(wait.line for wait in waits):
        notes.append("No line is known of any wait here, so no exception was made; record with attribution.")
        return notes
    notes += [
        f"{each.line} is allowed ({each.why}), and was not met in these {counted.counts.waits_steps} steps: "
        "its line may have moved."
        for each in counted.allowed
        if not each.calls and each.every <= counted.counts.waits_steps
    ]
    return notes
