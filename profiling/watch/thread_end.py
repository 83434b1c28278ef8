"""The end of a thread, seen from that thread: a recording must end with its thread, or torch crashes."""

# ruff: noqa: SLF001 - the interpreter's own end of a thread

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable


class ThreadEnds:
    """Calls ``ending`` on each watched thread as the last thing before it ends. ``ending`` must not raise."""

    def __init__(self, ending: Callable[[], None]) -> None:
        self._ending = ending
        self._watched: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def watch(self) -> bool:
        """Watch the present thread; False where its end cannot be seen. The main thread's end is the script's."""
        thread = threading.current_thread()
        if thread is threading.main_thread() or thread in self._watched:
            return True
        ends = getattr(thread, "_delete", None)
        if ends is None or isinstance(thread, threading._DummyThread):
            return False

        def delete() -> None:
            try:
                self._ending()
            finally:
                ends()

        thread._delete = delete  # type: ignore[attr-defined]  # the last thing a thread calls
        self._watched.add(thread)
        return True
