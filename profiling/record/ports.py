"""What capture needs of its surroundings: forward hooks to take out, marks to put in, a place for what was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from stallscope.profiling.watch.short_ways import Take
from stallscope.profiling.watch.steps import StepTracker
from stallscope.traces.model.manifest import CallSite, Finding, NamedModule


class Sight(Protocol):
    """The forward hooks: they cost a few percent, so they are taken out where they are not needed."""

    def hide(self, tracker: StepTracker) -> bool:
        """Take the forward hooks out; False if they must stay."""

    def glance(self, tracker: StepTracker) -> bool:
        """See only the first module call after each optimizer step, until ``show``; False: all must be seen."""

    def stride(self, tracker: StepTracker, steps: int, take: Take) -> None:
        """While they are out, tell ``take`` alone where the next ``steps`` steps end, if possible, until ``show``."""

    def show(self) -> None:
        """Put them in again."""

    def count(self, tracker: StepTracker, until: tuple[int, int] | None) -> None:
        """While they are out, only count steps if possible, up to a time and a number; None: for good."""

    def long_way(self) -> None:
        """Have the next step be told of, and not only counted up to then; for other threads."""


class Marking(Protocol):
    """Ranges of modules and call sites, put into the trace while one attribution window is open."""

    @property
    def call_sites(self) -> list[CallSite]:
        """Return what ranges named ``stallscope.site#N`` mean."""

    @property
    def modules(self) -> list[NamedModule]:
        """Return what ranges named ``stallscope.module#N`` mean."""

    @property
    def notes(self) -> list[Finding]:
        """Return what the user should know of them."""

    def install(self) -> bool:
        """Begin to mark, on the thread of the steps, while the profiler records; False: not possible, as notes say."""

    def remove(self) -> None:
        """Mark no more; must not raise."""


class Output(Protocol):
    """Where finished windows go."""

    def room_for(self, size: int) -> bool:
        """Whether a plain trace of about ``size`` bytes can be written and kept."""

    def new_trace(self) -> Path | None:
        """Return where to write the next trace, plain; None where no run folder can be made."""

    def finished(self, plain: Path, error: Exception | None) -> str | None:
        """Take over a written trace, or why it was not written; returns its final name, None if it is no good."""

    def discard(self, names: list[str]) -> None:
        """Delete traces that turned out to be wrong."""

    def window_closed(self) -> None:
        """Write the manifest anew, now: the run may be ended from outside at any moment."""

    def quiet(self, on: bool) -> None:
        """Do nothing in the background, at least for a while, so that what is timed is not disturbed."""
