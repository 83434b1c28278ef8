"""What to run and how to record it, as the command line and the API say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stallscope.profiling.record.plan import Depth, Plan, make
from stallscope.profiling.run import runner
from stallscope.traces.model.errors import BadInput

DEFAULT_LOGDIR = Path("runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run and how to record it."""

    target: str  # path of a script, folder or zip; or a module's name
    is_module: bool
    args: tuple[str, ...]
    logdir: Path = DEFAULT_LOGDIR
    name: str | None = None  # of the run folder; None: the script's
    plan: Depth = Depth.STANDARD
    steps: int | None = None  # of the last timing window; None: as many as the plan has
    attribution: bool = True  # record where time is spent, too
    warmup: int = 3
    skip: int = 5
    cpu_only: bool = False
    progress: bool = True

    def stages(self) -> Plan:
        """What is to be recorded, and when."""
        return make(self.plan, skip=self.skip, warmup=self.warmup, steps=self.steps, attribution=self.attribution)


def run_name(options: Options, target: runner.Target) -> str:
    """The name of the run folder.

    Raises:
        BadInput: it is no plain folder name, or the log folder is a file.
    """
    name = options.name if options.name is not None else target.stem
    if not name or name in (".", "..") or Path(name).name != name or "\0" in name:
        raise BadInput(f"--name {name!r}: must be a plain folder name, without separators")
    if options.logdir.exists() and not options.logdir.is_dir():
        raise BadInput(f"--logdir {options.logdir}: is a file; name a folder")
    return name
