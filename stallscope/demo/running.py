"""Runs the variants of a workload in turn, each through `stallscope profile`, and gathers what they measured."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from stallscope import api
from stallscope.analysis.contract.summary import Summary
from stallscope.demo.results import Recorded, Repeat, Result, VariantResult
from stallscope.demo.story import Variant, Workload
from stallscope.profiling.machine.machine import collect, may_use_gpu
from stallscope.traces.model.errors import BadInput, StallscopeError
from stallscope.traces.model.manifest import Machine, Manifest
from stallscope.traces.model.version import version
from stallscope.traces.text.limits import machine_memory

# Waiting threads of torch spin by default: on a busy machine that makes so small a training 25 times slower. Sleeping
# at once (OMP_WAIT_POLICY=PASSIVE) makes it 5 times slower on an idle one. So they spin for a moment, then sleep; the
# first is for GNU's OpenMP, the second (in ms) for Intel's and LLVM's.
ENVIRONMENT = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}
NOTED = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", *ENVIRONMENT, "CUDA_VISIBLE_DEVICES")
# Where a script saves what it measured. An argument would stand in the recorded command line, different in each run.
FIGURES = "SAVE_FIGURES"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")

Say = Callable[[str], None]
Keep = Callable[[Result], None]
Run = tuple[Variant, int]  # which repeat, from 1


@dataclass(frozen=True, slots=True)
class Done:
    """What the runs so far gave."""

    repeats: dict[str, list[Repeat]]  # by the variants' keys
    failed: dict[str, str]  # titles of variants, and the last line each said


AfterRound = Callable[[Done, int], None]  # how many rounds were done


def run_all(
    workload: Workload, folder: Path, *, variants: Sequence[Variant], quick: bool, repeats: int, command: str,
    keep: Keep, say: Say,
) -> Result:  # fmt: skip
    """Run what of ``variants`` this machine can run, ``repeats`` times, in turn; what it cannot run is listed.

    ``keep`` is given what there is after each round: an interrupted demo keeps the rounds that were done.

    Raises:
        StallscopeError: every run failed; the first reason.
    """
    machine = collect(with_torch=False)
    gpus = count_gpus() if may_use_gpu(machine) and any(map(needs, variants)) else 0
    chosen, left_out = [v for v in variants if needs(v) <= gpus], [v.title for v in variants if needs(v) > gpus]
    before = load_average()
    empty = Result(
        workload=workload.name, stallscope=version(), command=command, quick=quick, repeats=0, load=None,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), machine=nameless(machine),
        environment=added(), variants=[], not_measured=left_out, ram_bytes=machine_memory(), gpus_seen=gpus,
    )  # fmt: skip

    def filled(done: Done, rounds: int) -> Result:
        after = load_average()
        load = None if before is None or after is None else (before, after)
        measured = [result_of(variant, runs) for variant in chosen if (runs := done.repeats[variant.key])]
        return replace(empty, repeats=rounds, load=load, variants=measured, failed=done.failed)

    plan = in_turn(chosen, repeats)
    done = run_plan(workload, plan, folder, lambda done, rounds: keep(filled(done, rounds)), say)
    if plan and not any(done.repeats.values()):
        raise StallscopeError(next(iter(done.failed.values())))
    return filled(done, repeats)


def needs(variant: Variant) -> int:
    """How many GPUs a variant needs."""
    return max(variant.gpus, int(variant.device == "cuda"))


def count_gpus() -> int:
    """How many GPUs torch sees, so after CUDA_VISIBLE_DEVICES; asked in a process of its own, for torch is slow."""
    script = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"
    done = subprocess.run([sys.executable, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 - our own command line
    found = done.stdout.decode("ascii", errors="replace").split()
    return int(found[-1]) if done.returncode == 0 and found and found[-1].isdigit() else 0


def nameless(machine: Machine) -> Machine:
    """The machine without what other people run on it."""
    return replace(machine, others_on_gpu=None)


def in_turn(variants: Sequence[Variant], repeats: int) -> list[Run]:
    """A B C, B C A, C A B …: a drift of the machine meets all variants alike, and none is always first."""
    turns = [(*variants[n % len(variants) :], *variants[: n % len(variants)]) for n in range(repeats)]
    return [(variant, n) for n, turn in enumerate(turns, start=1) for variant in turn]


def run_plan(workload: Workload, plan: Sequence[Run], folder: Path, after_round: AfterRound, say: Say) -> Done:
    """Run the plan in its order, with a word before and after each run; a variant that failed is not run again."""
    done = Done({variant.key: [] for variant, _ in plan}, {})
    began = time.monotonic()
    for number, (variant, repeat) in enumerate(plan, start=1):
        if variant.title not in done.failed:
            say(f"run {number} of {len(plan)}: {variant.title} ...")
            say(f"    {attempt(workload, variant, folder, repeat, done)}{to_go(began, number, len(plan))}")
        if number == len(plan) or plan[number][1] > repeat:
            after_round(done, repeat)
    return done


def attempt(workload: Workload, variant: Variant, folder: Path, repeat: int, done: Done) -> str:
    """Run a variant once and note what came of it; returns that in words."""
    try:
        done.repeats[variant.key].append(run_once(workload, variant, folder, repeat))
    except StallscopeError as error:
        done.failed[variant.title] = str(error)
        return f"failed: {error}"
    return f"{done.repeats[variant.key][-1].wall_s:.1f} s"


def to_go(began: float, number: int, of: int) -> str:
    """What the rest of the plan will take, if it is worth a word."""
    left = (time.monotonic() - began) / number * (of - number)
    return f", about {in_words(left)} to go" if left >= 1 else ""


def in_words(seconds: float) -> str:
    """``40 s`` or ``3 min``."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"  # noqa: PLR2004


