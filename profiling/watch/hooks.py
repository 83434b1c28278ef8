"""All that is hung into torch to see steps, and the way back out.

Global forward hooks on the ``Module.__call__`` path (taken out where they are not needed), the two global hooks around
each optimizer step, and thin wrappers around what torch has no hooks for: the DataLoader's ``__next__``, GradScaler's
``step`` and ``update``. Each calls the original with what it was given, hands back what it returns, and leaves no frame
in its tracebacks. Never: backward hooks (they break in-place modules), patches of ``Tensor``.
"""

# ruff: noqa: SLF001 - torch and its modules are watched from inside

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from types import ModuleType
from typing import Any

from stallscope.profiling.watch import forward_hooks
from stallscope.profiling.watch.events import Events, Observer
from stallscope.profiling.watch.patching import replace, unframed


class Hooks:
    """What is in torch's tables and classes for the sake of ``events``."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._out = contextlib.ExitStack()
        self._undo_discount: Callable[[], None] = lambda: None
        self._at_fork = False

    def install(self, torch: ModuleType, observer: Observer) -> None:
        """Hang everything in. Called once torch has been imported."""
        if hasattr(os, "register_at_fork") and not self._at_fork:
            self._at_fork = True
            os.register_at_fork(after_in_child=self._events.disable)
        for undo in (*_optimizer_hooks(torch, self._events), _fetches(torch, self._events)):
            self._out.callback(undo)
        for undo in _scalers(torch, self._events):
            self._out.callback(undo)
        self._undo_discount = _discount_our_hooks(torch)
        self._events.begin(torch, observer)

    def remove(self, *, for_good: bool = True) -> None:
        """Take everything out again. Not ``for_good``: the program goes on, and may call compiled code.

        Forward hooks, which do nothing any more, stay in then: without them it would be compiled again.
        """
        self._events.disable()
        self._events.sight.take_out(for_good=for_good)
        if not forward_hooks.own():
            self._undo_discount()
        self._out.close()


def _optimizer_hooks(torch: Any, events: Events) -> list[Callable[[], None]]:
    """Register both; returns what takes them out. Under ``torch.compile`` they vanish.

    Both run in each step, also where it is only counted and that costs less than our guard: it stands here as it is.
    """
    tables = importlib.import_module("torch.optim.optimizer")  # torch.optim hides the name
    return [
        tables.register_optimizer_step_pre_hook(_before_step(torch.compiler, events)).remove,
        tables.register_optimizer_step_post_hook(_after_step(torch.compiler, events)).remove,
    ]


def _before_step(compiler: Any, events: Events) -> Callable[[Any, Any, Any], None]:
    sight = events.sight

    def before(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        if compiler.is_compiling():
            return
        try:
            counting = sight.counting
            if counting is not None and counting.is_of(optimizer):
                return
            if events.enabled:
                events.optimizer_starts(optimizer, sys._getframe(1))
        except Exception as error:  # noqa: BLE001 - see above
            events.fail(error)

    return before


def _after_step(compiler: Any, events: Events) -> Callable[[Any, Any, Any], None]:
    sight = events.sight

    def after(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        if compiler.is_compiling():
            return
        try:
            counting = sight.counting
            if counting is not None and counting.is_of(optimizer) and counting.stepped():
                return
            if events.enabled:
                events.optimizer_ends(optimizer)
        except Exception as error:  # noqa: BLE001 - see above
            events.fail(error)

    return after


def _fetches(torch: Any, events: Events) -> Callable[[], None]:
    """Wrap what every DataLoader iterator inherits; returns what takes the wrapper off."""

    def wrapped(original: Any) -> Any:
        @wraps(original)
        def __next__(self: Any) -> Any:  # noqa: N807 - shown in profiles and tracebacks under the original's name
            if events.enabled:
                with events.guarded:
                    events.fetch(self)
            try:
                return original(self)
            except BaseException as error:
                unframed(error)
                raise

        return __next__

    return replace(torch.utils.data.dataloader._BaseDataLoaderIter, "__next__", wrapped)


def _scalers(torch: Any, events: Events) -> list[Callable[[], None]]:
    """Wrap ``step`` and ``update`` of GradScaler and of the subclasses that have their own."""
    base = getattr(torch.amp, "GradScaler", None)
    classes = [] if base is None else [base, *_subclasses(base)]
    wrappers = {"step": _scaler_step, "update": _scaler_update}
    return [
        replace(cls, name, partial(wrapper, events))
        for cls in classes
        for name, wrapper in wrappers.items()
        if name in vars(cls)
    ]


def _subclasses(cls: type[Any]) -> list[type[Any]]:
    children = cls.__subclasses__()
    return [*children, *(each for child in children for each in _subclasses(child))]


def _scaler_step(events: Events, original: Any) -> Any:
    @wraps(original)
    def step(self: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        before = None
        if events.enabled:
            with events.guarded:
                before = events.steps_seen()
        try:
            result = original(self, optimizer, *args, **kwargs)
        except BaseException as error:
            unframed(error)
            raise
        if before is not None and events.enabled:
            with events.guarded:
                events.scaler_stepped(optimizer, before)
        return result

    return step


def _scaler_update(events: Events, original: Any) -> Any:
    @wraps(original)
    def update(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            unframed(error)
            raise
        if events.enabled:
            with events.guarded:
                events.scaler_updated()
        return result

    return update


def _discount_our_hooks(torch: Any) -> Callable[[], None]:
    """Let torch warn of global hooks next to ``torch.compile`` only if there are others than ours."""
    module = torch.nn.modules.module
    kinds = ("backward_pre", "backward", "forward_pre", "forward")
    tables = [getattr(module, f"_global_{kind}_hooks", {}) for kind in kinds]

    def wrapped(original: Any) -> Any:
        @wraps(original)
        def _has_any_global_hook() -> Any:
            if forward_hooks.own() and sum(map(len, tables)) <= forward_hooks.own():
                return False
            return original()

        return _has_any_global_hook

    return replace(module, "_has_any_global_hook", wrapped)
