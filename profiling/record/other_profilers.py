"""The user's own profilers: ours gives way before theirs starts, since two at once crash the process.

While theirs is idle (the ``wait`` steps of a schedule, or after its last cycle) ours may record. It must not find their
step marks in its trace then: an idle profiler marks its steps all the same, under the names that ours uses.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from stallscope.profiling.record.capture import Capture
from stallscope.profiling.record.recorder import Recorder
from stallscope.profiling.watch.events import Events
from stallscope.profiling.watch.patching import replace, unframed

SESSION_STARTS = ("_prepare_profiler", "_enable_profiler", "_enable_profiler_legacy")
SESSION_ENDS = ("_disable_profiler", "_disable_profiler_legacy")
MODULES = ("torch.autograd.profiler", "torch.autograd.profiler_legacy")


@dataclass(frozen=True, slots=True)
class _Around:
    """What is done around a call of torch's that is neither ours nor made in a forked child."""

    capture: Capture
    recorder: Recorder
    events: Events

    @property
    def foreign(self) -> bool:
        """Whether the call is somebody else's, and we are still to interfere."""
        return self.events.enabled and not self.recorder.own

    def wrap(
        self,
        original: Any,
        *,
        before: Callable[[], None] | None = None,
        after: Callable[[], None] | None = None,
        failed: Callable[[], None] | None = None,
    ) -> Any:
        """``original`` with calls of ours before it, behind it, and where it raises."""

        @wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            foreign = self.foreign
            self._tell(before, foreign=foreign)
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                self._tell(failed, foreign=foreign)
                unframed(error)
                raise
            finally:
                self._tell(after, foreign=foreign)

        return wrapper

    def without_marks(self, original: Any) -> Any:
        """``profile.step``, which marks no step while ours records; theirs loses no mark of a step it records."""

        @wraps(original)
        def step(itself: Any) -> Any:
            hides = self.events.enabled and getattr(itself, "record_steps", False) and self._recording()
            if hides:
                self._end_mark(itself)
            try:
                result = original(itself)
            except BaseException as error:
                if hides:
                    itself.record_steps = True
                unframed(error)
                raise
            if hides:
                self._mark_again(itself)
            return result

        return step

    def _end_mark(self, theirs: Any) -> None:
        if theirs.step_rec_fn:
            theirs.step_rec_fn.__exit__(None, None, None)
            theirs.step_rec_fn = None
        theirs.record_steps = False

    def _mark_again(self, theirs: Any) -> None:
        theirs.record_steps = True
        if not self._recording():  # theirs has begun to record, and ours has given way
            theirs.step_rec_fn = _loaded(MODULES[0]).record_function(f"ProfilerStep#{theirs.step_num}")
            theirs.step_rec_fn.__enter__()

    def _tell(self, event: Callable[[], None] | None, *, foreign: bool) -> None:
        if foreign and event is not None:
            with self.events.guarded:
                event()

    def _recording(self) -> bool:
        with self.events.guarded:
            return self.capture.recording
        return False


def give_way(capture: Capture, recorder: Recorder, events: Events) -> Callable[[], None]:
    """Wrap torch's functions that start and end a profiler, where its Python profilers look them up.

    Returns what takes the wrappers off again.
    """
    around, out = _Around(capture, recorder, events), ExitStack()
    starts = partial(around.wrap, before=capture.session_starts, failed=capture.session_ends)
    ends = partial(around.wrap, after=capture.session_ends)
    for module in map(_loaded, MODULES):
        for names, wrapped in ((SESSION_STARTS, starts), (SESSION_ENDS, ends)):
            for name in names:
                out.callback(replace(module, name, wrapped))
    profiler = getattr(_loaded("torch.profiler.profiler"), "profile", None)
    out.callback(replace(profiler, "start", partial(around.wrap, before=capture.pause)))
    out.callback(replace(profiler, "step", around.without_marks))
    return out.close


def _loaded(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:  # a torch without the legacy profiler
        return None
