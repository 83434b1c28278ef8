"""The run manifest ``stallscope.json``: what `profile` knows that a trace cannot say. Written once per rank.

Only an allow-list of facts is kept: no environment variables, no file contents.
"""

from __future__ import annotations

import msgspec

SCHEMA = "stallscope.manifest/1"
ROUNDS = ("full", "short")  # of windows; the better first
IF_COPIED = ("to", "cuda", "xpu")  # call sites of these kinds wait only if there is something to copy


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU of the machine; what could not be found out is None."""

    name: str
    architecture: str | None = None  # "sm_90", "gfx942"
    sms: int | None = None
    memory_bytes: int | None = None
    driver: str | None = None
    driver_model: str | None = None  # "WDDM" | "TCC" | "MCDM" on Windows, else None


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True):
    """Another process that holds memory on a GPU."""

    gpu: int
    pid: int
    name: str
    memory_bytes: int | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A named fact about the machine or the run that the user should act on.

    Names: ``cpu_torch_beside_gpu``, ``script_chose_cpu``, ``no_kernel_rows``, ``gpu_shared``,
    ``too_short``, ``user_profiler``, ``no_optimizer``, ``gpu_api_unavailable`` …
    """

    name: str
    text: str


class Libraries(msgspec.Struct, frozen=True, kw_only=True):
    """Versions of libraries that choose kernels; None: not known."""

    cublas: str | None = None
    cudnn: str | None = None


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine as it matters to a training step."""

    os: str
    python: str
    cpu: str
    cores: int  # this process may use
    threads: int | None  # torch's intra-op threads
    torch: str | None  # "2.13.0+cpu"; None: torch is not installed
    torch_gpu: str | None = None  # "cuda 13.0" | "rocm 6.4" | "xpu" …; None: a CPU-only build
    libraries: Libraries | None = None  # that choose kernels; None: not looked for
    gpu_usable: bool | None = None  # torch can use a GPU here; None: not tried
    gpus: list[Gpu] = []
    others_on_gpu: list[GpuProcess] | None = None  # None: could not be found out
    findings: list[Finding] = []


class GpuState(msgspec.Struct, frozen=True, kw_only=True):
    """How a GPU ran at one moment; what the driver does not tell is None."""

    sm_mhz: int | None = None
    memory_mhz: int | None = None
    power_w: float | None = None
    temperature_c: int | None = None
    slowed_by: list[str] = []  # what held its clocks down: "power", "heat", "hardware"


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded window. Times are integer ns of ``time.perf_counter_ns``.

    The rounds "short" and "full" hold an unprofiled, a timing and an attribution window. After the last
    recording comes one more unprofiled window, of round "after": its samples show what happens only every so many
    steps. The script may end in it, so its ``duration_ns`` may be that of the host alone.
    """

    kind: str  # "unprofiled" | "timing" | "attribution"
    round: str  # "short" | "full" | "after"
    first_step: int  # index, from 0, of its first step in the run
    steps: int  # complete steps it holds
    duration_ns: int  # device synchronized at open … device synchronized at close
    samples_ns: list[int]  # per-step host time, boundary to boundary
    evaluation_steps: list[int] = []  # positions in the window that held gradient-free root forwards
    trace: str | None = None  # file name beside the manifest
    warmup_steps: int = 0
    activities: list[str] = []
    detail: list[str] = []  # recorded beside the activities: "shapes", "stacks", "marks" (modules and call sites)
    pause_ns: int | None = None  # training stood still this long while the profiler stopped and exported
    forward_hooks: bool = False  # forward hooks were in place: a few percent slower than without
    gpu_at_open: GpuState | None = None
    gpu_at_close: GpuState | None = None


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the user's program that was calling."""

    file: str
    line: int  # of the call
    function: str


class CallSite(msgspec.Struct, frozen=True, kw_only=True):
    """One place of a marked call. Its number in the list is the N of ranges named ``stallscope.site#N``."""

    kind: str  # what was called: "item", "tolist", "__bool__", "forward", "backward", "optimizer", "index" …
    frames: list[Frame]  # the user's own frames, innermost first; never empty
    exact: bool = True  # False: the line is that of a function that holds the call, not of the call
    would_synchronize: bool = False  # the call makes the host wait wherever its tensor is on a GPU


