"""Figures as people read them: three digits and a unit, ``-`` where a figure is unknown."""

from __future__ import annotations


def microseconds(value: float | None) -> str:
    """A time in the unit that reads best: ``1.60 µs``, ``5.60 ms``, ``1.21 s``; ``-`` where unknown."""
    if value is None:
        return "-"
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if abs(value) >= size * 0.9995:
            return f"{_digits(value / size)} {unit}"
    return f"{_digits(value)} µs"


def count(value: float | None) -> str:
    """A number of things per step: ``1392``, ``19.4``, ``0.05``; ``-`` where unknown."""
    if value is None:
        return "-"
    if value == int(value) or value >= 99.95:  # noqa: PLR2004 - three digits
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def percent(share: float | None) -> str:
    """A share as percent: ``6 %``, ``0.4 %``, ``<0.1 %``; ``-`` where unknown."""
    if share is None:
        return "-"
    value = share * 100
    if 0 < value < 0.1:  # noqa: PLR2004 - smallest figure shown
        return "<0.1 %"
    return f"{value:.1f} %" if 0 < value < 1 else f"{value:.0f} %"


def quantity(value: float | None) -> str:
    """Bytes: ``4 B``, ``1.2 MB``; ``-`` where unknown."""
    if value is None:
        return "-"
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{_digits(value / size)} {unit}"
    return f"{count(value)} B"


def times_as_large(low: float, high: float) -> str:
    """How many times a batch fits: ``2.9 to 3.4 times``, ``about 2.9 times``, ``more than 10 times``."""
    if low > 10:  # noqa: PLR2004 - what is beyond that is only "a lot"
        return "more than 10 times"
    if low < 1:
        return f"up to {high:.1f} times"
    first, last = f"{low:.1f}", f"{high:.1f}" if high < 10 else f"{high:.0f}"  # noqa: PLR2004
    return f"about {first} times" if first == last else f"{first} to {last} times"


def operations(value: float) -> str:
    """Floating-point operations: ``5.83 TFLOP``."""
    for size, unit in ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP")):
        if value >= size * 0.9995:
            return f"{_digits(value / size)} {unit}"
    return f"{count(value)} FLOP"


def _digits(value: float) -> str:
    """Three significant digits without an exponent."""
    size = abs(value)
    if size == 0 or size >= 99.95:  # noqa: PLR2004
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"  # noqa: PLR2004
