"""Distinct keys numbered in the order in which they are met."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Interner(dict[Any, int]):
    """Gives each distinct key the next integer; ``map(interner.__getitem__, keys)`` interns at C speed."""

    def __missing__(self, key: Any) -> int:
        self[key] = found = len(self)
        return found

    def column(self, key: str, events: list[Any]) -> NDArray[np.int32]:
        """The integers of attribute ``key`` of ``events``, shape (n,)."""
        return np.fromiter(map(self.__getitem__, map(attrgetter(key), events)), np.int32, len(events))
