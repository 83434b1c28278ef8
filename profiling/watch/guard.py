"""The user's own profilers: ours gives way before theirs starts, since two at once crash the process.

While theirs is idle (the ``wait`` steps of a schedule, or after its last cycle) ours may record. It must not find their
step marks in its trace then: an idle profiler marks its steps all the same, under the names that ours uses.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Protocol

SESSION_STARTS = ("_prepare_profiler", "_enable_profiler", "_enable_profiler_legacy")
SESSION_ENDS = ("_disable_profiler", "_disable_profiler_legacy")
MODULES = ("torch.autograd.profiler", "torch.autograd.profiler_legacy")


class Yielding(Protocol):
    """What gives way."""

    @property
    def recording(self) -> bool:
        """Whether our profiler is warming up or recording."""

    def pause(self) -> None:
        """Give up what is being recorded: a profiler object begins its life, and marks its first step."""

    def session_starts(self) -> None:
        """Stop recording now: a profiler is about to record or to warm up."""

    def session_ends(self) -> None:
        """It no longer does."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What the wrappers ask. ``failed``: switches everything of ours off after a failure of ours."""

    ours: Callable[[], bool]
    alive: Callable[[], bool]
    failed: Callable[[Exception], None]

    def tell(self, event: Callable[[], object]) -> None:
        """Call what is ours; nothing of it may reach the script."""
        try:
            event()
        except Exception as error:  # noqa: BLE001
            self.failed(error)


def install(
    ours: Callable[[], bool], capture: Yielding, alive: Callable[[], bool], failed: Callable[[Exception], None]
) -> Callable[[], None]:
    """Wrap torch's functions that start and end a profiler, where its Python profilers look them up.

    ``ours()``: the call comes from our own recorder. ``alive()``: we are still to interfere (false in forked children).
    ``failed``: takes a failure of ours. Returns what takes the wrappers off again.
    """
    undo: list[Callable[[], None]] = []
    watch = Watch(ours, alive, failed)
    for name in MODULES:
        module = _loaded(name)
        for function in SESSION_STARTS:
            starts, refused = capture.session_starts, capture.session_ends
            undo += [_wrap(module, function, watch, before=starts, failed=refused)]
        for function in SESSION_ENDS:
            undo += [_wrap(module, function, watch, after=capture.session_ends)]
    profiler = getattr(_loaded("torch.profiler.profiler"), "profile", None)
    undo += [_wrap(profiler, "start", watch, before=capture.pause), _keep_marks_out(profiler, capture, watch)]

    def undo_all() -> None:
        for each in undo:
            each()

    return undo_all


def _loaded(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:  # a torch without the legacy profiler
        return None


def _nothing() -> None:
    return None


def _wrap(
    module: Any,
    name: str,
    watch: Watch,
    *,
    before: Callable[[], None] = _nothing,
    after: Callable[[], None] = _nothing,
    failed: Callable[[], None] = _nothing,
) -> Callable[[], None]:
    original = getattr(module, name, None)
    if original is None:
        return _nothing

    @wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        foreign = watch.alive() and not watch.ours()
        if foreign:
            watch.tell(before)
        try:
            return original(*args, **kwargs)
        except BaseException:
            if foreign:
                watch.tell(failed)
            raise
        finally:
            if foreign:
                watch.tell(after)

    def undo() -> None:
        if getattr(module, name) is wrapper:
            setattr(module, name, original)

    setattr(module, name, wrapper)
    return undo


def _keep_marks_out(profiler: Any, capture: Yielding, watch: Watch) -> Callable[[], None]:
    """Wrap ``profile.step`` so that it marks no step while ours records; theirs loses no mark of a step it records."""
    original = getattr(profiler, "step", None)
    if original is None:
        return _nothing

    @wraps(original)
    def step(self: Any) -> Any:
        if not (watch.alive() and getattr(self, "record_steps", False) and recording()):
            return original(self)
        if self.step_rec_fn:
            self.step_rec_fn.__exit__(None, None, None)
            self.step_rec_fn = None
        self.record_steps = False
        try:
            result = original(self)
        finally:
            self.record_steps = True
        if not recording():  # theirs has begun to record, and ours has given way
            self.step_rec_fn = _record_function(f"ProfilerStep#{self.step_num}")
            self.step_rec_fn.__enter__()
        return result

    def recording() -> bool:
        try:
            return capture.recording
        except Exception as error:  # noqa: BLE001
            watch.failed(error)
            return False

    def undo() -> None:
        if profiler.step is step:
            profiler.step = original

    profiler.step = step
    return undo


def _record_function(name: str) -> Any:
    return _loaded("torch.autograd.profiler").record_function(name)
