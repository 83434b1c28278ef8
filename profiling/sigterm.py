"""SIGTERM (a scheduler, torchrun, a container's stop): save what is closed, then end by the signal as python would."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType


class Sigterm:
    """Our handler. One that the script had installed, or installs later, takes its place."""

    def __init__(self, save: Callable[[], None]) -> None:
        self._save = save

    def catch(self) -> None:
        """Install it on the main thread, where nobody else handles the signal. There is none on Windows."""
        if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return
        signal.signal(signal.SIGTERM, self._handle)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.release)

    def release(self) -> None:
        """Take it off again, if it is still ours."""
        with contextlib.suppress(ValueError):  # not on the main thread
            if sys.platform != "win32" and signal.getsignal(signal.SIGTERM) == self._handle:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        try:
            self._save()
        except Exception:  # noqa: BLE001, S110 - nothing may keep the process from ending
            pass
        finally:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
