"""Evidence from a machine with a GPU: what each fix does to the time of a step, measured, with traces of it.

    python -m tests.gpu.evidence OUT [--part 1|2|3] [--quick] [--merge FILE ...]

Run it in a checkout. Each of the three parts takes at most nine minutes (without ``--part`` all three are run) and
writes

    OUT/evidence.json      times of every repeat, launches counted per step, the machine (``stallscope.evidence/2``);
                           parts that are already there stay, ``--merge`` adds those of other files
    OUT/part-N.tar         traces of every case (timing span; of each baseline the attribution span too), and of each
                           baseline the run folder of `stallscope profile`
    OUT/workloads/         what `stallscope demo` measured of the built-in trainings, as far as the time allows

A case is timed without a profiler, the device synchronized at both ends, five times, in an order that rotates from
repeat to repeat, so that a drift of the machine meets all alike; then 20 steps are traced. At the end of a part its
first baseline is timed again: a drift beyond 3 % speaks against the part. Where there is no GPU the cases that can run
on the CPU do; ``--quick`` takes seconds and only shows that everything works.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import io
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

from stallscope.profiling.machine import collect
from tests.gpu.experiments import DESIGNS, WORKLOADS, Case, Design
from tests.gpu.measuring import affordable, counted, rotated, timed, traced
from tests.gpu.pairs import Evidence, Experiment, Part, Variant, load, median, merged, to_json

REPEATS = 5
BUDGET_S = 520.0  # of a part, so that it ends within nine minutes
LARGEST_TRACE = 1_000_000  # bytes; a larger one is left out
PROFILED_STEPS = 6000
DEMO_AT_LEAST_S = 60.0


@dataclass(slots=True)
class Clock:
    """What is left of a part's time."""

    budget_s: float
    began: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds since the part began."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds that may still be used."""
        return self.budget_s - self.spent


@dataclass(frozen=True, slots=True)
class Scale:
    """How long to measure."""

    share: float  # of each experiment's seconds
    fewest: int  # steps of a repeat
    profiled_steps: int
    recorded: int | None  # baselines recorded by `stallscope profile`; None: all
    cases: int | None  # of each experiment; None: all
    workloads: bool


FULL = Scale(share=1.0, fewest=20, profiled_steps=PROFILED_STEPS, recorded=None, cases=None, workloads=True)
QUICK = Scale(share=0.004, fewest=5, profiled_steps=60, recorded=1, cases=2, workloads=False)
NO_GPU = "not measured here (no GPU)"


def gather(part: int, scale: Scale, out: Path, *, quick: bool) -> Evidence:
    """One part: its experiments, traces and workloads."""
    clock = Clock(BUDGET_S)
    machine = collect(touch_gpu=False)  # before we hold the GPU, so that who else does is known
    machine = msgspec.structs.replace(collect(), others_on_gpu=machine.others_on_gpu)
    skipped: list[str] = []
    experiments: list[Experiment] = []
    with tempfile.TemporaryDirectory() as place:
        traces = Path(place)
        for number, design in enumerate(design for design in DESIGNS if design.part == part):
            if design.needs_gpu and main_device() == "cpu":
                skipped.append(f"{design.name}: {NO_GPU}")
                continue
            if clock.left < design.seconds * scale.share:
                skipped.append(f"{design.name}: no time left")
                continue
            recorded = scale.recorded is None or number < scale.recorded
            experiments.append(experiment(design, scale, traces, clock, recorded=recorded))
        drifted = with_drift(experiments)
        pack(traces, out / f"part-{part}.tar")
    workloads = run_workloads(part, out / "workloads", clock, skipped) if scale.workloads else []
    this = Part(
        number=part,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        quick=quick,
        machine=machine,
        wall_s=round(clock.spent, 1),
        skipped=skipped,
        workloads=workloads,
    )
    return Evidence(parts=[this], experiments=drifted)


# --- one experiment ---------------------------------------------------------------------------------


