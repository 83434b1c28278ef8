"""What the user should know of a run that has ended: why little or nothing was recorded, and what was in the way."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.profiling.record.capture import Capture
from stallscope.profiling.run.account import Account
from stallscope.profiling.watch.steps import StepTracker
from stallscope.profiling.words.sentences import INTERRUPTED, NO_OPTIMIZER, USER_PROFILER, no_steps, short_round
from stallscope.traces.model.manifest import Finding, Steps

OF_THE_END = ("script_failed", "short_round", "too_short", "not_recorded")  # findings that only the run's end explains


def findings_of_run(account: Account, steps: Steps, *, unwritable: bool) -> list[Finding]:
    """The findings, in the order in which they are told. ``unwritable``: a trace could not be written."""
    findings = _of_steps(account, steps)
    capture = account.capture
    if steps.count and account.exit_code and not account.interrupted and capture is not None:
        findings.append(Finding(name="script_failed", text=f"the script ended with exit code {account.exit_code}"))
    if capture is not None:
        findings += capture.notes
        short = capture.windows and capture.windows[-1].round == "short" and capture.plan.stages[-1].round != "short"
        if short and not unwritable:  # else that is why, and is said
            findings.append(Finding(name="short_round", text=short_round(capture.plan.timed, capture.whole)))
    if capture is not None and steps.count:
        if capture.lost_to_others:
            findings.append(Finding(name="user_profiler", text=USER_PROFILER))
        refused = any(each.name == "profiler_refused" for each in capture.notes)
        if not capture.windows and not unwritable and not refused:
            findings.append(_why_nothing(capture, steps.count))
    return findings


def messages_of(findings: list[Finding], problems: list[str], where: list[str], *, interrupted: bool) -> list[str]:
    """What is said of a run, a sentence each; that of ``where`` it lies is the last.

    Where the script did not end well, that, the place and why there is no more is one sentence.
    """
    ended = [INTERRUPTED] if interrupted else [each.text for each in findings if each.name == "script_failed"]
    if not ended:
        return [each.text for each in findings] + problems + where
    others = [each.text for each in findings if each.name not in OF_THE_END]
    why = [each.text for each in findings if each.name in OF_THE_END and each.name != "script_failed"]
    return [*others, *problems, "; ".join([*ended, *where, *why])]


def _of_steps(account: Account, steps: Steps) -> list[Finding]:
    findings = []
    if account.torch is None:
        findings.append(Finding(name="no_torch", text="the script never imported torch; there was nothing to record"))
    elif steps.count == 0:
        text = no_steps(account.exit_code, account.options.args, interrupted=account.interrupted)
        findings.append(Finding(name="no_steps", text=text + _of_children(account)))
    if _trained_by_hand(account.events.trackers):
        findings.append(Finding(name="no_optimizer", text=NO_OPTIMIZER))
    return findings


def _of_children(account: Account) -> str:
    """Where this process trained nothing, its children may have."""
    seen = account.children.seen() if account.children is not None else []
    count = sum(each.count for each in seen if each.kind.startswith("multiprocessing_"))
    if not count:
        return ""
    return (
        f"; it started {count} processes by multiprocessing, which are not recorded: if they train, start them by "
        "torchrun --nproc-per-node N -m stallscope profile SCRIPT instead"
    )


def _why_nothing(capture: Capture, count: int) -> Finding:
    shortest = capture.plan.shortest
    if count < shortest:
        text = (
            f"the script ran {count} steps, too short for a recording: that takes {shortest} steps "
            f"(the first {capture.plan.skip} are left alone, see --skip); let it run longer"
        )
        return Finding(name="too_short", text=text)
    if capture.lost_to_others:
        text = f"no {shortest} steps in a row were left between the script's own recordings: nothing was recorded"
    else:
        text = "no window could be recorded: the steps never repeated regularly"
    return Finding(name="not_recorded", text=text)


def _trained_by_hand(trackers: Sequence[StepTracker]) -> bool:
    return any(each.used_gradients for each in trackers) and not any(each.optimizer_steps for each in trackers)
