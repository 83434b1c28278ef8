"""Evidence from a machine with a GPU: what each fix does to the time of a step, measured, with traces of it.

    python -m tests.evidence.gpu.evidence OUT [--part 1|2|3 | --only E1a,E4,matmul] [--budget SECONDS] [--quick]
    python -m tests.evidence.gpu.evidence OUT --merge FILE ...

Run it in a checkout. Without ``--part`` and ``--only`` all three parts are run, each within ``--budget`` (520 s, so
that it ends within nine minutes); ``--only`` makes a part of the experiments and demos named, in that order, the demos
last. A part writes

    OUT/evidence.json      times of every repeat, launches counted per step, the machine, and the pairs of before and
                           after (``stallscope.evidence/3``); of what is there already the better measured stays
    OUT/part-N-TIME.tar    traces of every case (timing span; of each baseline the attribution span too), of each
                           baseline the run folder of `stallscope profile`, and below workloads/ what `stallscope demo`
                           measured of the built-in trainings

both again after each experiment and each demo, so that nothing is lost but what was being measured.

A case is timed without a profiler, the device synchronized at both ends, five times, in an order that rotates from
repeat to repeat, so that a drift of the machine meets all alike; then 20 steps are traced. After the experiments the
first baseline is timed again: a drift beyond 3 % makes the part's pairs doubtful. An experiment begins where at least
half of its seconds are left, and is ended when they are over. Where there is no GPU the cases that can run on the CPU
do; ``--quick`` takes seconds and only shows that everything works.
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import signal
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

from stallscope.profiling.machine.machine import collect
from stallscope.profiling.machine.nvml import gpu_state
from stallscope.traces.model.manifest import GpuState, Machine
from tests.evidence.gpu.bench import NO_GPU, Scale, Shared, main_device, measured, one_line, say
from tests.evidence.gpu.clock import Clock, TimeIsUp
from tests.evidence.gpu.experiments import PARTS, Case, Demo, Design, Item, chosen, of_part
from tests.evidence.gpu.measuring import timed
from tests.evidence.gpu.pairs import Evidence, Experiment, Part, load, median, merged, to_json
from tests.evidence.gpu.programs import called

BUDGET_S = 520.0  # of a part: the imports before it and the last write still end within nine minutes
RESERVE_S = 8.0  # of it, to write
DRIFT_S = 20.0  # at most, to time the first baseline again
LARGEST_TAR = 15_000_000  # bytes; larger files may not leave the machine
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")

FULL = Scale(share=0.3, fewest=20, profiled_steps=6000)
QUICK = Scale(share=0.003, fewest=5, profiled_steps=60, cases=2, at_most_s=120.0)


@dataclass(slots=True)
class Gathering:
    """A part while it is gathered; ``write`` keeps what there is."""

    name: str
    created: str
    out: Path
    folder: Path  # what goes into the tar file
    clock: Clock
    quick: bool
    machine: Machine
    known: list[Evidence]
    gpu_at_start: GpuState | None = None
    drift: float | None = None
    experiments: list[Experiment] = field(default_factory=list)
    demos: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def skip(self, name: str, why: str) -> None:
        """Note, and say, what was not done."""
        self.skipped.append(f"{name}: {why}")
        say(self.skipped[-1])

    def evidence(self, *, complete: bool) -> Evidence:
        """What this part has so far."""
        part = Part(
            name=self.name,
            created=self.created,
            quick=self.quick,
            machine=self.machine,
            governor=governor(),
            gpu_at_start=self.gpu_at_start,
            gpu_at_end=state(),
            drift=self.drift,
            budget_s=self.clock.budget_s,
            wall_s=round(self.clock.spent, 1),
            complete=complete,
            demos=list(self.demos),
            skipped=list(self.skipped),
        )
        return Evidence(parts=[part], experiments=list(self.experiments))

    def write(self, *, complete: bool = False) -> Evidence:
        """Write the tar file and, with what was there before, evidence.json; neither is ever half there."""
        left_out = pack(self.folder, self.out / f"{self.name}.tar", LARGEST_TAR)
        self.skipped += [each for each in left_out if each not in self.skipped]
        done = merged([*self.known, self.evidence(complete=complete)])
        replaced(self.out / "evidence.json", to_json(done))
        return done


def gather(items: Sequence[Item], name: str, scale: Scale, out: Path, clock: Clock) -> Evidence:
    """One part: its experiments, then its demos, within the clock's budget. Returns what OUT then holds in all."""
    quick = scale is QUICK
    machine = collect(touch_gpu=False)  # before we hold the GPU, so that who else does is known
    machine = msgspec.structs.replace(collect(), others_on_gpu=machine.others_on_gpu)
    target = out / "evidence.json"
    known = [load(target)] if target.is_file() else []
    with tempfile.TemporaryDirectory() as place:
        created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        part = Gathering(name, created, out, Path(place), clock, quick, machine, known, gpu_at_start=state())
        experiments(part, [each for each in items if isinstance(each, Design)], scale)
        for each in items:
            if isinstance(each, Demo):
                demonstrate(part, each)
                part.write()
        return part.write(complete=True)


