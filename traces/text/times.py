"""Microseconds as the file spells them → integer nanoseconds, exact: to the nearest ns, half to even.

A double below 2**42 µs is nearer than a quarter of a ns to what the text says: rounding it is right unless it lies by
a tie. Below 2**43 µs (three months, the farthest that a modern file's base lies back) it is nearer than half a ns:
right for the three decimals that Kineto writes. Above, only text with no fraction at all survives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

from stallscope.traces.model.trace import Floats, Ints

FINE_US = float(2**42)
COARSE_US = float(2**43)
LARGE_DIGITS = 13
FIRST_START = re.compile(rb'"ts"\s*:\s*([^\s,}]*)')
LIMIT_US = float(2**63 // 1000 - 1)  # beyond, ns do not fit 64 bits


def from_doubles(us: Floats) -> Ints:
    """Integer ns of ``us`` (n,), rounded; right where ``double_will_do`` says so.

    Raises:
        OverflowError: a time does not fit 64 bits of ns.

    """
    if len(us) and not np.abs(us).max() < LIMIT_US:
        raise OverflowError
    whole = np.floor(us)
    return whole.astype(np.int64) * 1000 + np.rint((us - whole) * 1000).astype(np.int64)


def double_will_do(us: Floats, key: bytes, text: bytes) -> bool:
    """Whether the doubles ``us`` (n,), the values of ``key`` in the JSON ``text``, give the right ns."""
    if len(us) == 0:
        return True
    largest = float(np.abs(us).max())
    if largest >= COARSE_US:
        return re.search(rb'"' + key + rb'"\s*:\s*-?\d+[.eE]', text) is None
    if largest >= FINE_US:
        return re.search(rb'"' + key + rb'"\s*:\s*-?\d+(?:\.\d{4}|\.?\d*[eE])', text) is None
    fraction = (us - np.floor(us)) * 1000
    to_tie = np.abs(fraction - np.floor(fraction) - 0.5)
    return bool(to_tie.min() > np.spacing(largest) * 500 + 1e-9)


def starts_whole_and_large(text: bytes) -> bool:
    """Whether the first ``ts`` in ``text`` is a whole number of µs from 10**12 on: doubles would need a second look."""
    found = FIRST_START.search(text)
    return found is not None and found[1].isdigit() and len(found[1]) >= LARGE_DIGITS


def from_whole(us: Ints) -> Ints:
    """Integer ns of whole µs.

    Raises:
        OverflowError: a time does not fit 64 bits of ns.

    """
    if len(us) and not (us.min() > -LIMIT_US and us.max() < LIMIT_US):
        raise OverflowError
    return us * 1000


def from_decimals(us: Iterable[Decimal], count: int) -> Ints:
    """Integer ns of ``count`` Decimals.

    Raises:
        OverflowError: a time does not fit 64 bits of ns.

    """
    return np.fromiter(map(from_decimal, us), np.int64, count)


def from_decimal(us: Decimal) -> int:
    """Integer ns of one Decimal."""
    return int((us * 1000).to_integral_value(ROUND_HALF_EVEN))


def fits(us: Decimal) -> bool:
    """Whether ``us`` is finite and fits 64 bits of ns."""
    return us.is_finite() and -LIMIT_US < us < LIMIT_US  # abs() fails on what its context cannot hold
