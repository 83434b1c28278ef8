"""The JSON contract ``stallscope.compare/1`` as types.

Its paths are those of ``stallscope.summary/2``, with a ``Change`` where the summary has a number. Times are µs.
``None`` (JSON ``null``) is unknown: a figure unknown on either side has an unknown difference.
"""

from __future__ import annotations

import msgspec

from stallscope.analysis.contract.forecast import StepRange
from stallscope.analysis.contract.shown import Shown

COMPARE_SCHEMA = "stallscope.compare/1"


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a 95 % interval."""

    low: float
    high: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One figure before and after: each side's mean over its runs."""

    baseline: float | None
    candidate: float | None
    difference: float | None  # candidate - baseline
    percent: float | None  # of the baseline; None where that is 0 or unknown
    exact: bool = False  # a count on which all runs of each side agree: no statistics needed
    # 95 %, of the difference, by itself; only in ``breakdown_us``, and only with two runs or more on each side
    interval: Interval | msgspec.UnsetType = msgspec.UNSET


UNKNOWN = Change(baseline=None, candidate=None, difference=None, percent=None)


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a side."""

    name: str
    trace: str
    command: list[str] | None  # None: no manifest
    steps: int  # in the trace
    ranks: int  # summaries that were averaged into this run
    step_us: float | None  # the value of this run in ``statistics``
    drift_percent: float | None  # how far the run's own windows (or halves) lie apart


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """The baseline or the candidate."""

    name: str
    device: str  # "cpu" | "gpu"
    devices: list[str]
    runs: list[RunInfo]


class ArgumentChange(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between the two command lines; None: not given on that side."""

    name: str  # "--record-every"; "" for arguments without a name
    baseline: str | None
    candidate: str | None


class WallChange(msgspec.Struct, frozen=True, kw_only=True):
    """Profiled step times of the traces."""

    median: Change
    mean: Change
    p10: Change
    p90: Change


class StepsChange(msgspec.Struct, frozen=True, kw_only=True):
    """Step times."""

    total_us: Change  # host's window ÷ steps: every step counts, cut-short ones too
    wall_us: WallChange  # the host's time under the profiler
    unprofiled_us: Change  # the truth, where it was recorded
    inflation: Change
    step_us: Change = UNKNOWN  # under the profiler, as ``steps.step_us`` of the summary; UNKNOWN in older files


class QueueDelayChange(msgspec.Struct, frozen=True, kw_only=True):
    """Device start - call end."""

    p50: Change
    p90: Change


class PerStepChange(msgspec.Struct, frozen=True, kw_only=True):
    """``per_step`` of the summary, before and after."""

    kernel_launches: Change
    graph_launches: Change
    kernels: Change
    memcpys: Change
    memsets: Change
    sync_calls: Change
    sync_call_us: Change
    gpu_busy_us: Change
    gpu_idle_us: Change
    kernel_us: Change
    kernel_sum_us: Change
    memcpy_us: Change
    memset_us: Change
    communication_us: Change
    launch_call_us: Change
    sync_stall_us: Change
    dataloader_us: Change
    queue_delay_us: QueueDelayChange
    operator_us: Change


class BreakdownChange(msgspec.Struct, frozen=True, kw_only=True):
    """``breakdown_us`` of the summary, before and after."""

    kernel: Change
    memcpy: Change
    memset: Change
    communication: Change
    runtime: Change
    dataloader: Change
    cpu_op: Change
    other: Change


class OperatorChange(msgspec.Struct, frozen=True, kw_only=True):
    """One operator name; per-step figures of a side on which it never ran are 0."""

    name: str
    status: str  # "both" | "appeared" | "vanished"
    calls_per_step: Change
    host_us_per_step: Change
    host_self_us_per_step: Change
    device_us_per_step: Change


class KernelChange(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel name; per-step figures of a side on which it never ran are 0."""

    name: str
    status: str  # "both" | "appeared" | "vanished"
    count_per_step: Change
    us_per_step: Change


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """How sure the difference of step times is."""

    measure: str  # "unprofiled_mean" | "profiled_median" (the step under the profiler)
    baseline_runs: int
    candidate_runs: int
    step_us: Change  # means over runs
    level: float | None  # 0.95; None: no interval
    interval_us: Interval | None  # of the difference; None with fewer than two runs on a side
    interval_percent: Interval | None
    noise_floor_percent: float | None  # what differs without any change; None: unknown
    noise_source: str  # "runs" | "windows" | "halves" | "unknown": where the noise floor was seen
    method: str


class OperatorOnBoth(msgspec.Struct, frozen=True, kw_only=True):
    """One operator on a CPU run and on a GPU run, per step."""

    name: str
    cpu_us: float  # self time on the CPU run
    gpu_host_us: float  # self time of the host on the GPU run: dispatch, and any wait inside the operator
    gpu_device_us: float | None  # durations of the device work it launched
    faster: str | None  # "cpu" | "gpu": the smaller of cpu_us and gpu_host_us + gpu_device_us; None: unknown


class CpuAgainstGpu(msgspec.Struct, frozen=True, kw_only=True):
    """A CPU run against a GPU run of the same script."""

    cpu_side: str  # "baseline" | "candidate"
    faster: str | None  # "cpu" | "gpu"; None: cannot tell
    why: str
    operators: list[OperatorOnBoth]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something that limits the comparison. ``name`` is stable."""

    name: str
    text: str


class ForecastScore(msgspec.Struct, frozen=True, kw_only=True):
    """The baseline's forecast for the change that was recognised, beside what was measured after it."""

    fix: str
    predicted_us: StepRange | None = None  # None: no forecast was made; ``why`` says why
    measured_us: float | None
    error_percent: float | None = None  # predicted ÷ measured − 1
    inside: bool | None = None  # the measured step lies in the forecast's interval
    why: str = ""


class CompareVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer.

    ``faster`` / ``slower`` (the candidate): the interval lies on one side of 0. ``differs``: one run on a side, and
    more than the noise floor apart, which calls for a repeat. ``no change``: no more than 1 % can have changed.
    ``cannot tell``. ``withheld``: not comparable.
    """

    kind: str
    text: str


class Comparison(Shown, msgspec.Struct, frozen=True, kw_only=True):
    """Everything `stallscope compare BASELINE CANDIDATE --format json` prints."""

    schema: str = COMPARE_SCHEMA
    kind: str  # "cpu" | "gpu" | "cpu_gpu"
    baseline: Side
    candidate: Side
    changed: list[ArgumentChange] | None  # None: a command line is unknown
    verdict: CompareVerdict
    statistics: Statistics
    steps: StepsChange
    per_step: PerStepChange
    breakdown_us: BreakdownChange
    operators: list[OperatorChange]
    kernels: list[KernelChange] | None
    cpu_against_gpu: CpuAgainstGpu | None
    notes: list[Note]
    forecasts: list[ForecastScore] = []  # of the changes recognised between the two sides
