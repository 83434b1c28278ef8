"""What the names of calls and device rows tell, as columns: each distinct name is looked up once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stallscope.traces.model.fields import CALLS, Category
from stallscope.traces.model.trace import Bools
from stallscope.traces.vendors.calls import call_kind, wait_kind
from stallscope.traces.vendors.device_rows import copy_of, kernel_family

Names = NDArray[np.int32]
Kinds = NDArray[np.uint8]


def call_kinds(category: Kinds, name: Names, strings: Sequence[str]) -> Kinds:
    """The ``CallKind`` of each event, shape (n,); ``name`` are indices into ``strings``."""
    calls = _by_name(np.isin(category, CALLS), name, strings, call_kind)
    return calls + _by_name(category == Category.DEVICE_SYNC, name, strings, wait_kind)


def work_kinds(category: Kinds, name: Names, strings: Sequence[str]) -> tuple[Kinds, Kinds, Kinds]:
    """The ``Direction``, the ``Memory`` and the ``KernelFamily`` of each device row, shape (m,)."""
    every = np.ones(len(name), np.bool_)  # some recorders write copies as kernels
    directions = _by_name(every, name, strings, lambda text: copy_of(text)[0])
    memories = _by_name(every, name, strings, lambda text: copy_of(text)[1])
    return directions, memories, _by_name(category == Category.KERNEL, name, strings, kernel_family)


def _by_name(chosen: Bools, name: Names, strings: Sequence[str], kind_of: Callable[[str], int]) -> Kinds:
    """The kind of each of the ``chosen`` rows by its name, 0 for the others."""
    kind_of_name = np.zeros(len(strings), np.uint8)
    for index in np.flatnonzero(np.bincount(name[chosen], minlength=1)).tolist():
        kind_of_name[index] = kind_of(strings[index])
    return np.where(chosen, kind_of_name[name], np.uint8(0))
