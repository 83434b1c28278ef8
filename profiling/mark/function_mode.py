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
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, FunctionType
from typing import Any, Protocol

from stallscope.traces.model.fields import DISGUISE

MAX_CALLERS = 20_000  # remembered; code made anew in every step would fill the memory otherwise
FAST_PATHS = ("MultiheadAttention", "TransformerEncoder", "TransformerEncoderLayer")

Caller = Callable[[Any, Any, Any], Any]


class Marker(Protocol):
    """Who decides which calls are marked."""

    @property
    def active(self) -> bool:
        """Whether anything is to be marked still."""

    def range_of_call(self, function: Any, args: Any, kwargs: Any, caller: FrameType) -> Any:
        """Return a range to be entered around a call, or None. Never raises."""

    def fail(self, error: Exception) -> None:
        """Switch off after a failure of ours."""


class FunctionMode:
    """A ``TorchFunctionMode`` on the thread that put it on."""

    def __init__(self, torch: Any, marker: Marker) -> None:
        self._overrides = torch.overrides
        self._mode = _make(torch, marker)
        self._suspended = 0

    @property
    def on(self) -> bool:
        """Whether calls on this thread are seen; false inside a call that is being seen."""
        return any(each is self._mode for each in self._stack())

    def put_on(self) -> None:
        """Put the mode at the bottom of this thread's stack, above a default device."""
        with self._taken_apart() as stack:
            at = 1 if stack and type(stack[0]).__name__ == "DeviceContext" else 0
            stack.insert(at, self._mode)

    def take_off(self) -> None:
        """Take it off this thread's stack, if it is on."""
        if self.on:
            with self._taken_apart() as stack:
                stack[:] = [each for each in stack if each is not self._mode]

    def take_off_for_good(self) -> None:
        """Take it off; inside a call of a Python function that is being seen, see to it that it does not come back."""
        self.take_off()
        if self._mode.calls:
            self._keep_off()

    def _keep_off(self) -> None:
        """Let torch not put the mode on again behind the call, which it does by one helper."""
        original = self._overrides._push_mode  # noqa: SLF001

        def _push_mode(mode: Any) -> None:
            if mode is not self._mode:
                original(mode)
                return
            if self._overrides._push_mode is _push_mode:  # noqa: SLF001
                self._overrides._push_mode = original  # noqa: SLF001

        self._overrides._push_mode = _push_mode  # noqa: SLF001

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
    """Return the classes of modules that, in evaluation, compute in another way where they see a mode."""
    return tuple(getattr(torch.nn, each) for each in FAST_PATHS)


def _make(torch: Any, marker: Marker) -> Any:
    disguises = _Disguises(_code_of(torch.overrides.handle_torch_function))

    class StallscopeMode(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        """Marks calls; changes none."""

        calls = 0  # of Python functions, during which torch has taken the mode off

        def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if not marker.active:
                return function(*args, **kwargs)
            frame = sys._getframe(1)  # noqa: SLF001
            call = None
            try:
                caller = disguises.caller(frame)
                call = disguises.of(caller)
            except Exception as error:  # noqa: BLE001 - nothing of ours may reach the script
                marker.fail(error)
            if call is None:  # behind the handler, in which an exception of the script's would be chained to ours
                return function(*args, **kwargs)
            mark = marker.range_of_call(function, args, kwargs, caller)
            python = caller is not frame
            del caller, frame
            self.calls += python
            try:
                if mark is None:
                    return call(function, args, kwargs)
                with mark:
                    return call(function, args, kwargs)
            except BaseException as error:
                unframed(error, frames=2)
                raise
            finally:
                self.calls -= python

    return StallscopeMode()


def is_disguise(code: CodeType) -> bool:
    """Whether a frame that seems to be the user's is a call made by the mode in the user's name."""
    return code.co_varnames[:1] == _CALL.__code__.co_varnames[:1]


def unframed(error: BaseException, *, frames: int = 1) -> None:
    """Take the frame that calls this, and those it called, out of a traceback; a bare ``raise`` puts none back."""
    for _ in range(frames):
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next


def _code_of(function: Any) -> CodeType | None:
    return getattr(function, "__code__", None)


_CALL: Caller = lambda stallscope_, args, kwargs: stallscope_(*args, **kwargs)  # noqa: E731 - all on its first line


class _Disguises:
    """Functions that make a call look as if the calling line had made it."""

    def __init__(self, dispatching: CodeType | None) -> None:
        self._dispatching = dispatching  # torch's helper between a function written in Python and the mode
        self._made: dict[tuple[int, int, int], tuple[Caller, CodeType]] = {}

    def caller(self, frame: FrameType) -> FrameType:
        """Return the frame that called into torch: for functions written in Python, whoever called these."""
        if frame.f_code is not self._dispatching or frame.f_back is None:
            return frame
        frame = frame.f_back
        inside = frame.f_code.co_filename
        while frame.f_back is not None and frame.f_code.co_filename == inside:
            frame = frame.f_back
        return _past_dispatch(frame)

    def of(self, frame: FrameType) -> Caller:
        """Return a function with the file, line and globals of ``frame`` as it stands."""
        key = (id(frame.f_code), frame.f_lasti, id(frame.f_globals))
        made = self._made.get(key)
        if made is None:
            if len(self._made) > MAX_CALLERS:
                self._made.clear()
            made = self._made[key] = (_disguised(frame), frame.f_code)
        return made[0]


def _past_dispatch(frame: FrameType) -> FrameType:
    """Step over torch's switch between two forms of a function (``unique`` with and without counts)."""
    while frame.f_back is not None and frame.f_code.co_filename.endswith("_jit_internal.py"):
        frame = frame.f_back
    return frame


def _disguised(frame: FrameType) -> Caller:
    code = frame.f_code
    disguise = _CALL.__code__.replace(
        co_filename=code.co_filename,
        co_name=DISGUISE,  # a profiler of the script's own must not take it for a call of the script's function
        co_qualname=DISGUISE,
        co_firstlineno=frame.f_lineno or code.co_firstlineno,
    )
    return FunctionType(disguise, frame.f_globals)