class NamedModule(msgspec.Struct, frozen=True, kw_only=True):
    """One ``nn.Module``. Its number in the list is the N of ranges named ``stallscope.module#N``."""

    name: str  # qualified, from its root: "encoder.layers.3.attn"; the root's is ""
    type: str  # class name
    root: str = ""  # class name of the root


class StepPart(msgspec.Struct, frozen=True, kw_only=True):
    """An optimizer, by the name that it has where it steps, and how often it does so in a training step."""

    name: str
    count: int


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """How many steps the run had and how they were found."""

    count: int
    source: str  # "optimizer" | "forward" | "marked" (by the program itself) | "none"
    optimizer_steps: int = 0
    root_forwards: int | None = None  # None: not counted throughout
    dataloader_fetches: int = 0
    scaler_updates: int = 0
    evaluation_forwards: int | None = 0  # None: not counted throughout
    period: int = 1  # optimizer steps per training step
    made_of: list[StepPart] = []  # of several optimizers, or several steps of one; empty: one step of one


class CpuRun(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of the same script timed on the CPU (``--also-cpu``), without the profiler. No steps: see ``why``."""

    steps: int = 0
    duration_ns: int = 0
    samples_ns: list[int] = []  # per-step time
    why: str = ""  # it was not to be measured: the reason, as a clause


class Children(msgspec.Struct, frozen=True, kw_only=True):
    """Processes of one kind that the script started. They are left alone: nothing of them is recorded."""

    kind: str  # "dataloader_worker" | "multiprocessing_fork" | "…_spawn" | "…_forkserver" | "fork" | "subprocess"
    count: int


class LineTime(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the user's, and how long it was being run, with what it calls that is not the user's."""

    file: str
    line: int
    function: str
    ns: int


class RunPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a whole run.

    Names: "start-up", "training", "evaluation", "rollouts", "loading data", "starting DataLoader workers", "writing",
    "between epochs" (and behind the training), "recording" (ours), "not seen".
    """

    name: str
    ns: int
    lines: list[LineTime] = []


class WholeRun(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of the process went, from the script's first statement to its end, by looks at its main thread."""

    total_ns: int
    looks: int
    looking_ns: int  # CPU time that looking took
    parts: list[RunPart] = []  # longest first; they add up to the total
    python: list[LineTime] = []  # of the training: lines that were run outside torch's own code


class LoaderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a DataLoader was made."""

    workers: int
    pinned: bool
    persistent: bool
    prefetch: int | None = None


class OptimizerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """An optimizer; None: torch chooses."""

    name: str
    foreach: bool | None = None
    fused: bool | None = None
    capturable: bool | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the script and its environment have set; None: not known."""

    launch_blocking: bool | None = None  # CUDA_LAUNCH_BLOCKING, HIP_LAUNCH_BLOCKING, AMD_SERIALIZE_KERNEL
    no_caching_allocator: bool | None = None  # PYTORCH_NO_CUDA_MEMORY_CACHING
    anomaly: bool | None = None  # torch.autograd.set_detect_anomaly
    deterministic: bool | None = None  # torch.use_deterministic_algorithms
    cudnn_benchmark: bool | None = None
    matmul_precision: str | None = None  # of float32 products: "highest" | "high" | "medium"
    default_dtype: str | None = None  # "float32"
    loaders: list[LoaderSettings] = []  # each kind once
    optimizers: list[OptimizerSettings] = []


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in ``stallscope.json``."""

    schema: str = SCHEMA
    stallscope: str
    created: str  # ISO 8601, UTC
    command: list[str]  # script (or -m module) and its arguments, as given
    worker: str
    rank: int = 0
    world_size: int = 1
    pid: int
    machine: Machine
    steps: Steps
    windows: list[Window] = []
    findings: list[Finding] = []
    call_sites: list[CallSite] = []  # of the last attribution window; those of earlier ones have other numbers
    modules: list[NamedModule] = []  # likewise
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    alloc_retries: int | None = None
    ooms: int | None = None
    children: list[Children] | None = None  # None: unknown; what the kinds leave out is in profiling/children.py
    exit_code: int | None = None  # None: the run has not ended, or was killed
    complete: bool = False
    cpu_run: CpuRun | None = None  # None: not asked for
    whole_run: WholeRun | None = None  # None: the run has not ended, or was not looked at
    settings: Settings | None = None
