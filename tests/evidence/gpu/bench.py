"""One experiment, measured: every case timed in turn, then traced, then the baseline run by `stallscope profile`."""

from __future__ import annotations

import gc
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from msgspec.structs import replace

from stallscope.profiling.machine.nvml import gpu_state
from stallscope.traces.model.manifest import GpuState
from tests.evidence.gpu.clock import Clock, TimeIsUp
from tests.evidence.gpu.experiments import Case, Design
from tests.evidence.gpu.measuring import affordable, counted, rotated, timed, traced
from tests.evidence.gpu.pairs import REPEATS, Experiment, Variant, median
from tests.evidence.gpu.programs import called
from tests.evidence.gpu.steps import Step

NO_GPU = "not measured here (no GPU)"
TOO_LATE = "no time was left"
LARGEST_TRACE = 1_000_000  # bytes; a larger one is left out
TIMED_UNTIL = 0.65  # of an experiment's seconds: then traces must begin
PROFILED_AT_LEAST_S = 15.0  # `stallscope profile` needs them to start, find a GPU and write


@dataclass(frozen=True, slots=True)
class Scale:
    """How long to measure."""

    share: float  # of an experiment's seconds, for its repeats
    fewest: int  # steps of a repeat
    profiled_steps: int
    cases: int | None = None  # of each experiment; None: all
    at_most_s: float | None = None  # an experiment; None: its own seconds


@dataclass(slots=True)
class Shared:
    """What the experiments of a part share: the folder of traces, and what was recorded of steps that come again."""

    folder: Path
    runs_left: int  # how many baselines `stallscope profile` still runs
    known: dict[tuple[object, str], Variant] = field(default_factory=dict)


