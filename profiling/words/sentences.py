"""What is said at the end of a run about what was found, or was not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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
NO_STACKS = (
    "no Python stacks were recorded: the script runs under cProfile, a debugger or a coverage tool, whose place torch "
    "would take and not give back; lines and modules are marked all the same"
)
OTHERS = "Nsight, ncu, DCGM, rocprof"
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
    "--scalars",
    "--cpu-only",
    "--also-cpu",
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


def fewer_steps(kind: str, held: int, planned: int, bytes_per_step: int, *, slow: bool, most_bytes: int) -> str:
    """Why a window holds fewer steps than planned: a trace too large to write, or a step that took too long."""
    holds = f"the {kind} window holds {held} of {planned} steps"
    if slow:
        return f"{holds}: one took many times as long as the others (an evaluation?), so it was closed early"
    if bytes_per_step * planned <= most_bytes:
        return f"{holds}: how much a step fills was not known before, and it might have been too much"
    megabytes = bytes_per_step / 1e6
    return f"{holds}: a step fills {megabytes:.0f} MB of trace, and the training stands still while a trace is written"


def no_room(folder: Path, free: int, needed: int) -> str:
    """Why a window was not recorded: its trace would not fit. Sizes in bytes."""
    return (
        f"{folder}: {free / 1e6:.1f} MB are free and the next trace may take {needed / 1e6:.1f} MB, so no more is "
        "recorded; make room, or choose another disk with --logdir"
    )


def device_interface_in_use(error: Exception) -> str:
    """Why only the host is recorded although the script uses a GPU."""
    return (
        f"the GPU could not be recorded ({_short(error)}), only the host: another profiler may hold its interface; "
        f"end it ({OTHERS}) and record again"
    )


def profiler_refused(error: Exception) -> str:
    """Why nothing more is recorded: torch's profiler does not start."""
    why = _short(error)
    return f"torch's profiler does not start here ({why}), so no more is recorded; end other profilers ({OTHERS})"


def _short(error: Exception) -> str:
    """The first line of what an exception says; torch adds others, of where in its sources it was."""
    return str(error).partition("\n")[0].strip() or type(error).__name__


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
