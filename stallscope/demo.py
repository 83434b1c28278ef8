"""``stallscope demo``: a built-in training script in two variants, profiled in turn, explained and compared."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from stallscope import api
from stallscope.analysis.contract import Summary
from stallscope.analysis.report import compare_text, text
from stallscope.analysis.report.style import Style
from stallscope.output import style_for
from stallscope.traces.errors import BadInput, StallscopeError

# Waiting threads of torch spin by default: on a busy machine that makes so small a training ten times slower and more.
WAITING = "PASSIVE"

Echo = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the script: the folder of its runs, what to call it, the options it adds."""

    folder: str
    title: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """One built-in training script and the question its demo answers."""

    script: str  # in profiling/workloads
    about: str
    question: str
    epochs_cpu: int
    epochs_gpu: int
    baseline: Variant
    candidate: Variant
    sample: str | None = None  # beginning of a file name in traces/samples: this workload on a GPU


WORKLOADS = {
    "iris-mlp": Workload(
        script="iris_mlp.py",
        about="a 4-10-3 network on 120 Iris flowers, all of them in every step",
        question="what does it bring to read the loss back (loss.item()) every 100 epochs instead of in each one?",
        epochs_cpu=4_000,
        epochs_gpu=10_000,
        baseline=Variant("record-every-1", "loss read in every epoch", ("--record-every", "1")),
        candidate=Variant("record-every-100", "loss read every 100 epochs", ("--record-every", "100")),
        sample="iris_mlp_",
    ),
}


def run(name: str | None, *, epochs: int | None, repeats: int, logdir: Path, echo: Echo) -> int:
    """Run the demo ``name`` and return the exit code; without a name, list what there is.

    Writes ``<logdir>/<time>/<variant>/run-<n>``: TensorBoard opens it, `stallscope compare` takes two variants.

    Raises:
        BadInput: no workload has that name, or ``logdir`` cannot be written.
        StallscopeError: a run failed.
    """
    if name is None:
        for known, workload in WORKLOADS.items():
            echo(f"{known:<12} {workload.about}")
        echo("\nRun one with: stallscope demo NAME")
        return 0
    if name not in WORKLOADS:
        raise BadInput(f"{name!r} is no built-in workload; choose one of: {', '.join(WORKLOADS)}")
    workload, style = WORKLOADS[name], style_for(sys.stdout)
    echo(f"{name}: {workload.about}.\nThe question: {workload.question}\n")
    folder = new_folder(logdir)
    record_all(workload, epochs or default_epochs(workload), repeats, folder, echo)
    shown = show_sides(workload, folder, style, echo)
    if shown.trace.vendor == "cpu":
        show_sample(workload, style, echo)
    say_what_next(workload, folder, repeats, style, echo)
    return 0


def record_all(workload: Workload, epochs: int, repeats: int, folder: Path, echo: Echo) -> None:
    """Profile both variants in turn (A B A B ...), so that a drift of the machine meets both alike."""
    plan = [(variant, n) for n in range(1, repeats + 1) for variant in (workload.baseline, workload.candidate)]
    for number, (variant, repeat) in enumerate(plan, start=1):
        echo(f"run {number} of {len(plan)}: {variant.title}, {epochs} epochs ...")
        began = time.monotonic()
        said = record(command_of(workload, variant, epochs, folder, repeat))
        if not (folder / variant.folder / f"run-{repeat}").is_dir():
            raise StallscopeError(f"a run of the demo recorded nothing: {said}")
        echo(f"    {time.monotonic() - began:.1f} s")


def command_of(workload: Workload, variant: Variant, epochs: int, folder: Path, repeat: int) -> list[str]:
    """What a user would type to profile one variant, with our own interpreter in front."""
    own = ["profile", "--no-summary", "--logdir", str(folder / variant.folder), "--name", f"run-{repeat}"]
    script = [str(script_path(workload)), "--epochs", str(epochs), *variant.options]
    return [sys.executable, "-m", "stallscope", *own, *script]


def script_path(workload: Workload) -> Path:
    """Where the workload's script lies in this installation."""
    return Path(str(resources.files("stallscope.profiling.workloads") / workload.script))


