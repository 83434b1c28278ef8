"""``os._exit``: the process ends at once, without a word to anybody. What was recorded by then is put in its place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from stallscope.profiling.watch.patching import replace, unframed


def before_exit(last: Callable[[], None]) -> Callable[[], None]:
    """Call ``last`` once, should this process (no child of it) call ``os._exit``. Returns what calls it off.

    It may not take long, and what it raises is lost.
    """
    pid = os.getpid()
    waiting = [last]

    def wrapped(original: Any) -> Any:
        @wraps(original)
        def _exit(*args: Any, **kwargs: Any) -> Any:
            if os.getpid() == pid and waiting:
                with contextlib.suppress(Exception):
                    waiting.pop()()
            try:
                return original(*args, **kwargs)
            except BaseException as error:  # of wrong arguments
                unframed(error)
                raise

        return _exit

    return replace(os, "_exit", wrapped)
