"""What is said at the end of a run about what was found, or was not."""

from __future__ import annotations

from collections.abc import Mapping

NO_STEPS = (
    "no training step was found: no optimizer stepped and no module was called (call model(x), not model.forward(x)); "
    "nothing was recorded"
)
NO_OPTIMIZER = (
    "no torch.optim.Optimizer ever stepped although gradients were on: each call of the model counts as one step"
)
SHORT_ROUND = "the training ended before the full recording was through: the figures are those of a short one"
INTERRUPTED = "the script was interrupted (Ctrl-C)"
USER_PROFILER = (
    "the script runs a profiler of its own: ours gave way, and recorded only while the script's was not running"
)
OWN_OPTIONS = (
    "--logdir",
    "--name",
    "--plan",
    "--steps",
    "--attribution",
    "--no-attribution",
    "--warmup",
    "--skip",
    "--no-summary",
    "--cpu-only",
)


def short_round(timed: int, whole: int) -> str:
    """Why the figures are those of the short round. ``whole``: about the steps that the full one takes."""
    unit = 10 ** max(0, len(str(whole)) - 2)
    about = -(-whole // unit) * unit
    return f"{SHORT_ROUND} ({timed} steps were asked for); a full recording takes about {about} steps of this length"


def no_steps(exit_code: int | None, args: tuple[str, ...], *, interrupted: bool = False) -> str:
    """Why no training step was found: the script failed before, or its modules were not seen."""
    if interrupted:
        return f"{INTERRUPTED} before any training step"
    if not exit_code:
        return NO_STEPS
    ours = [each for each in args if each.partition("=")[0] in OWN_OPTIONS]
    hint = f"; {ours[0]} stood after the script and went to it: put it before the script" if ours else ""
    return f"the script ended with exit code {exit_code} before any training step{hint}"


def fewer_steps(kind: str, held: int, planned: int, bytes_per_step: int, *, slow: bool) -> str:
    """Why a window holds fewer steps than planned: a trace too large to write, or a step that took too long."""
    holds = f"the {kind} window holds {held} of {planned} steps"
    if slow:
        return f"{holds}: one took many times as long as the others (an evaluation?), so it was closed early"
    megabytes = bytes_per_step / 1e6
    return f"{holds}: a step fills {megabytes:.0f} MB of trace, and the training stands still while a trace is written"


def marks_failed(error: Exception) -> str:
    """Why a trace does not say where time goes: a failure of ours."""
    return f"call sites and modules could not be marked ({type(error).__name__}: {error}); the script was not affected"


def traces_mended(traces: int, damage: Mapping[str, int]) -> str:
    """That traces were rewritten, and why. ``damage``: what was wrong with them, by name and count."""
    which = "a trace was" if traces == 1 else f"{traces} traces were"
    counts = ", ".join(f"{name}: {count}" for name, count in sorted(damage.items()))
    return (
        f"{which} no valid JSON, since torch writes a quotation mark in a name of the script's as it is, and mended so "
        f"that other tools can read it ({counts})"
    )
