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
from importlib import resources
from pathlib import Path
from typing import Any

from stallscope import __version__, api
from stallscope.analysis.contract import Summary
from stallscope.demo.results import Recorded, Repeat, Result, VariantResult
from stallscope.demo.story import Variant, Workload
from stallscope.profiling.machine import collect, may_use_gpu
from stallscope.traces.errors import BadInput, StallscopeError
from stallscope.traces.manifest import Machine

# Waiting threads of torch spin by default: on a busy machine that makes so small a training 25 times slower. Sleeping
# at once (OMP_WAIT_POLICY=PASSIVE) makes it 5 times slower on an idle one. So they spin for a moment, then sleep; the
# first is for GNU's OpenMP, the second (in ms) for Intel's and LLVM's.
ENVIRONMENT = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}
NOTED = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", *ENVIRONMENT, "CUDA_VISIBLE_DEVICES")
# Where a script saves what it measured. An argument would stand in the recorded command line, different in each run.
FIGURES = "SAVE_FIGURES"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")

Say = Callable[[str], None]
Run = tuple[Variant, int]  # which repeat, from 1


def run_all(workload: Workload, folder: Path, *, quick: bool, repeats: int, command: str, say: Say) -> Result:
    """Run every variant this machine can run, ``repeats`` times, in turn; what needs a GPU is listed where none is."""
    machine = collect(with_torch=False)
    gpus = len(machine.gpus) if may_use_gpu(machine) else 0
    wanted = workload.variants(quick)
    chosen = [variant for variant in wanted if needs(variant) <= gpus]
    before = load_average()
    done = run_plan(workload, in_turn(chosen, repeats), folder, say)
    after = load_average()
    return Result(
        workload=workload.name,
        stallscope=__version__,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        command=command,
        quick=quick,
        repeats=repeats,
        machine=nameless(machine),
        load=None if before is None or after is None else (before, after),
        environment=added(),
        variants=[result_of(variant, done[variant.key]) for variant in chosen],
        not_measured=[variant.title for variant in wanted if needs(variant) > gpus],
    )


def needs(variant: Variant) -> int:
    """How many GPUs a variant needs."""
    return max(variant.gpus, int(variant.device == "cuda"))


def nameless(machine: Machine) -> Machine:
    """The machine without what other people run on it."""
    from msgspec.structs import replace  # noqa: PLC0415

    return replace(machine, others_on_gpu=None)


def in_turn(variants: Sequence[Variant], repeats: int) -> list[Run]:
    """A B C, B C A, C A B …: a drift of the machine meets all variants alike, and none is always first."""
    turns = [(*variants[n % len(variants) :], *variants[: n % len(variants)]) for n in range(repeats)]
    return [(variant, n) for n, turn in enumerate(turns, start=1) for variant in turn]


def run_plan(workload: Workload, plan: Sequence[Run], folder: Path, say: Say) -> dict[str, list[Repeat]]:
    """Run the plan in its order, with a word before and after each run."""
    done: dict[str, list[Repeat]] = {}
    began = time.monotonic()
    for number, (variant, repeat) in enumerate(plan, start=1):
        say(f"run {number} of {len(plan)}: {variant.title} ...")
        done.setdefault(variant.key, []).append(run_once(workload, variant, folder, repeat))
        spent = time.monotonic() - began
        left = spent / number * (len(plan) - number)
        say(f"    {done[variant.key][-1].wall_s:.1f} s" + (f", about {in_words(left)} to go" if left >= 1 else ""))
    return done


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
    script = [str(script_path(workload)), *variant.options, "--device", variant.device]
    return [sys.executable, *launcher, "-m", "stallscope", *own, *script]


def script_path(workload: Workload) -> Path:
    """Where the workload's script lies in this installation."""
    return Path(str(resources.files("stallscope.profiling.workloads") / workload.script))


def record(command: Sequence[str], more: Mapping[str, str] | None = None) -> str:
    """Run one profile, with ``more`` in its environment, and return the last line it said; no other line matters.

    Raises:
        StallscopeError: it failed.
    """
    environment = {**ENVIRONMENT, **os.environ, "PYTHONIOENCODING": "utf-8", **(more or {})}
    done = subprocess.run(  # noqa: S603 - our own command line
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environment
    )
    lines = done.stderr.decode("utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
    if done.returncode != 0:
        raise StallscopeError(f"a run of the demo ended with exit code {done.returncode}: {lines[-1]}")
    return lines[-1]


def added() -> dict[str, str]:
    """What decides how the runs use processors and GPUs: what ``record`` adds, and what the user has set."""
    ours = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    return ours | {name: os.environ[name] for name in NOTED if name in os.environ}


def recorded(folder: Path) -> Recorded | None:
    """The figures of a run folder that the stories use; None where nothing was recorded."""
    try:
        run = api.load(folder)[0]
    except BadInput:
        return None
    return figures_of(run.summary, steps=run.manifest.steps.count if run.manifest else run.summary.steps.count)


def figures_of(summary: Summary, *, steps: int) -> Recorded:
    """A summary, cut down."""
    items = next((row for row in summary.operators if row.name == "aten::item"), None)
    unprofiled = summary.steps.unprofiled_us
    return Recorded(
        steps=steps,
        step_us=None if unprofiled is None else unprofiled.mean,
        inflation=summary.steps.inflation,
        launches=summary.per_step.kernel_launches if summary.trace.vendor != "cpu" else None,
        items=0.0 if items is None else items.calls_per_step,
        item_us=0.0 if items is None else items.host_us_per_step,
        verdict=summary.verdict.kind,
        findings=[finding.name for finding in summary.findings],
    )


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
