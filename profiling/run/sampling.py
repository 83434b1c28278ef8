"""A thread that looks at the main thread's stack every few ms, from the first statement to the end.

It is invisible to ``threading``, takes no signal, and sleeps so long that it takes no more than ``MOST`` of one core.
Each look counts for the time since the last one, so that the looks of a run add up to its length.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType

from stallscope.profiling.run.stacks import Doing, Line, Look, Stacks
from stallscope.profiling.watch.own_thread import no_signals

EVERY_S = 0.005  # at the most often
SLOWEST_S = 0.25
MOST = 0.003  # of one core
MOST_LOOKS = 20_000  # different ones; then only the innermost line is told apart


@dataclass(slots=True)
class Seen:
    """What was seen of one process."""

    begin_ns: int = field(default_factory=time.perf_counter_ns)
    end_ns: int = 0
    looks: dict[Look, int] = field(default_factory=dict)  # → ns
    count: int = 0
    cpu_ns: int = 0  # of the thread
    codes: Mapping[int, CodeType] = field(default_factory=dict)  # of the lines


class Sampler:
    """``begun``: whether the training has begun by now, asked at each look."""

    def __init__(self, begun: Callable[[], bool]) -> None:
        self.seen = Seen()
        self._begun, self._main, self._pid = begun, threading.get_ident(), os.getpid()
        self._stop = False

    def start(self) -> None:
        """Look from now on; where no thread can be had nothing is seen, and the script runs all the same."""
        with contextlib.suppress(RuntimeError), no_signals():
            _thread.start_new_thread(self._run, ())

    def stop(self) -> Seen:
        """Look no more. What was seen, up to now."""
        self._stop = True
        if not self.seen.end_ns:
            self.seen.end_ns = time.perf_counter_ns()
        return self.seen

    def _run(self) -> None:
        with contextlib.suppress(Exception):  # the script comes first: of a failure of ours only the ledger is lost
            self._watch(Stacks())

    def _watch(self, stacks: Stacks) -> None:
        seen, last, pause = self.seen, self.seen.begin_ns, EVERY_S
        seen.codes = stacks.codes
        while not self._stop:
            time.sleep(pause)
            now = time.perf_counter_ns()
            frame = sys._current_frames().get(self._main)  # noqa: SLF001 - the way that is documented
            if self._stop or frame is None:
                return
            look = stacks.look(frame)
            del frame
            if self._begun():
                look = look._replace(doing=look.doing | Doing.BEGUN)
            if look not in seen.looks and len(seen.looks) >= MOST_LOOKS:
                look = look._replace(lines=look.lines[:1])
            seen.looks[look] = seen.looks.get(look, 0) + now - last
            seen.count += 1
            spent, last = time.thread_time_ns() - seen.cpu_ns, now
            seen.cpu_ns += spent
            pause = min(SLOWEST_S, max(EVERY_S, (pause + spent / MOST / 1e9) / 2))


def innermost(look: Look) -> Line | None:
    """The line of the user's that is being run; None: there is none."""
    return look.lines[0] if look.lines else None
