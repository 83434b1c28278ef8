"""What is said at the end of a run about what was found, or was not."""

from __future__ import annotations

NO_STEPS = (
    "no training step was found: no optimizer stepped and no module was called (call model(x), not model.forward(x)); "
    "nothing was recorded"
)
NO_OPTIMIZER = (
    "no torch.optim.Optimizer ever stepped although gradients were on: each call of the model counts as one step"
)
SHORT_ROUND = "the training ended before the full recording was through: the figures are those of a short one"
USER_PROFILER = (
    "the script runs a profiler of its own: ours gave way, and recorded only while the script's was not running"
)
OWN_OPTIONS = ("--logdir", "--name", "--steps", "--warmup", "--skip", "--no-summary", "--cpu-only")


def no_steps(exit_code: int | None, args: tuple[str, ...]) -> str:
    """Why no training step was found: the script failed before, or its modules were not seen."""
    if not exit_code:
        return NO_STEPS
    ours = [each for each in args if each.partition("=")[0] in OWN_OPTIONS]
    hint = f"; {ours[0]} stood after the script and went to it: put it before the script" if ours else ""
    return f"the script ended with exit code {exit_code} before any training step{hint}"
