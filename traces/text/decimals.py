"""Numbers as a file spells them, to the last digit.

Needs no numpy: the recorder mends traces while the script runs, which may not have loaded it.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def decimal(text: str) -> Decimal:
    """The number that ``text`` spells; NaN where its exponent is beyond all that can be held."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("nan")
