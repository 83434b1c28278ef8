"""What ``stallscope demo NAME`` does: run, show, explain, and keep it."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from stallscope import api, output
from stallscope.analysis.report.compare import text as compare_text
from stallscope.analysis.report.style import Style
from stallscope.analysis.report.summary import text
from stallscope.demo import page, plot
from stallscope.demo.catalog import WORKLOADS
from stallscope.demo.results import Result, VariantResult, load, to_json
from stallscope.demo.running import added, count_gpus, run_all, script_path
from stallscope.demo.story import Variant, Workload
from stallscope.traces.model.errors import BadInput

Echo = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for."""

    quick: bool
    repeats: int | None  # None: as the workload has it
    logdir: Path
    out: Path | None  # folder for page, plot and figures; None: beside the runs
    device: str | None = None  # "cpu" | "cuda": only its variants
    again: Path | None = None  # tell once more what this file of figures holds; nothing is run


def run(name: str | None, request: Request, *, echo: Echo, say: Echo) -> int:
    """Run the demo ``name`` and return the exit code; without a name, list what there is.

    ``echo`` takes what the demo shows, ``say`` its progress. Writes ``<logdir>/<time>/<variant>/run-<n>``, which
    TensorBoard and `stallscope compare` open, and ``NAME.json``, ``NAME.md``, ``NAME.png``, ``NAME.svg``.

    Raises:
        BadInput: no workload has that name, or a folder cannot be written.
        StallscopeError: a run failed.
    """
    if name is None:
        echo(page.listing([(known, workload.about) for known, workload in WORKLOADS.items()]))
        echo("\nRun one with: stallscope demo NAME")
        return 0
    if name not in WORKLOADS:
        raise BadInput(f"{name!r} is no built-in workload; choose one of: {', '.join(WORKLOADS)}")
    workload, style = WORKLOADS[name], output.style_for(sys.stdout)
    if request.again is not None:
        conclude(workload, load(request.again), request.out or request.again.parent, style, echo)
        return 0
    echo(f"{name}: {workload.about}.\nThe question: {workload.question}\n")
    folder, out = new_folder(request.logdir), request.out
    if out is not None:
        make_folder(out)
    figures = (out or folder) / f"{name}.json"
    say(f"after each round of runs, what was measured is kept in {figures}")
    result = run_all(
        workload, folder, variants=wanted(workload, request), quick=request.quick,
        repeats=request.repeats or workload.repeats, command=command(name, request),
        keep=lambda result: output.write_file(figures, to_json(result), force=True), say=say,
    )  # fmt: skip
    show_runs(workload, result, folder, style, echo)
    conclude(workload, result, out or folder, style, echo)
    say_what_next(workload, result, folder, style, echo)
    return 0


def wanted(workload: Workload, request: Request) -> list[Variant]:
    """The variants that were asked for.

    Raises:
        BadInput: they need a GPU and there is none that torch can use.
    """
    found = [each for each in workload.variants(request.quick) if request.device in (None, each.device)]
    if request.device == "cuda" and not count_gpus():
        raise BadInput("--device cuda: torch finds no GPU here; `stallscope env` says why, --device cpu runs without")
    return found


def command(name: str, request: Request) -> str:
    """The demo as it was typed, without where things went."""
    quick = ["--quick"] if request.quick else []
    repeats = [] if request.repeats is None else ["--repeats", str(request.repeats)]
    device = [] if request.device is None else ["--device", request.device]
    return shlex.join(["stallscope", "demo", name, *quick, *repeats, *device])


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


def make_folder(folder: Path) -> None:
    """Make sure before the work, not after it, that the results have a place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror}); choose another with --out") from error


# --- what is shown ----------------------------------------------------------------------------------


def show_runs(workload: Workload, result: Result, folder: Path, style: Style, echo: Echo) -> None:
    """One run of some variants as `summary` tells it, two variants as `compare` does, and a sample from a GPU."""
    for key in workload.summaries:
        variant = result.get(key)
        if variant is not None and variant.repeats[0].recorded is not None:
            heading(f"{variant.title}: one run", style, echo)
            echo(text.page(api.summarize(folder / key / "run-1"), style))
    for before, after in compared(workload, result):
        heading("before and after: all runs", style, echo)
        echo(compare_text.render(api.compare([folder / before], [folder / after]), style))
    if result.devices == ["cpu"]:
        show_sample(workload, style, echo)


def compared(workload: Workload, result: Result) -> list[tuple[str, str]]:
    """The two variants that are set side by side, where both hold runs; those of the GPU where no others are."""
    sides = [workload.compared] if workload.compared else []
    sides += [(before.replace("cpu-", "cuda-", 1), after.replace("cpu-", "cuda-", 1)) for before, after in sides]
    return [pair for pair in sides if all(holds_runs(result.get(key)) for key in pair)][:1]


def holds_runs(variant: VariantResult | None) -> bool:
    """Whether something was recorded of it."""
    return variant is not None and any(repeat.recorded is not None for repeat in variant.repeats)


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
    echo(text.page(summary, style))


def sample_path(workload: Workload) -> Path | None:
    """The newest sample trace of this workload on a GPU; None where none is there."""
    if workload.sample is None:
        return None
    folder = Path(str(resources.files("stallscope.traces.samples")))
    found = sorted(folder.glob(f"{workload.sample}*.pt.trace.json.gz"))
    measured = [path for path in found if "simulated" not in path.name]
    return next(reversed(measured or found), None)


def conclude(workload: Workload, result: Result, out: Path, style: Style, echo: Echo) -> None:
    """Table, plot and explanation; all of it, and the figures behind it, into ``out``."""
    story = workload.tell(result)
    heading(f"{workload.name}: what was measured", style, echo)
    echo(page.as_text(story, result, style))
    drawn = plot.available()
    path = out / workload.name
    if drawn:
        plot.draw(story.panels, path)
    output.write_file(path.with_suffix(".json"), to_json(result), force=True)
    words = page.as_markdown(workload, story, result, plot=drawn)
    output.write_file(path.with_suffix(".md"), words.encode(), force=True)
    endings = ".md, .json, .png, .svg" if drawn else ".md, .json"
    echo(f"\n{'Page, figures and plot' if drawn else 'Page and figures'}: {path}{endings}")
    if not drawn:
        echo(plot.MISSING)


def say_what_next(workload: Workload, result: Result, folder: Path, style: Style, echo: Echo) -> None:
    """What was done, and the commands that go on from here."""
    heading("what next", style, echo)
    echo(f"{script_path(workload).name} was run unmodified.")
    for name, value in added().items():
        echo(f"{name}={value} was set for every run.")
    echo(f"Traces and manifests: {folder}")
    echo(f"  in TensorBoard     {typed('tensorboard', '--logdir', folder)}")
    for pair in compared(workload, result):
        sides = [folder / key for key in pair]
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
