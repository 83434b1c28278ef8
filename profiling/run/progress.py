"""The live line on stderr: phase, step, step time. Only on a terminal, a few times a second, never on stdout."""

from __future__ import annotations

import sys
from typing import TextIO

from stallscope.profiling.record.plan import Phase
from stallscope.profiling.words.voice import place, put

NS_PER_MS = 1e6


class Progress:
    """Draws one line over and over; ``clear`` takes it away."""

    def __init__(self, stream: TextIO | None, *, wanted: bool) -> None:
        self.on = wanted and stream is not None and stream.isatty()
        self._stream = stream
        self._place = place(stream)
        self._drawn = 0  # columns on the screen

    def report(self, phase: Phase, step: int, step_ns: int) -> None:
        """Draw; behind the last step, take the line away."""
        if not self.on or (phase is Phase.DONE and not self._drawn):
            return
        if phase is Phase.DONE:
            self.clear()
        else:
            time_taken = "" if phase is Phase.SKIP else f", {step_ns / NS_PER_MS:.2f} ms"
            self._draw(f"stallscope: {phase.value}, step {step}{time_taken}")

    def clear(self) -> None:
        """Leave an empty line behind."""
        if self._drawn:
            self._write(" " * self._drawn + "\r")
            self._drawn = 0

    def _draw(self, line: str) -> None:
        self._write(line + " " * max(0, self._drawn - len(line)) + "\r")
        self._drawn = len(line)

    def _write(self, text: str) -> None:
        if self._stream is not None and not (place(self._stream) == self._place and put(self._stream, "\r" + text)):
            self.on = False


def to_stderr(*, wanted: bool) -> Progress:
    """The line on this process's stderr."""
    return Progress(sys.stderr, wanted=wanted)
