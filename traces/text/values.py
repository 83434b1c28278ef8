"""Values of fields that JSON lets be anything: the integer, time or text that one tells, or None.

Nothing here raises, and nothing takes long, whatever the value is: hostile numbers have exponents of a billion.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from stallscope.traces.text import times

LIMIT = 2**63  # ids and sizes beyond are no numbers that a machine has
LARGEST_EXPONENT = 307  # of a finite double, rounded down
NO_ID = -(2**63)  # stands for "no correlation" inside a block only; ``columns.py`` turns it into a mask


def or_no_id(value: Any) -> int:
    """The same; ``NO_ID`` where there is none."""
    found = integer(value)
    return NO_ID if found is None else found


def integer(value: Any) -> int | None:
    """The integer that ``value`` spells (7, "616", "0x0", 3.0); None where it spells none or one beyond 64 bits."""
    if type(value) is int:
        return value if NO_ID < value < 2**63 else None
    if isinstance(value, str):
        value = value.strip()
        try:
            value = int(value, 0) if value.lower().startswith(("0x", "-0x")) else int(value)
        except ValueError:
            return None
    elif isinstance(value, Decimal):
        whole = value.is_finite() and -LIMIT < value < LIMIT and value == value.to_integral_value()
        value = int(value) if whole else None  # int() of 1e999999999 would never end
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if NO_ID < value < 2**63 else None


def number(value: Any) -> Decimal | None:
    """The finite number that ``value`` is or spells; None where it is or spells none."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        found = Decimal(value)
    except ArithmeticError:
        return None
    return found if found.is_finite() else None


def time(value: Any) -> Decimal | None:
    """The time in µs that ``value`` tells; None where it tells none, or one that 64 bits of ns cannot hold."""
    found = number(value)
    return found if found is not None and times.fits(found) else None


def double(value: Any) -> float | None:
    """The double nearest to what ``value`` tells; None where it tells nothing, or more than a double holds."""
    found = number(value)
    return None if found is None or beyond_doubles(found) else float(found)


def beyond_doubles(number: Decimal) -> bool:
    """Whether no finite double is near ``number``."""
    return not number.is_zero() and number.adjusted() > LARGEST_EXPONENT


def grid(value: Any) -> list[int] | None:
    """A list of integers, or None."""
    whole = isinstance(value, list) and all(isinstance(n, int) for n in value)
    return value if whole else None


def thread_id(value: Any) -> int | str:
    """A process or thread number as the file has it; empty where it has none."""
    return value if isinstance(value, int | str) else ""


def text(value: Any) -> str | None:
    """Text, or None."""
    return value if isinstance(value, str) else None
