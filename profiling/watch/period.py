"""The period of the optimizer sequence, found online: how many groups of optimizer steps make one iteration.

A *group* is what optimizers do between two forward passes, written as one small integer (its *token*). Plain training
repeats one token; a GAN repeats two; five critic steps for one generator step repeat six.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 64  # groups in one iteration; anything longer is taken as irregular
HISTORY = 1024  # groups kept to find a period in


class Period:
    """Tokens in, iterations out. ``length`` is the period, 0 while it is not known."""

    def __init__(self) -> None:
        self.length = 0
        self._tokens: list[int] = []
        self._start = 0  # where the part with the present period starts in _tokens
        self._before = 0  # iterations before that part
        self._forgotten = 0  # of these, those whose tokens are no longer kept
        self._retry = 2

    @property
    def settled(self) -> bool:
        """Whether the period is known."""
        return self.length > 0

    @property
    def last(self) -> list[int]:
        """The tokens of one iteration; none while the period is unknown."""
        return self._tokens[-self.length :] if self.settled else []

    @property
    def iterations(self) -> int:
        """Complete iterations so far; every group counts as one while the period is unknown."""
        return self._before + (len(self._tokens) - self._start) // (self.length or 1)

    @property
    def complete(self) -> bool:
        """Whether the last group ended an iteration."""
        return not self.length or (len(self._tokens) - self._start) % self.length == 0

    @property
    def expected(self) -> int | None:
        """The token that the next group should have; None while the period is unknown."""
        return self._tokens[-self.length] if self.settled else None

    def add(self, token: int) -> bool:
        """Take the next group; True if what was believed of the iterations before still holds."""
        holds = self.length > 0
        if not holds:
            self._tokens.append(token)
            return self._search()
        if token == self._tokens[-self.length]:
            self._tokens.append(token)
            if len(self._tokens) > 2 * HISTORY:
                self._forget()
        elif self.length == 1 and token not in self._tokens:  # one optimizer replaced by another
            self._before, self._start = self.iterations, len(self._tokens)
            self._tokens.append(token)
        else:
            holds = False
            self._tokens.append(token)
            self._unsettle()
        return holds

    def repeat(self, times: int) -> None:
        """Take the last token again, ``times`` over; only for a period of one.

        As many as are kept of other tokens stay, so that they are counted anew if the period turns out to be longer.
        """
        kept = min(times, HISTORY)
        self._tokens += self._tokens[-1:] * kept
        self._before += times - kept
        self._forgotten += times - kept
        if len(self._tokens) > 2 * HISTORY:
            self._forget()

    def finish(self) -> int:
        """The iterations of the whole run, the last one included only if complete."""
        if self.settled and len(self._tokens) - self._start >= 2 * self.length:
            return self.iterations
        parts = split(self._tokens)
        if all(end - start == 1 for start, end in parts):  # each optimizer stepped once: one iteration
            return self._forgotten + min(1, len(parts))
        return self._forgotten + sum(_iterations(self._tokens[start:end]) for start, end in parts)

    def _forget(self) -> None:
        """Drop the oldest tokens; their iterations stay counted."""
        kept = HISTORY // self.length * self.length + (len(self._tokens) - self._start) % self.length
        keep_from = max(self._start, len(self._tokens) - kept)
        self._before += (keep_from - self._start) // self.length
        self._forgotten = self._before
        self._tokens, self._start = self._tokens[keep_from:], 0

    def _unsettle(self) -> None:
        self.length, self._start, self._before = 0, 0, self._forgotten
        self._retry = len(self._tokens) + 1

    def _search(self) -> bool:
        """Try to settle; tried ever more rarely, so that irregular scripts pay little."""
        if len(self._tokens) < self._retry:
            return False
        self._retry = len(self._tokens) + max(1, len(self._tokens) // 8)
        stretch = find(self._tokens)
        if stretch is not None:
            self._start, self.length = stretch
            self._before = self._forgotten + count(self._tokens[: self._start])
        elif len(self._tokens) > HISTORY:  # irregular: each group is an iteration
            self._forgotten += len(self._tokens)
            self._tokens = []
            self._retry = 2
        return False


def split(tokens: Sequence[int]) -> list[tuple[int, int]]:
    """``(start, end)`` of the longest parts that share no token with any other part."""
    last = {token: index for index, token in enumerate(tokens)}
    parts, start, reach = [], 0, 0
    for index, token in enumerate(tokens):
        reach = max(reach, last[token])
        if index == reach:
            parts.append((start, index + 1))
            start = reach = index + 1
    return parts


def find(tokens: Sequence[int]) -> tuple[int, int] | None:
    """Where the last periodic stretch starts and its period; None where none is convincing.

    Convincing: it repeats at least once in full, and holds more than half of the last part (or 64 groups of it).
    """
    start, end = split(tokens)[-1]
    part = tokens[start:end]
    best: tuple[int, int] | None = None
    for period in range(1, min(LONGEST, len(part) // 2) + 1):
        length = _periodic_suffix(part, period)
        if length >= 2 * period and (2 * length > len(part) or length >= LONGEST) and (not best or length > best[0]):
            best = (length, period)
    return None if best is None else (end - best[0], best[1])


def count(tokens: Sequence[int]) -> int:
    """The iterations in ``tokens``, as well as they can be told."""
    return sum(_iterations(tokens[start:end]) for start, end in split(tokens))


def _iterations(part: Sequence[int]) -> int:
    stretch = find(part)
    if stretch is not None:
        start, period = stretch
        return (count(part[:start]) if start else 0) + (len(part) - start) // period
    for period in range(1, len(part)):  # too short to repeat in full: one cut-short repetition will do
        if _periodic_suffix(part, period) == len(part):
            return len(part) // period
    return len(part)


def _periodic_suffix(tokens: Sequence[int], period: int) -> int:
    length = period
    while length < len(tokens) and tokens[-1 - length] == tokens[-1 - length + period]:
        length += 1
    return length
