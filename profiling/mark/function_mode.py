"""Sees every call into torch made on one thread, masks in indexing included, through a ``TorchFunctionMode``.

Nothing of torch's is replaced, so whoever looks at its functions finds what was there before; and the line is that of
the call. Three things keep the script from noticing:

- *Order.* The mode lies at the bottom of the stack (above a default device, which insists on the bottom), since leaving
  ``with`` pops whatever mode is on top: a mode of the user's pushed before ours would take ours off in its place.
- *Warnings* name the line that stands so many frames above them, and are shown once for each line. So each call is made
  by a function that bears file, line and globals of the code that really called.
- *Fast paths.* With a mode on, ``torch.overrides.has_torch_function`` is true for all tensors, and the transformer
  modules compute in another way. ``suspend`` takes the mode off meanwhile.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

from stallscope.profiling.mark.disguise import Disguises
from stallscope.profiling.mark.ranges import Ranges
from stallscope.profiling.watch.compiled import anything_compiled, inside_compiled
from stallscope.profiling.watch.patching import replace, unframed

FAST_PATHS = ("MultiheadAttention", "TransformerEncoder", "TransformerEncoderLayer")


class FunctionMode:
    """A ``TorchFunctionMode`` on the thread that put it on."""

    def __init__(self, torch: Any, ranges: Ranges) -> None:
        self._overrides = torch.overrides
        self._ranges = ranges
        self._mode = _make(torch, ranges)
        self._owner: int | None = None  # the thread that it is for; None: it is not in use
        self._due = False  # to be put on where no compiled code is running: after a backward pass
        self._suspended = 0  # calls that are running for which it was taken off
        self._resumes = False

    def install(self) -> None:
        """See the calls of this thread from now on; where compiled code is running, from the next backward pass on."""
        self._owner = threading.get_ident()
        self._due = inside_compiled()  # model.compile() in place runs our hooks, and so this, inside
        if not self._due:
            self._put_on()

    def remove(self) -> None:
        """See no more calls; inside a call of a Python function that is being seen, have torch not put it on again."""
        if self._on_owner():
            self._owner = None
            self._take_off()
            if self._mode.calls:
                self._keep_off()

    def suspend(self) -> None:
        """See no calls for a while: of what computes in another way where it sees a mode, or of compiled code."""
        if self._on_owner():
            if not self._suspended:
                self._resumes = self._on  # not inside a call that is being seen
                self._take_off()
            self._suspended += 1

    def resume(self) -> None:
        """See calls again after the outermost of these."""
        if self._on_owner() and self._suspended:
            self._suspended -= 1
            if not self._suspended and self._resumes and self._ranges.active:
                self._put_on()

    @contextlib.contextmanager
    def seen_in_backward(self) -> Iterator[None]:
        """See calls in a backward pass, which is being seen itself: hooks and recomputed forwards run in it."""
        if self._suspended or not self._on_owner() or self._on or anything_compiled():
            yield
            return
        self._put_on()
        try:
            yield
        finally:
            self._take_off()

    def put_on_if_due(self) -> None:
        """See calls where that had to wait until no compiled code is running."""
        if self._due and self._ranges.active and self._on_owner() and not inside_compiled():
            self._due = False
            self._put_on()

    def _on_owner(self) -> bool:
        return threading.get_ident() == self._owner

    @property
    def _on(self) -> bool:
        """Whether calls on this thread are seen; false inside a call that is being seen."""
        return any(each is self._mode for each in self._stack())

    def _put_on(self) -> None:
        """Put the mode at the bottom of this thread's stack, above a default device."""
        with self._taken_apart() as stack:
            at = 1 if stack and type(stack[0]).__name__ == "DeviceContext" else 0
            stack.insert(at, self._mode)

    def _take_off(self) -> None:
        """Take it off this thread's stack, if it is on."""
        if self._on:
            with self._taken_apart() as stack:
                stack[:] = [each for each in stack if each is not self._mode]

    def _keep_off(self) -> None:
        """Let torch not put the mode on again behind the call, which it does by one helper."""

        def make(original: Any) -> Any:
            def _push_mode(mode: Any) -> None:
                if mode is self._mode:
                    undo()
                else:
                    original(mode)

            return _push_mode

        undo = replace(self._overrides, "_push_mode", make)

    def _stack(self) -> list[Any]:
        stack: list[Any] = self._overrides._get_current_function_mode_stack()  # noqa: SLF001
        return stack

    @contextlib.contextmanager
    def _taken_apart(self) -> Iterator[list[Any]]:
        """Pop all modes, and push what is left in the list, bottom first."""
        stack = self._stack()
        for _ in stack:
            self._overrides._pop_mode()  # noqa: SLF001
        try:
            yield stack
        finally:
            for each in stack:
                self._overrides._push_mode(each)  # noqa: SLF001


def with_fast_paths(torch: Any) -> tuple[type, ...]:
    """The classes of modules that, in evaluation, compute in another way where they see a mode."""
    return tuple(getattr(torch.nn, each) for each in FAST_PATHS)


def _make(torch: Any, ranges: Ranges) -> Any:
    disguises = Disguises(torch)

    class StallscopeMode(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        """Marks calls; changes none."""

        calls = 0  # of Python functions, during which torch has taken the mode off

        def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if not ranges.active:
                return function(*args, **kwargs)
            frame = sys._getframe(1)  # noqa: SLF001
            call = None
            with ranges.guarded:
                caller = disguises.caller(frame)
                call = disguises.of(caller)
            if call is None:
                return function(*args, **kwargs)
            mark = ranges.of_torch_call(function, args, kwargs, caller)
            python = caller is not frame
            del caller, frame
            self.calls += python
            try:
                if mark is None:
                    result = call(function, args, kwargs)
                else:
                    with mark:
                        result = call(function, args, kwargs)
                ranges.torch_returned(function, args, kwargs, result)
            except BaseException as error:
                unframed(error, frames=2)
                raise
            finally:
                self.calls -= python
            return result

    return StallscopeMode()
