"""The account of one run: its steps, and the manifest that is written of it."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType

import msgspec

from stallscope.profiling.folder.export import worker_name
from stallscope.profiling.folder.launch import Launch, find_launch
from stallscope.profiling.machine import machine
from stallscope.profiling.machine.device import find_device
from stallscope.profiling.machine.settings import settings
from stallscope.profiling.mark.callsites import printable
from stallscope.profiling.record.capture import Capture
from stallscope.profiling.record.recorder import memory_peaks, rank_and_world
from stallscope.profiling.run.children import ChildWatch
from stallscope.profiling.run.options import Options
from stallscope.profiling.run.sampling import Seen
from stallscope.profiling.run.secrets import masked
from stallscope.profiling.run.step_parts import made_of
from stallscope.profiling.run.whole_run import whole_run
from stallscope.profiling.watch.events import Events
from stallscope.profiling.watch.steps import StepTracker
from stallscope.traces.model.manifest import Finding, Machine, Manifest, Steps, WholeRun
from stallscope.traces.model.version import version

NO_MACHINE = Machine(os=sys.platform, python=sys.version.split()[0], cpu="unknown", cores=0, threads=None, torch=None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(slots=True)
class Account:
    """What is known of one run by now. ``complete``: the script has ended, with ``exit_code``."""

    options: Options
    events: Events
    pid: int = field(default_factory=os.getpid)
    created: str = field(default_factory=_now)  # ISO 8601, UTC
    torch: ModuleType | None = None
    capture: Capture | None = None
    findings: list[Finding] = field(default_factory=list)
    exit_code: int | None = None
    interrupted: bool = False  # Ctrl-C ended it
    complete: bool = False
    machine: Machine | None = None  # found out when first asked for
    launch: Launch | None = field(default_factory=find_launch)  # of several ranks
    children: ChildWatch | None = None
    worker: str | None = None
    whole: WholeRun | None = None
    seen: Seen | None = None  # of the whole run, once it has ended
    rank: tuple[int, int] | None = None  # and the number of ranks, once the process group has said it

    def steps(self) -> Steps:
        """How many steps the run has had so far, and how they were found."""
        self.events.sight.settle()
        trackers, unseen = list(self.events.trackers), self.events.sight.hidden_once
        marked = [each for each in trackers if each.source == "marked"]
        trained = marked or [each for each in trackers if each.source == "optimizer"]
        counted = trained or sorted(trackers, key=lambda each: each.root_forwards)[-1:]
        totals = [each.total() if self.complete else each.completed for each in counted]
        longest = counted[totals.index(max(totals))] if counted else StepTracker()
        return Steps(
            count=sum(totals),
            source=longest.source,
            optimizer_steps=sum(each.optimizer_steps for each in trackers),
            root_forwards=None if unseen else sum(each.root_forwards for each in trackers),
            dataloader_fetches=sum(each.fetches for each in trackers),
            scaler_updates=sum(each.scaler_updates for each in trackers),
            evaluation_forwards=None if unseen else sum(each.evaluation_forwards for each in trackers),
            period=longest.period.length or 1,
            made_of=made_of(longest.composition, self.events.stepping),
        )

    def manifest(self) -> Manifest:
        """The manifest as of now, quickly: with the machine only if that has been asked for before."""
        rank, world = self.rank_and_world()
        if self.worker is None:
            self.worker = worker_name(rank, world)
        options, marks = self.options, self.capture.marks if self.capture is not None else None
        command = [*(["-m"] if options.is_module else []), options.target, *options.args]
        manifest = Manifest(
            stallscope=version(),
            created=self.created,
            command=[printable(each) for each in masked(command)],
            worker=self.worker,
            rank=rank,
            world_size=world,
            pid=self.pid,
            machine=self.machine or NO_MACHINE,
            steps=self.steps(),
            windows=list(self.capture.windows) if self.capture is not None else [],
            findings=list(self.findings),
            children=None if self.children is None else self.children.seen(),
            call_sites=list(marks.call_sites) if marks is not None else [],
            modules=list(marks.modules) if marks is not None else [],
            exit_code=self.exit_code,
            complete=self.complete,
            whole_run=self._whole_run(),
            settings=settings(self.torch, self.events.loaders, self.events.optimizers.values()),
        )
        return msgspec.structs.replace(manifest, **memory_peaks(self.torch))

    def _whole_run(self) -> WholeRun | None:
        """Where the run's time went, once it has ended; a failure of ours costs no more than that."""
        if self.seen is not None and self.whole is None:
            with contextlib.suppress(Exception):
                self.whole = whole_run(self.seen, next(iter(self.events.stepping.values()), ()))
        return self.whole

    def rank_and_world(self) -> tuple[int, int]:
        """The rank of this process and the number of ranks; a process group that is no more is remembered."""
        now = rank_and_world(self.torch, self.launch)
        if self.rank is None and now != (0, 1):
            self.rank = now
        return self.rank or now

    def with_machine(self, manifest: Manifest, *, kernel_rows: bool) -> Manifest:
        """Add the machine, which takes its time to find out, and what can be said only with it.

        ``kernel_rows``: a trace of the run has device kernels.
        """
        if self.machine is None:
            self.machine = machine.collect(with_torch=self.complete and self.torch is not None, touch_gpu=False)
        made_on = self.machine
        if self.complete and self.capture is not None:
            recorded = any(kind != "CPU" for window in manifest.windows for kind in window.activities)
            used = self.capture.device_name != "cpu" or find_device(self.torch).queues if self.torch else False
            extra = machine.findings_of_run(made_on, gpu_used=used, kernel_rows=kernel_rows if recorded else None)
            manifest = msgspec.structs.replace(manifest, findings=[*manifest.findings, *extra])
        return msgspec.structs.replace(manifest, machine=made_on)
