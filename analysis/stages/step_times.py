"""How long steps took: those recorded, and those timed without the profiler, by the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath, PureWindowsPath

import numpy as np

from stallscope.analysis.stages.where.steps import Window
from stallscope.traces.model.manifest import ROUNDS, Manifest
from stallscope.traces.model.manifest import Window as RecordedWindow
from stallscope.traces.model.trace import Floats


@dataclass(frozen=True, slots=True)
class Unprofiled:
    """Steps timed with the device synchronized before the first and after the last; without those left out."""

    total_ns: int
    steps: int
    samples_ns: tuple[int, ...]  # host time from boundary to boundary
    left_out: int  # steps of the same window that held an evaluation

    @property
    def mean_us(self) -> float:
        """The step, µs."""
        return self.total_ns / (1000 * self.steps)


@dataclass(frozen=True, slots=True)
class StepTimes:
    """The step as it was recorded, and as it is without the profiler; None: not known."""

    samples_ns: tuple[int, ...]  # steps that look whole and held no evaluation; where there are none of these, all
    left_out: int  # whole steps that held an evaluation
    unprofiled: Unprofiled | None
    from_steps: bool  # False: the whole trace stands for one step
    step_us: float  # the step as it was recorded: of those that count, on the device where the host runs ahead

    @property
    def samples_us(self) -> Floats:
        """The recorded steps, (s,)."""
        return np.array(self.samples_ns) / 1000

    @property
    def inflation(self) -> float | None:
        """Mean step under the profiler ÷ without it."""
        if self.unprofiled is None or not self.unprofiled.total_ns or not self.from_steps:
            return None
        return sum(self.samples_ns) / (1000 * len(self.samples_ns)) / self.unprofiled.mean_us


def find_step_times(window: Window, step_ns: float, path: str, manifest: Manifest | None) -> StepTimes:
    """The times of the window's steps; ``path``: the trace, by which the manifest knows what was recorded."""
    recorded = None if manifest is None else recorded_window(path, manifest)
    counted = window.whole.copy()
    counted[[at for at in evaluation_steps(path, manifest) if at < window.count]] = False
    chosen = (counted if counted.any() else window.whole) if window.whole.any() else np.ones_like(window.whole)
    return StepTimes(
        samples_ns=tuple((window.step_ends - window.step_starts)[chosen].tolist()),
        left_out=int((window.whole & ~chosen).sum()),
        unprofiled=None if manifest is None else _unprofiled(unprofiled_window(manifest, recorded)),
        from_steps=window.from_steps,
        step_us=step_ns / 1000,
    )


def _unprofiled(window: RecordedWindow | None) -> Unprofiled | None:
    """The window's steps but for those that held an evaluation, whose time is taken off the window's."""
    if window is None or window.steps <= len(window.evaluation_steps):
        return None
    left_out = set(window.evaluation_steps)
    samples = tuple(ns for position, ns in enumerate(window.samples_ns) if position not in left_out)
    return Unprofiled(
        total_ns=window.duration_ns - (sum(window.samples_ns) - sum(samples)),
        steps=window.steps - len(left_out),
        samples_ns=samples,
        left_out=len(left_out),
    )


def evaluation_steps(path: str, manifest: Manifest | None) -> tuple[int, ...]:
    """The steps of the trace at ``path`` that held an evaluation."""
    recorded = None if manifest is None else recorded_window(path, manifest)
    return () if recorded is None else tuple(recorded.evaluation_steps)


def recorded_window(path: str, manifest: Manifest) -> RecordedWindow | None:
    """The window whose trace is the file at ``path``."""
    file = PureWindowsPath(path).name if "\\" in path else PurePath(path).name
    return next((window for window in manifest.windows if window.trace == file), None)


def unprofiled_window(manifest: Manifest, recorded: RecordedWindow | None) -> RecordedWindow | None:
    """The unprofiled window of the recorded one's round; of a trace the manifest does not name, of the last round."""
    windows = [window for window in manifest.windows if window.kind == "unprofiled" and window.steps > 0]
    rounds = (recorded.round,) if recorded else ROUNDS
    return next((window for name in rounds for window in reversed(windows) if window.round == name), None)


def longest_unprofiled(path: str, manifest: Manifest) -> RecordedWindow | None:
    """The unprofiled window of the recorded one's round, or the one after the last recording, which holds far more."""
    same = unprofiled_window(manifest, recorded_window(path, manifest))
    after = [window for window in manifest.windows if (window.kind, window.round) == ("unprofiled", "after")]
    known = [*after, same] if same is not None else after
    return max(known, key=lambda window: window.steps, default=None)