def main_device() -> str:
    """The GPU, or the CPU where there is none."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def measured(design: Design, scale: Scale, shared: Shared, clock: Clock, part: str, seconds: float) -> Experiment:
    """The experiment, within so many seconds; whatever goes wrong, what was measured by then is in it."""
    bench, began, error = Bench(design, scale, shared, clock, seconds), clock.spent, None
    say(f"{design.name}: {design.title} (at most {seconds:.0f} s of {clock.left:.0f})")
    try:
        with clock.limit(seconds):
            bench.run()
    except TimeIsUp:
        error = f"not done within {seconds:.0f} s"
    except Exception as problem:  # noqa: BLE001 - one experiment must not take the others with it
        error = one_line(problem)
    finally:
        bench.steps.clear()
        clean()
    if error is not None:
        say(f"    ended early: {error}")
    return Experiment(
        name=design.name,
        title=design.title,
        part=part,
        held_out=design.held_out,
        baseline=design.baseline.key,
        variants=list(bench.variants.values()),
        gpu=bench.gpu,
        wall_s=round(clock.spent - began, 1),
        error=error,
    )


class Bench:
    """An experiment while it is measured. ``variants`` is what is known so far, at any moment."""

    def __init__(self, design: Design, scale: Scale, shared: Shared, clock: Clock, seconds: float) -> None:
        self._design, self._scale, self._shared, self._clock = design, scale, shared, clock
        self._end = clock.spent + seconds
        self._timed_until = clock.spent + TIMED_UNTIL * seconds
        self._cases = {case.key: case for case in design.cases[: scale.cases]}
        self.steps: dict[str, Step] = {}
        self.variants = {key: blank(design, case) for key, case in self._cases.items()}
        self.gpu: GpuState | None = None

    def run(self) -> None:
        """All of it, each step within its time."""
        for key in self._cases:
            self._prepare(key)
        self._time()
        self.gpu = gpu_state(torch.cuda) if main_device() == "cuda" else None
        for key in self.steps:
            self._record(key)
        self._profile()
        for variant in self.variants.values():
            say(f"    {variant.key:20s} {variant.error or shown(variant)}")

    def _set(self, key: str, **changes: object) -> Variant:
        self.variants[key] = replace(self.variants[key], **changes)
        return self.variants[key]

    def _prepare(self, key: str) -> None:
        """Set the training up and find how many steps a repeat has; the variant's error says why it cannot be."""
        case, variant = self._cases[key], self.variants[key]
        if variant.error is not None:
            return
        if self._clock.spent > self._timed_until:
            self._set(key, error=TOO_LATE)
            return
        seconds = self._design.seconds * self._scale.share / (len(self._design.cases) * REPEATS)
        try:
            step = case.make(variant.device)
            steps = affordable(step, variant.device, seconds, self._scale.fewest)
        except Exception as error:  # noqa: BLE001 - no compiler, not enough memory, an option this torch lacks
            self._set(key, error=one_line(error))
            clean()
            return
        self.steps[key] = step
        self._set(key, steps=steps)

    def _time(self) -> None:
        """The repeats, another case first in each; none begins once their time is over."""
        for repeat in range(REPEATS):
            for key in rotated(list(self.steps), repeat):
                if self._clock.spent > self._timed_until:
                    return
                if self.variants[key].error is None:
                    self._repeat(key)

    def _repeat(self, key: str) -> None:
        variant, step = self.variants[key], self.steps[key]
        try:
            timed(step, variant.device, max(5, min(50, variant.steps // 4)))  # the others came between
            us, host_us = timed(step, variant.device, variant.steps)
        except Exception as error:  # noqa: BLE001 - of this case only
            self._set(key, error=one_line(error))
            return
        times = [*variant.us_per_step, round(us, 3)]
        host = [*variant.host_us_per_step, round(host_us, 3)]
        self._set(key, us_per_step=times, host_us_per_step=host, median_us_per_step=median(times))

    def _record(self, key: str) -> None:
        """A trace for the times, of a baseline one with stacks too; or what is known of the same step already."""
        case, variant = self._cases[key], self.variants[key]
        known = self._shared.known.get((case.make, variant.device))
        if known is not None:
            again = ("traces", "per_step", "profiled_us_per_step", "traced_steps", "run")
            self._set(key, **{name: getattr(known, name) for name in again})
            return
        if variant.error is not None:
            return
        for kind in ("timing", "attribution") if case is self._design.baseline else ("timing",):
            if self._clock.spent > self._end:
                return
            try:
                self._trace(key, kind)
            except Exception as error:  # noqa: BLE001 - the times are there; a trace that fails must not take them away
                say(f"    {key}: no {kind} trace ({one_line(error)})")
        self._shared.known[case.make, variant.device] = self.variants[key]

    def _trace(self, key: str, kind: str) -> None:
        variant = self.variants[key]
        name = f"{self._design.name}_{key}_{variant.device}_{kind}.{time.time_ns()}.pt.trace.json.gz"
        path = self._shared.folder / name
        traced(self.steps[key], variant.device, path, attribution=kind == "attribution")
        if kind == "timing":
            steps, us, per_step = counted(path)
            self._set(key, traced_steps=steps, profiled_us_per_step=round(us, 3), per_step=per_step)
        if path.stat().st_size > LARGEST_TRACE:
            path.unlink()
        else:
            self._set(key, traces={**variant.traces, kind: name})

    def _profile(self) -> None:
        """The baseline as a user would record it, in a process of its own."""
        case, variant = self._design.baseline, self.variants[self._design.baseline.key]
        left = self._end - self._clock.spent
        needed = self._design.recorded and variant.error is None and variant.run is None and self._shared.runs_left
        if not needed or left < PROFILED_AT_LEAST_S:
            return
        name = f"{self._design.name}_{case.key}_{variant.device}"
        folder = self._shared.folder / "runs"
        own = ["profile", "--no-summary", "--logdir", str(folder), "--name", name, "-m", "tests.evidence.gpu.train"]
        steps = max(40, min(self._scale.profiled_steps, variant.steps))
        script = [self._design.name, case.key, "--device", variant.device, "--steps", str(steps)]
        problem = called([sys.executable, "-m", "stallscope", *own, *script], left)
        if problem is not None or not (folder / name / "stallscope.json").is_file():
            say(f"    {case.key}: no run folder ({problem or 'nothing was recorded'})")
            return
        self._shared.runs_left -= 1
        self._shared.known[case.make, variant.device] = self._set(case.key, run=f"runs/{name}")


def blank(design: Design, case: Case) -> Variant:
    """The case before it is measured; with an error where it cannot be, here."""
    device = case.device or main_device()
    needless = case.device == "cpu" and main_device() == "cpu"  # the baseline is there too
    against = None if case.change is None else case.against or design.baseline.key
    return Variant(
        key=case.key,
        device=device,
        rows=case.rows,
        change=case.change,
        fix=case.fix,
        number=case.number,
        against=against,
        error=NO_GPU if needless or (case.needs_gpu and device != "cuda") else None,
    )


def shown(variant: Variant) -> str:
    """Time and launches in a line."""
    launches = "" if variant.per_step is None else f"{variant.per_step.kernel_launches:6.1f} launches"
    return f"{variant.median_us_per_step or 0:10.1f} us/step {launches}"


def one_line(error: Exception) -> str:
    """What went wrong, without line breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


def clean() -> None:
    """Give memory back, so that no experiment runs beside the remains of another."""
    gc.collect()
    if torch.cuda.is_available():
        with suppress(RuntimeError):  # a GPU that has failed says so again here
            torch.cuda.empty_cache()


def say(line: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
