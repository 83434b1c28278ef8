"""The recorded step, scaled to the step as it is without the profiler.

A profiler makes the host slower (each operator, each launch call) and leaves kernels as they are. So the step is taken
apart into the time in which the GPU works, or ranks exchange data, which stays, and the rest, in which the host holds
things up, which is multiplied by one factor such that the step has its unprofiled length:

    factor = (unprofiled − working) ÷ (recorded − working)

Host figures (launch calls, loading data, the host's classes of the breakdown) are multiplied by it, the GPU's are not;
its idle time is what is left, divided among the causes as recorded. Waits for the GPU are neither: without the profiler
they are as long as the rest leaves them, which only a replay can say, so they are not scaled. Where the GPU is busy
nearly all the time, the step hardly depends on the host, and no factor can be told; one outside 0.4 to 1.1 is not
believed (the windows then did not see the same).
"""

from __future__ import annotations

from typing import Final

import msgspec

from stallscope.analysis.contract.idle import Idle
from stallscope.analysis.contract.summary import Breakdown, PerStep, Scaled, Steps
from stallscope.analysis.replay.trust import PLAUSIBLE

LEAST_FREE: Final = 0.1  # of the recorded step, in which the GPU does not work
WORKING: Final = ("kernel", "memcpy", "memset", "communication")
HOSTS: Final = ("runtime", "dataloader", "cpu_op", "other")


def scale(steps: Steps, per_step: PerStep, breakdown: Breakdown, idle: Idle) -> Scaled | None:
    """The scaled step; None where the unprofiled one is unknown or no factor can be told."""
    unprofiled, recorded = steps.unprofiled_us, steps.window_us / steps.count
    if unprofiled is None or steps.source != "profiler_step":
        return None
    working = sum(getattr(breakdown, name) or 0.0 for name in WORKING)
    free = recorded - working
    if free <= LEAST_FREE * recorded:
        return None
    factor = (unprofiled.mean - working) / free
    if not PLAUSIBLE[0] <= factor <= PLAUSIBLE[1]:
        return None
    parts = {name: _times(getattr(breakdown, name), factor) for name in HOSTS}
    gpu_idle = None if per_step.gpu_idle_us is None else unprofiled.mean - (per_step.gpu_busy_us or 0.0)
    return Scaled(
        factor=factor,
        step_us=unprofiled.mean,
        launch_call_us=_times(per_step.launch_call_us, factor),
        dataloader_us=_times(per_step.dataloader_us, factor),
        gpu_busy_us=per_step.gpu_busy_us,
        gpu_idle_us=gpu_idle,
        breakdown_us=msgspec.structs.replace(breakdown, **parts),
        idle_us=_idle(idle, per_step.gpu_idle_us, gpu_idle),
    )


def _idle(idle: Idle, recorded: float | None, scaled: float | None) -> Idle:
    """The causes in their recorded proportion; unknown where the idle time is."""
    if not recorded or scaled is None:
        return Idle()
    causes = {name: _times(getattr(idle, name), scaled / recorded) for name in Idle.__struct_fields__}
    return Idle(**causes)


def _times(figure: float | None, factor: float) -> float | None:
    return None if figure is None else figure * factor
