"""Jitter, drift and slow moments, reproducible from a seed."""

from __future__ import annotations

import math
import random
from functools import lru_cache

TABLE = 4093  # prime: any stride visits every entry
MS = 1_000_000


def generator(*seed: object) -> random.Random:
    """A generator that depends on the values of ``seed`` alone, in every process and version of Python."""
    return random.Random("/".join(str(part) for part in seed))  # noqa: S311 - nothing secret here


@lru_cache(maxsize=32)
def lognormal(sigma: float) -> tuple[float, ...]:
    """Factors of mean 1 whose logarithm has the deviation ``sigma``; every hundredth is a longer tail."""
    made = generator("lognormal", sigma)
    factors = [math.exp(made.gauss(0.0, sigma * (3.0 if n % 100 == 0 else 1.0))) for n in range(TABLE)]
    mean = sum(factors) / TABLE
    return tuple(factor / mean for factor in factors)


class Jitter:
    """An endless sequence of independent factors."""

    def __init__(self, made: random.Random, sigma: float) -> None:
        self._factors = lognormal(sigma)
        self._at = made.randrange(TABLE)
        self._stride = made.randrange(1, TABLE)

    def __call__(self) -> float:
        """Return the next factor."""
        self._at = (self._at + self._stride) % TABLE
        return self._factors[self._at]


class Drift:
    """A factor that wanders slowly: what is slow now is still slow a moment later."""

    def __init__(self, made: random.Random, sigma: float, memory_ns: float) -> None:
        self._made, self._sigma, self._memory = made, sigma, memory_ns
        self._state, self._then = made.gauss(0.0, sigma), 0

    def at(self, now: int) -> float:
        """Return the factor at ``now``; times must not go back."""
        kept = math.exp(-max(0, now - self._then) / self._memory)
        self._state = kept * self._state + math.sqrt(1 - kept * kept) * self._made.gauss(0.0, self._sigma)
        self._then = now
        return math.exp(self._state)


class Interruptions:
    """The operating system takes the processor away, now and then, for a while."""

    def __init__(self, made: random.Random, every_ns: float, length_ns: float) -> None:
        self._made, self._every, self._length = made, every_ns, length_ns
        self._left = made.expovariate(1 / every_ns)

    def during(self, ns: int) -> int:
        """Return for how long work of ``ns`` was interrupted."""
        self._left -= ns
        if self._left > 0:
            return 0
        self._left = self._made.expovariate(1 / self._every)
        return int(self._made.expovariate(1 / self._length))