def main_device() -> str:
    """The GPU, or the CPU where there is none."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def experiment(design: Design, scale: Scale, traces: Path, clock: Clock, *, recorded: bool) -> Experiment:
    """Time every case in turn, then trace each, then record the baseline through `stallscope profile`."""
    say(f"{design.name}: {design.title} ({clock.left:.0f} s left of this part)")
    found = [prepared(design, case, scale) for case in design.cases[: scale.cases]]
    timings, cut_short = time_all(design, found, clock, scale)
    variants = []
    for case, variant in found:
        times = timings.get(case.key, [])
        done = msgspec.structs.replace(
            variant,
            us_per_step=[round(us, 3) for us, _ in times],
            host_us_per_step=[round(us, 3) for _, us in times],
            median_us_per_step=median([us for us, _ in times]),
        )
        if done.error is None:
            done = with_traces(design, case, done, traces, baseline=case is design.baseline)
        if recorded and case is design.baseline and done.error is None:
            done = with_run(design, case, done, traces, scale)
        variants.append(done)
        say(f"    {case.key:20s} {done.error or shown(done)}")
    return Experiment(
        name=design.name,
        title=design.title,
        part=design.part,
        held_out=design.held_out,
        baseline=design.baseline.key,
        variants=variants,
        cut_short=cut_short,
    )


def prepared(design: Design, case: Case, scale: Scale) -> tuple[Case, Variant]:
    """The case with the number of steps of a repeat; with an error where it cannot run here."""
    device = case.device or main_device()
    variant = Variant(key=case.key, device=device, fix=case.fix, rows=case.rows)
    if case.needs_gpu and device != "cuda":
        return case, msgspec.structs.replace(variant, error=NO_GPU)
    seconds = design.seconds * scale.share / (len(design.cases) * REPEATS) * 0.7
    try:
        steps = affordable(case.make(device), device, seconds, scale.fewest)
    except Exception as error:  # noqa: BLE001 - no compiler, not enough memory, an option this torch lacks
        return case, msgspec.structs.replace(variant, error=one_line(error))
    finally:
        clean()
    return case, msgspec.structs.replace(variant, steps=steps)


Timings = dict[str, list[tuple[float, float]]]


def time_all(design: Design, found: Sequence[tuple[Case, Variant]], clock: Clock, scale: Scale) -> tuple[Timings, bool]:
    """(synchronized, host) µs a step of every repeat; stops between repeats once the time is over."""
    chosen = [(case, variant) for case, variant in found if variant.error is None]
    times: Timings = {case.key: [] for case, _ in chosen}
    end = clock.spent + max(2 * design.seconds * scale.share, 1.0)
    for repeat in range(REPEATS):
        if clock.spent > end and scale.workloads:
            return times, True
        for case, variant in rotated(chosen, repeat):
            step = case.make(variant.device)
            timed(step, variant.device, max(5, min(50, variant.steps // 4)))  # a new training warms up
            times[case.key].append(timed(step, variant.device, variant.steps))
            del step
            clean()
    return times, False


def with_traces(design: Design, case: Case, variant: Variant, traces: Path, *, baseline: bool) -> Variant:
    """The variant with its timing trace, for a baseline an attribution trace too, and what the first one holds."""
    names = {}
    for kind in ("timing", "attribution") if baseline else ("timing",):
        name = f"{design.name}_{case.key}_{variant.device}_{kind}.{time.time_ns()}.pt.trace.json.gz"
        step = case.make(variant.device)
        timed(step, variant.device, 10)
        try:
            traced(step, variant.device, traces / name, attribution=kind == "attribution")
        except Exception as error:  # noqa: BLE001 - the times are there; a trace that fails must not take them away
            say(f"    {case.key}: no {kind} trace ({one_line(error)})")
            continue
        finally:
            del step
            clean()
        names[kind] = name
    if "timing" not in names:
        return variant
    steps, profiled_us, per_step = counted(traces / names["timing"])
    for kind, name in list(names.items()):
        if (traces / name).stat().st_size > LARGEST_TRACE:
            (traces / name).unlink()
            del names[kind]
    return msgspec.structs.replace(
        variant, traces=names, traced_steps=steps, profiled_us_per_step=round(profiled_us, 3), per_step=per_step
    )


def with_run(design: Design, case: Case, variant: Variant, traces: Path, scale: Scale) -> Variant:
    """The variant with a run folder that `stallscope profile` made of it."""
    name = f"{design.name}_{case.key}_{variant.device}"
    steps = max(40, min(scale.profiled_steps, variant.steps))
    own = ["profile", "--no-summary", "--logdir", str(traces / "runs"), "--name", name, "-m", "tests.gpu.train"]
    script = [design.name, case.key, "--device", variant.device, "--steps", str(steps)]
    problem = called([sys.executable, "-m", "stallscope", *own, *script], 120.0)
    if problem is not None or not (traces / "runs" / name / "stallscope.json").is_file():
        say(f"    {case.key}: no run folder ({problem or 'nothing was recorded'})")
        return variant
    return msgspec.structs.replace(variant, run=f"runs/{name}")


def with_drift(experiments: list[Experiment]) -> list[Experiment]:
    """The experiments; the first one's baseline timed again, and how much that differs."""
    if not experiments:
        return experiments
    first, *others = experiments
    before = next(v for v in first.variants if v.key == first.baseline)
    if before.median_us_per_step is None:
        return experiments
    (design,) = (design for design in DESIGNS if design.name == first.name)
    step = design.baseline.make(before.device)
    timed(step, before.device, 30)
    again = median([timed(step, before.device, before.steps)[0] for _ in range(3)])
    drift = round((again or 0) / before.median_us_per_step - 1, 4)
    say(f"{first.name}: its baseline again, {100 * drift:+.1f} %")
    return [msgspec.structs.replace(first, drift=drift), *others]