def record(command: Sequence[str]) -> str:
    """Run one profile and return the last line it said; the rest matters to nobody.

    Raises:
        StallscopeError: it failed.
    """
    environment = {"OMP_WAIT_POLICY": WAITING, **os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(  # noqa: S603 - our own command line
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environment
    )
    lines = done.stderr.decode("utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
    if done.returncode != 0:
        raise StallscopeError(f"a run of the demo ended with exit code {done.returncode}: {lines[-1]}")
    return lines[-1]


def default_epochs(workload: Workload) -> int:
    """Training length for the device that the script will choose; torch and the GPU are left alone here."""
    from stallscope.profiling.machine import collect, may_use_gpu  # noqa: PLC0415 - not needed to list workloads

    machine = collect(with_torch=False)
    return workload.epochs_gpu if machine.gpus and may_use_gpu(machine) else workload.epochs_cpu


def new_folder(logdir: Path) -> Path:
    """A new folder below ``logdir`` named after the time; never one that exists."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        folder = logdir / f"{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise BadInput(f"{logdir}: cannot be written ({error.strerror}); choose another with --logdir") from error
        return folder
    raise BadInput(f"{logdir}: no free name for a new folder; choose another with --logdir")


# --- what is shown ----------------------------------------------------------------------------------


def show_sides(workload: Workload, folder: Path, style: Style, echo: Echo) -> Summary:
    """The summary of each variant's first run, then the comparison of all runs; returns the baseline's summary."""
    baseline, candidate = (folder / side.folder for side in (workload.baseline, workload.candidate))
    summaries = []
    for side in (workload.baseline, workload.candidate):
        summaries.append(api.summarize(folder / side.folder / "run-1"))
        heading(f"{side.title}: one run", style, echo)
        echo(text.render(summaries[-1], style))
    heading("before and after: all runs", style, echo)
    echo(compare_text.render(api.compare([baseline], [candidate]), style))
    return summaries[0]


def show_sample(workload: Workload, style: Style, echo: Echo) -> None:
    """The same training on a GPU, from the sample that comes with the package; says so when nothing measured it."""
    path = sample_path(workload)
    if path is None:
        return
    summary = api.summarize(path)
    heading("the same training on a GPU" + (" (simulated)" if summary.trace.simulated else ""), style, echo)
    if summary.trace.simulated:
        echo("No GPU was used here, so this is a generated sample: its device is called")
        echo('"simulated", and no hardware made its figures. It shows what the answer looks like.\n')
    else:
        echo("No GPU was used here, so this is a sample recorded on another machine.\n")
    echo(text.render(summary, style))


def sample_path(workload: Workload) -> Path | None:
    """The newest sample trace of this workload on a GPU; None where none is there."""
    if workload.sample is None:
        return None
    folder = Path(str(resources.files("stallscope.traces.samples")))
    found = sorted(folder.glob(f"{workload.sample}*.pt.trace.json.gz"))
    measured = [path for path in found if "simulated" not in path.name]
    return next(reversed(measured or found), None)


def say_what_next(workload: Workload, folder: Path, repeats: int, style: Style, echo: Echo) -> None:
    """What was done, and the commands that go on from here."""
    sides = [folder / side.folder for side in (workload.baseline, workload.candidate)]
    times = "once" if repeats == 1 else f"{repeats} times"
    heading("what was done, and what next", style, echo)
    echo(f"{script_path(workload).name}, unmodified, was profiled {times} in each variant, in turn.")
    if "OMP_WAIT_POLICY" not in os.environ:
        echo(f"OMP_WAIT_POLICY={WAITING} was set for every run, so that other programs disturb less.")
    echo(f"Traces and manifests: {folder}")
    echo(f"  in TensorBoard     {typed('tensorboard', '--logdir', folder)}")
    echo(f"  compare again      {typed('stallscope', 'compare', *sides)}")
    echo(f"  one run again      {typed('stallscope', 'summary', sides[0] / 'run-1')}")
    echo("  your own script    stallscope profile train.py")


def heading(title: str, style: Style, echo: Echo) -> None:
    """A line that parts what was asked from what comes next."""
    echo(f"\n{style.rule()}\n{style.paint(style.text(title), 'bold')}\n")


def typed(*words: object) -> str:
    """A command as the user would type it, quoted for their shell."""
    parts = [str(word) for word in words]
    return subprocess.list2cmdline(parts) if sys.platform == "win32" else shlex.join(parts)