def experiments(part: Gathering, designs: Sequence[Design], scale: Scale) -> None:
    """Measure each design for which there is time; then the first baseline again."""
    shared = Shared(part.folder, runs_left=1 if part.quick else len(designs))
    first: Case | None = None
    for design in designs:
        wanted = scale.at_most_s or design.seconds
        seconds = min(wanted, part.clock.left - RESERVE_S)
        if design.needs_gpu and main_device() == "cpu":
            part.skip(design.name, NO_GPU)
        elif seconds < wanted / 2:
            part.skip(design.name, "no time left")
        else:
            try:
                part.experiments.append(measured(design, scale, shared, part.clock, part.name, seconds))
                first = first or design.baseline
            except Exception as error:  # noqa: BLE001 - it must not take the others with it
                part.skip(design.name, one_line(error))
            part.write()
    if first is not None:
        part.drift = drift(part.experiments[0], first, part.clock)
        part.write()


def drift(before: Experiment, case: Case, clock: Clock) -> float | None:
    """How much longer a baseline takes than it took at its own time; None where that cannot be told."""
    variant = next(v for v in before.variants if v.key == before.baseline)
    seconds = min(DRIFT_S, clock.left - RESERVE_S)
    if variant.median_us_per_step is None or seconds <= 0:
        return None
    try:
        with clock.limit(seconds):
            step = case.make(variant.device)
            timed(step, variant.device, 30)
            again = median([timed(step, variant.device, variant.steps)[0] for _ in range(3)])
    except TimeIsUp:
        return None
    except Exception as error:  # noqa: BLE001 - the experiments are measured; this only judges them
        say(f"{before.name}: its baseline could not be timed again ({one_line(error)})")
        return None
    found = round((again or 0.0) / variant.median_us_per_step - 1, 4)
    say(f"{before.name}: its baseline again, {100 * found:+.1f} %")
    return found


def demonstrate(part: Gathering, demo: Demo) -> None:
    """Run one demo within its time; one that is not done in it keeps the rounds that are."""
    seconds = min(demo.seconds, part.clock.left - RESERVE_S)
    if part.quick:  # the demos have a short form and tests of their own
        part.skip(demo.name, "not run in the short form")
        return
    if seconds < demo.seconds / 2:
        part.skip(demo.name, "no time left")
        return
    say(f"demo {demo.name} (at most {seconds:.0f} s of {part.clock.left:.0f})")
    out = part.folder / "workloads"
    with tempfile.TemporaryDirectory() as logdir:
        command = [sys.executable, "-m", "stallscope", "demo", demo.name, "--device", main_device()]
        problem = called([*command, "--repeats", str(demo.repeats), "--logdir", logdir, "--out", str(out)], seconds)
    if problem is None:
        part.demos.append(demo.name)
    else:
        part.skip(demo.name, problem)


# --- around it --------------------------------------------------------------------------------------


def state() -> GpuState | None:
    """The GPU's clocks, power and temperature now."""
    return gpu_state(torch.cuda) if main_device() == "cuda" else None


def governor() -> str | None:
    """What sets the CPU's clock: "performance", "powersave" …; None where the system does not tell."""
    try:
        return GOVERNOR.read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def pack(folder: Path, target: Path, at_most: int) -> list[str]:
    """Put everything below a folder into one tar file; the largest files are left out where it would be too large.

    Returns what was left out, with its size.
    """
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    left_out = []
    while sum(sizes.values()) > at_most:
        largest = max(sizes, key=lambda path: (sizes[path], path))
        left_out.append(f"{largest.relative_to(folder).as_posix()}: left out of the tar file ({sizes.pop(largest)} B)")
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for path in sorted(sizes):
            content = path.read_bytes()
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    replaced(target, whole.getvalue())
    return left_out


def replaced(target: Path, content: bytes) -> None:
    """Write a file in one go."""
    beside = target.with_name(f".{target.name}.new")
    beside.write_bytes(content)
    beside.replace(target)


def main(arguments: Sequence[str] | None = None) -> int:
    """Gather the evidence into a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence.gpu.evidence",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for evidence.json and the tar files")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--part", type=int, choices=PARTS, help="only this part (each: nine minutes)")
    which.add_argument("--only", metavar="E1a,E4,matmul", help="these experiments and demos, as one part")
    which.add_argument("--merge", type=Path, nargs="+", metavar="FILE", help="only add these files to OUT's")
    parser.add_argument("--budget", type=float, default=BUDGET_S, metavar="SECONDS", help="of a part (520)")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes: shows that it works")
    options: Any = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.merge:
        target = options.out / "evidence.json"
        known = [load(target)] if target.is_file() else []
        replaced(target, to_json(merged([*known, *map(load, options.merge)])))
        return 0
    try:
        plan = planned(options.part, options.only)
    except ValueError as error:
        parser.error(str(error))
    for name, items in plan:
        stamped = f"{'quick-' if options.quick else ''}{name}-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}"
        scale = QUICK if options.quick else FULL
        gather(items, stamped, scale, options.out, Clock(options.budget))
        say(f"{stamped} written: {options.out / 'evidence.json'}")
    return 0


def planned(part: int | None, only: str | None) -> list[tuple[str, list[Item]]]:
    """The parts to run, each with what is in it."""
    if only is not None:
        return [("only", chosen([name for name in only.split(",") if name]))]
    return [(f"part-{number}", of_part(number)) for number in ([part] if part else PARTS)]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else the programs we started would outlive us
    sys.exit(main())