# --- around it --------------------------------------------------------------------------------------


def run_workloads(part: int, folder: Path, clock: Clock, skipped: list[str]) -> list[str]:
    """Run the part's demos in what time is left, one repeat each so that all fit; what does not is skipped."""
    done = []
    for name in WORKLOADS[part]:
        if clock.left < DEMO_AT_LEAST_S:
            skipped.append(f"demo {name}: no time left")
            continue
        say(f"demo {name} ({clock.left:.0f} s left of this part)")
        with tempfile.TemporaryDirectory() as logdir:
            command = [sys.executable, "-m", "stallscope", "demo", name, "--logdir", logdir, "--out", str(folder)]
            problem = called([*command, "--repeats", "2"], clock.left)
        if problem is None:
            done.append(name)
        else:
            skipped.append(f"demo {name}: {problem}")
    return done


def called(command: Sequence[str], timeout_s: float) -> str | None:
    """Run a command; None if it went well, else what went wrong, in one line."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return f"not done within {timeout_s:.0f} s"
    lines = done.stderr.decode("utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
    return None if done.returncode == 0 else f"exit code {done.returncode}: {lines[-1]}"


def shown(variant: Variant) -> str:
    """Time and launches in a line."""
    launches = "" if variant.per_step is None else f"{variant.per_step.kernel_launches:6.1f} launches"
    return f"{variant.median_us_per_step or 0:10.1f} us/step {launches}"


def one_line(error: Exception) -> str:
    """What went wrong, without line breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


def clean() -> None:
    """Give memory back, so that no case runs beside the remains of another."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def say(line: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def pack(folder: Path, target: Path) -> None:
    """Put everything below a folder into one tar file."""
    with tarfile.open(target, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member, content = tarfile.TarInfo(path.relative_to(folder).as_posix()), path.read_bytes()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def main(arguments: Sequence[str] | None = None) -> int:
    """Gather the evidence into a folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.evidence", description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for evidence.json and the traces")
    parser.add_argument("--part", type=int, choices=sorted(WORKLOADS), help="only this part (each: nine minutes)")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes: shows that it works")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="FILE", help="only add these files to OUT's")
    options: Any = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / "evidence.json"
    known = [load(target)] if target.is_file() else []
    if options.merge:
        target.write_bytes(to_json(merged([*known, *map(load, options.merge)])))
        return 0
    for part in [options.part] if options.part else sorted(WORKLOADS):
        known.append(gather(part, QUICK if options.quick else FULL, options.out, quick=options.quick))
        target.write_bytes(to_json(merged(known)))
        say(f"part {part} of {len(WORKLOADS)} written: {target} ({known[-1].parts[0].wall_s} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
