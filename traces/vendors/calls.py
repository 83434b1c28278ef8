"""The kind of a call by its name, and whose call or device it is: the vendors' tables, asked in order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from stallscope.traces.model.fields import CallKind, Vendor
from stallscope.traces.vendors import cuda, hip, level_zero

_CALLS: Final[tuple[tuple[Vendor, str, tuple[tuple[str, CallKind], ...]], ...]] = (
    ("rocm", hip.CALL, hip.KINDS),
    ("cuda", cuda.CALL, cuda.KINDS),
    ("xpu", level_zero.CALL, level_zero.KINDS),
)
_DEVICES: Final[tuple[tuple[Vendor, str], ...]] = (
    ("rocm", hip.DEVICE),
    ("cuda", cuda.DEVICE),
    ("xpu", level_zero.DEVICE),
)
_WAIT_ROWS: Final = {  # what Kineto calls the recorded wait of a call, whoever's call it is
    "Context Sync": CallKind.CONTEXT_SYNC,
    "Event Sync": CallKind.EVENT_SYNC,
    "Stream Sync": CallKind.STREAM_SYNC,
    "Stream Wait Event": CallKind.STREAM_WAIT,
}


def call_kind(name: str) -> CallKind:
    """What a runtime or driver call of this name does."""
    plain = name.partition("_")[0]  # a suffix tells version or stream: cuMemAlloc_v2, cudaLaunchKernel_ptsz
    kinds = next((kinds for _, call, kinds in _CALLS if re.match(call, plain)), ())
    return next((kind for pattern, kind in kinds if re.fullmatch(pattern, plain)), CallKind.OTHER)


def wait_kind(name: str) -> CallKind:
    """The same of the call whose recorded wait (a ``cuda_sync`` row) has this name."""
    return _WAIT_ROWS.get(name, CallKind.OTHER)


def vendor_of_calls(names: Iterable[str]) -> Vendor | None:
    """Whose calls these are, by the first vendor that any of them belongs to; None: nobody's that is known."""
    names = list(names)
    return next((vendor for vendor, call, _ in _CALLS if any(re.match(call, name) for name in names)), None)


def vendor_of_device(name: str) -> Vendor | None:
    """Who makes the device of this name; None: the name does not tell."""
    return next((vendor for vendor, part in _DEVICES if re.search(part, name, re.IGNORECASE)), None)
