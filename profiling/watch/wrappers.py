"""Thin wrappers around what torch has no hooks for: DataLoader fetches, GradScaler's ``step`` and ``update``.

Each calls the original with what it was given, hands back what it returns, and leaves no frame in its tracebacks.
"""

# ruff: noqa: SLF001 - torch and its modules are watched from inside

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

from stallscope.profiling.watch import forward_hooks


class Events(Protocol):
    """Who is told."""

    @property
    def enabled(self) -> bool:
        """Whether anybody still listens."""

    def fetch(self) -> None:
        """Note that a DataLoader is asked for a batch."""

    def steps_seen(self) -> int:
        """Return how often optimizers have stepped on this thread."""

    def scaler_stepped(self, optimizer: Any, steps_before: int) -> None:
        """Note ``GradScaler.step``."""

    def scaler_updated(self) -> None:
        """Note ``GradScaler.update``."""

    def fail(self, error: Exception) -> None:
        """Switch off after a failure of ours."""


def _patch(owner: Any, name: str, wrapper: Any) -> Callable[[], None]:
    """Set ``owner.name``; returns what puts the original back, unless somebody has patched over it."""
    original = vars(owner)[name]
    setattr(owner, name, wrapper)

    def undo() -> None:
        if vars(owner).get(name) is wrapper:
            setattr(owner, name, original)

    return undo


def _unframed(error: BaseException) -> None:
    """Take the frame that calls this out of ``error``'s traceback; a bare ``raise`` does not put it back."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next


def wrap_fetches(torch: Any, hooks: Events) -> Callable[[], None]:
    """Wrap what every DataLoader iterator inherits; returns what takes the wrapper off."""
    iterator = torch.utils.data.dataloader._BaseDataLoaderIter
    original = iterator.__next__

    @wraps(original)
    def __next__(self: Any) -> Any:  # noqa: N807 - shown in profiles and tracebacks under the original's name
        if hooks.enabled:
            try:
                hooks.fetch()
            except Exception as error:  # noqa: BLE001
                hooks.fail(error)
        try:
            return original(self)
        except BaseException as error:
            _unframed(error)
            raise

    return _patch(iterator, "__next__", __next__)


def wrap_scalers(torch: Any, hooks: Events) -> list[Callable[[], None]]:
    """Wrap ``step`` and ``update`` of GradScaler and of the subclasses that have their own."""
    base = getattr(torch.amp, "GradScaler", None)
    if base is None:
        return []
    return [undo for cls in (base, *_subclasses(base)) for undo in _wrap_scaler(cls, hooks)]


def _subclasses(cls: type[Any]) -> list[type[Any]]:
    found: list[type[Any]] = []
    for child in cls.__subclasses__():
        found += [child, *_subclasses(child)]
    return found


def _wrap_scaler(cls: Any, hooks: Events) -> list[Callable[[], None]]:
    wrappers = {"step": _scaler_step, "update": _scaler_update}
    return [_patch(cls, name, wrap(vars(cls)[name], hooks)) for name, wrap in wrappers.items() if name in vars(cls)]


def _scaler_step(original: Any, hooks: Events) -> Any:
    @wraps(original)
    def step(self: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        before = _steps_seen(hooks)
        try:
            result = original(self, optimizer, *args, **kwargs)
        except BaseException as error:
            _unframed(error)
            raise
        if before is not None and hooks.enabled:
            try:
                hooks.scaler_stepped(optimizer, before)
            except Exception as error:  # noqa: BLE001
                hooks.fail(error)
        return result

    return step


def _steps_seen(hooks: Events) -> int | None:
    if hooks.enabled:
        try:
            return hooks.steps_seen()
        except Exception as error:  # noqa: BLE001
            hooks.fail(error)
    return None


def _scaler_update(original: Any, hooks: Events) -> Any:
    @wraps(original)
    def update(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            _unframed(error)
            raise
        if hooks.enabled:
            try:
                hooks.scaler_updated()
            except Exception as error:  # noqa: BLE001
                hooks.fail(error)
        return result

    return update


def discount_our_hooks(torch: Any) -> Callable[[], None]:
    """Let torch warn of global hooks next to ``torch.compile`` only if there are others than ours."""
    module = torch.nn.modules.module
    original = getattr(module, "_has_any_global_hook", None)
    if original is None:
        return lambda: None
    tables = [
        getattr(module, name, {})
        for name in (
            "_global_backward_pre_hooks",
            "_global_backward_hooks",
            "_global_forward_pre_hooks",
            "_global_forward_hooks",
        )
    ]

    @wraps(original)
    def _has_any_global_hook() -> Any:
        if forward_hooks.own() and sum(map(len, tables)) <= forward_hooks.own():
            return False
        return original()

    return _patch(module, "_has_any_global_hook", _has_any_global_hook)