def run_once(workload: Workload, variant: Variant, folder: Path, repeat: int) -> Repeat:
    """One run of one variant: what its script measured and what was recorded.

    Raises:
        StallscopeError: it failed, or measured nothing.
    """
    with tempfile.TemporaryDirectory() as place:
        figures = Path(place) / "figures.json"
        began = time.monotonic()
        said = record(command_of(workload, variant, folder, repeat), {FIGURES: str(figures)})
        wall_s = time.monotonic() - began
        if not figures.is_file():
            raise StallscopeError(f"a run of the demo measured nothing: {said}")
        measured: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    return Repeat(figures=measured, recorded=recorded(folder / variant.key / f"run-{repeat}"), wall_s=round(wall_s, 2))


def command_of(workload: Workload, variant: Variant, folder: Path, repeat: int) -> list[str]:
    """What a user would type to profile one variant, with our own interpreter in front."""
    launcher = [] if variant.processes == 1 else [*TORCHRUN, str(variant.processes)]
    own = ["profile", "--no-summary", "--logdir", str(folder / variant.key), "--name", f"run-{repeat}"]
    seed = ["--seed", str(repeat)] if variant.seeded else []
    script = [str(script_path(workload)), *variant.options, *seed, "--device", variant.device]
    return [sys.executable, *launcher, "-m", "stallscope", *own, *script]


def script_path(workload: Workload) -> Path:
    """Where the workload's script lies in this installation."""
    return Path(str(resources.files("stallscope.profiling.workloads") / workload.script))


def record(command: Sequence[str], more: Mapping[str, str] | None = None) -> str:
    """Run one profile, with ``more`` in its environment, and return the last line it said; no other line matters.

    Raises:
        StallscopeError: it failed.
    """
    environment = {**ours(), **os.environ, "PYTHONIOENCODING": "utf-8", **(more or {})}
    done = subprocess.run(  # noqa: S603 - our own command line
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environment
    )
    lines = done.stderr.decode("utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
    if done.returncode != 0:
        raise StallscopeError(f"a run of the demo ended with exit code {done.returncode}: {lines[-1]}")
    return lines[-1]


def ours() -> dict[str, str]:
    """How waiting threads wait, unless the user has said that."""
    chosen = {"OMP_WAIT_POLICY", *ENVIRONMENT} & os.environ.keys()
    return {} if chosen else ENVIRONMENT


def added() -> dict[str, str]:
    """What decides how the runs use processors and GPUs: what ``record`` adds, and what the user has set."""
    return ours() | {name: os.environ[name] for name in NOTED if name in os.environ}


def recorded(folder: Path) -> Recorded | None:
    """The figures of a run folder that the stories use; None where nothing was recorded."""
    try:
        run = api.load(folder)[0]
    except BadInput:
        return None
    return figures_of(run.summary, run.manifest)


def figures_of(summary: Summary, manifest: Manifest | None) -> Recorded:
    """A summary and a manifest, cut down."""
    items = next((row for row in summary.operators if row.name == "aten::item"), None)
    unprofiled, step = summary.steps.unprofiled_us, summary.per_step
    gpu = summary.trace.vendor != "cpu"
    return Recorded(
        steps=manifest.steps.count if manifest else summary.steps.count,
        step_us=None if unprofiled is None else unprofiled.mean,
        inflation=summary.steps.inflation,
        launches=step.kernel_launches if gpu else None,
        items=0.0 if items is None else items.calls_per_step,
        item_us=0.0 if items is None else items.host_us_per_step,
        verdict=summary.verdict.kind,
        findings=[finding.name for finding in summary.findings],
        wall_us=summary.steps.time_us,
        operator_us=step.operator_us,
        unexplained_share=summary.health.unexplained_share,
        busy_us=step.gpu_busy_us if gpu else None,
        kernel_us=step.kernel_us if gpu else None,
        copy_us=step.memcpy_us if gpu else None,
        communication_us=step.communication_us if gpu else None,
        queue_delay_us=step.queue_delay_us.p50 if gpu and step.queue_delay_us else None,
        sm_efficiency=summary.utilization.est_sm_efficiency if gpu and summary.utilization else None,
        power_w=power(manifest),
    )


def power(manifest: Manifest | None) -> float | None:
    """What the GPU drew at the end of the last unprofiled window, W; None where the driver does not tell."""
    windows = manifest.windows if manifest else []
    states = [window.gpu_at_close for window in windows if window.kind == "unprofiled"]
    return next((state.power_w for state in reversed(states) if state and state.power_w is not None), None)


def result_of(variant: Variant, repeats: list[Repeat]) -> VariantResult:
    """A variant with its runs."""
    return VariantResult(
        key=variant.key,
        title=variant.title,
        device=variant.device,
        options=list(variant.options),
        repeats=repeats,
    )


def load_average() -> float | None:
    """How many programs wanted a core in the last minute; None where the system does not say (Windows)."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None
