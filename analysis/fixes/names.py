"""The fixes by name, each in the words a user reads; and how ``--fix NAME=NUMBER`` is understood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

TITLES: Final = {
    "record_every": "loss read every {n:.0f}th step",
    "deferred_read": "losses kept, read 100 at once",
    "cuda_graph": "one CUDA graph for the step",
    "compile_reduce_overhead": "compile, mode reduce-overhead",
    "fused_optimizer": "optimizer with fused=True",
    "foreach_optimizer": "optimizer with foreach=True",
    "larger_batch": "{n:.0f} x the batch, per sample",
    "pinned_memory": "pinned memory, non_blocking",
    "dataloader_workers": "DataLoader num_workers={n:.0f}",
    "cpu": "on the CPU (measured)",
    "fewer_launches": "half the launches in {where}",
}
NUMBERS: Final = {"record_every": (10.0, 100.0), "larger_batch": (None,), "dataloader_workers": (4.0,)}
NUMBERED: Final = tuple(NUMBERS)


class Wanted(msgspec.Struct, frozen=True):
    """A fix to be forecast. ``number``: every so many steps, so many workers, so many times the batch."""

    fix: str
    number: float | None = None

    @property
    def name(self) -> str:
        """The name under which it is reported: ``record_every_100``."""
        if self.number is None or self.fix not in NUMBERED or self.fix == "larger_batch":
            return self.fix
        return f"{self.fix}_{self.number:.0f}" if self.fix == "record_every" else self.fix


# Forecast where none is named.
STANDARD: Final = tuple(Wanted(fix, number) for fix in TITLES for number in NUMBERS.get(fix, (None,)))


def parse(text: str) -> Wanted:
    """``cuda_graph``, ``record_every=50``, ``record_every_50``, ``dataloader_workers=8``.

    Raises:
        ValueError: there is no such fix, or it takes no such number; the sentence lists what there is.
    """
    name, _, number = text.strip().replace("-", "_").partition("=")
    if not number and name not in TITLES:
        stem, _, tail = name.rpartition("_")
        name, number = (stem, tail) if stem in NUMBERED and tail.isdecimal() else (name, number)
    if name not in TITLES:
        raise ValueError(f"{text}: no fix of that name; there are {_listed(list(TITLES))}")
    if not number:
        numbers: Sequence[float | None] = NUMBERS.get(name, (None,))
        return Wanted(name, numbers[-1])
    if name not in NUMBERED or not number.isdecimal() or int(number) < 1:
        raise ValueError(f"{text}: a number (1 or more) after = is taken by {_listed(list(NUMBERED))} only")
    return Wanted(name, float(number))


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
