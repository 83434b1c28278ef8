"""The recorded step, scaled to the step as it is without the profiler.

A profiler makes the host slower (each operator, each launch call) and leaves kernels as they are. Host figures, launch
calls and loading data, are multiplied by the host factor (``forecast/calibration.py``), the GPU's are not. The
breakdown keeps the time in which the GPU works, or ranks exchange data; what that leaves of the unprofiled step is
divided among the host's classes as recorded, and so is the GPU's idle time among its causes: both then sum to the step.
Waits for the GPU are neither: without the profiler they are as long as the rest leaves them, which only a replay can
say, so they are not scaled. Where the unprofiled step does not tell the factor, nothing is.
"""

from __future__ import annotations

from typing import Final

import msgspec

from stallscope.analysis.contract.idle import Idle
from stallscope.analysis.contract.summary import Breakdown, PerStep, Scaled, Steps

WORKING: Final = ("kernel", "memcpy", "memset", "communication")
HOSTS: Final = ("runtime", "dataloader", "cpu_op", "other")


def fill_scaled(
    steps: Steps, per_step: PerStep, breakdown: Breakdown, idle: Idle, host_factor: float | None
) -> Scaled | None:
    """The scaled step; None where no factor can be told, or the unprofiled step is shorter than the GPU's work."""
    if host_factor is None or steps.unprofiled_us is None:
        return None
    step_us, figures = steps.unprofiled_us.mean, msgspec.structs.asdict(breakdown)
    left = step_us - sum(us for name, us in figures.items() if name in WORKING and us is not None)
    recorded = sum(figures[name] for name in HOSTS)
    if left < 0 or not recorded:
        return None
    gpu_idle = None if per_step.gpu_busy_us is None or per_step.gpu_idle_us is None else step_us - per_step.gpu_busy_us
    return Scaled(
        factor=host_factor,
        step_us=step_us,
        launch_call_us=_times(per_step.launch_call_us, host_factor),
        dataloader_us=_times(per_step.dataloader_us, host_factor),
        gpu_busy_us=per_step.gpu_busy_us,
        gpu_idle_us=gpu_idle,
        breakdown_us=msgspec.structs.replace(
            breakdown, **{name: _times(figures[name], left / recorded) for name in HOSTS}
        ),
        idle_us=_idle(idle, per_step.gpu_idle_us, gpu_idle),
    )


def _idle(idle: Idle, recorded: float | None, scaled: float | None) -> Idle:
    """The causes in their recorded proportion; unknown where the idle time is."""
    if not recorded or scaled is None:
        return Idle()
    return Idle(**{name: _times(us, scaled / recorded) for name, us in msgspec.structs.asdict(idle).items()})


def _times(figure: float | None, factor: float) -> float | None:
    return None if figure is None else figure * factor
