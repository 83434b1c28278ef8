"""SIGTERM (a scheduler, torchrun, a container's stop): save what is closed, then end by the signal as python would.

Our handler is in place from the first trace on; until then there is nothing to save, and the signal does what it does
without us. Whoever asks for the handler meanwhile is told of the one that was there before: a library that calls the
handler it found behind its own, or asks whether there is one, does as without us.

A handler in Python runs only between two steps of the interpreter. Where the main thread is in a call that does not
return (a collective whose other ranks are gone), the interpreter's wake-up descriptor has a thread of ours do the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from signal import getsignal, set_wakeup_fd  # as they are before we hide behind them
from types import FrameType, MethodType
from typing import Any, NoReturn, cast

from stallscope.profiling.mark.function_mode import unframed

PATIENCE = 1.0  # seconds until the main thread is taken to be in a call that does not return
THREAD = "stallscope-sigterm"
NO_DESCRIPTOR = -1


class Sigterm:
    """Our handler. One that the script had installed, or installs later, takes its place."""

    def __init__(self, save: Callable[[], None]) -> None:
        self._save = save
        self._caught = False
        self._taken = threading.Event()  # a thread is about to end the process
        self._ending = threading.Lock()
        self._in_c: int | None = None  # the interpreter's own handler, which has ours called
        self._pipe: tuple[int, int] | None = None
        self._undo: list[Callable[[], None]] = []

    def catch(self) -> None:
        """Install it, if this is the main thread, and nobody else handles the signal. There is none on Windows."""
        if self._caught or sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
            return
        if getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return
        self._caught = True
        signal.signal(signal.SIGTERM, self._handle)
        self._in_c = _setsig(signal.SIGTERM, None)
        _setsig(signal.SIGTERM, self._in_c)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork, after_in_parent=self._in_parent, after_in_child=self._in_child
            )
        self._watch()
        self._hide()

    def release(self) -> None:
        """Take it off again, if it is still ours."""
        while self._undo:
            self._undo.pop()()
        with contextlib.suppress(ValueError):  # not on the main thread
            if self._is_ours(getsignal(signal.SIGTERM)):
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._watch_no_more()

    def _before_fork(self) -> None:
        """Have the child die of the signal from its first moment on; its interpreter forgets signals of that time."""
        if self._is_ours(getsignal(signal.SIGTERM)):
            _setsig(signal.SIGTERM, None)

    def _in_parent(self) -> None:
        if self._is_ours(getsignal(signal.SIGTERM)):
            _setsig(signal.SIGTERM, self._in_c)

    def _in_child(self) -> None:
        heard = self._pipe[0] if self._pipe is not None else None
        self.release()
        if heard is not None:
            os.close(heard)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._is_ours(getsignal(number)):  # else another handler calls this one, and decides what comes of it
            self._end(number)

    def _end(self, number: int) -> NoReturn:
        self._taken.set()
        with self._ending:  # a second thread that comes here waits for the end
            with contextlib.suppress(Exception):  # nothing may keep the process from ending
                self._save()
            _setsig(number, None)
            os.kill(os.getpid(), number)
            os._exit(128 + number)  # pragma: no cover - the signal is blocked

    def _is_ours(self, handler: object) -> bool:
        return isinstance(handler, MethodType) and handler.__self__ is self

    # --- while the main thread does not come back ------------------------------------------------

    def _watch(self) -> None:
        """Have a thread woken by signals, unless somebody else is woken by them already, or there can be no more."""
        with contextlib.suppress(OSError, RuntimeError):
            heard, told = os.pipe()
            os.set_blocking(told, False)
            threading.Thread(target=self._wait, args=(heard,), name=THREAD, daemon=True).start()
            self._pipe = heard, told
            other = set_wakeup_fd(told, warn_on_full_buffer=False)
            if other != NO_DESCRIPTOR:
                set_wakeup_fd(other)
                self._watch_no_more()

    def _wait(self, heard: int) -> None:
        while got := os.read(heard, 64):
            if signal.SIGTERM in got and self._is_ours(getsignal(signal.SIGTERM)) and not self._taken.wait(PATIENCE):
                self._end(signal.SIGTERM)
        os.close(heard)

    def _watch_no_more(self) -> None:
        if self._pipe is None:
            return
        _, told = self._pipe
        other = set_wakeup_fd(NO_DESCRIPTOR)
        if other not in (told, NO_DESCRIPTOR):
            set_wakeup_fd(other)
        self._pipe = None
        os.close(told)  # which ends the thread

    # --- out of sight ----------------------------------------------------------------------------

    def _hide(self) -> None:
        told = self._pipe[1] if self._pipe is not None else None
        self._undo += [
            _answers("signal", signal.SIG_DFL, self._is_ours),
            _answers("getsignal", signal.SIG_DFL, self._is_ours),
            _answers("set_wakeup_fd", NO_DESCRIPTOR, lambda found: found == told),
        ]


def _setsig(number: int, handler: int | None) -> int | None:
    """Set the process's own handler, None for the default, and return the last; ``signal`` knows nothing of it.

    That may be done on any thread, where ``signal.signal`` is the main thread's.
    """
    function = ctypes.pythonapi.PyOS_setsig
    function.argtypes, function.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    return cast("int | None", function(number, handler))


def _answers(name: str, before: Any, is_ours: Callable[[Any], bool]) -> Callable[[], None]:
    """Have a function of ``signal`` answer ``before`` where it would answer with what is ours; returns the way back."""
    original = getattr(signal, name)

    @wraps(original)
    def answer(*args: Any, **kwargs: Any) -> Any:
        try:
            found = original(*args, **kwargs)
        except BaseException as error:
            unframed(error)
            raise
        return before if is_ours(found) else found

    def undo() -> None:
        if getattr(signal, name) is answer:
            setattr(signal, name, original)

    setattr(signal, name, answer)
    return undo
