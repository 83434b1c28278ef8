"""What a trace file says beside its events: devices, rank, base time, what was recorded, metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stallscope.traces.model import fields
from stallscope.traces.model.fields import Vendor
from stallscope.traces.model.trace import Device
from stallscope.traces.text.values import integer
from stallscope.traces.vendors.calls import vendor_of_calls, vendor_of_device

# Keys that become fields of Trace, or say nothing.
_NOT_METADATA = frozenset({"traceEvents", "schemaVersion", "displayTimeUnit", "baseTimeNanoseconds"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """The top-level keys of a document, settled."""

    devices: tuple[Device, ...]
    rank: int | None
    world_size: int | None
    base_time_ns: int | None
    recorded: frozenset[str]
    metadata: Mapping[str, str]


def envelope(keys: Mapping[str, Any]) -> Envelope:
    """Settle the top-level ``keys`` (floats as text)."""
    told = keys.get("distributedInfo")
    distributed = told if isinstance(told, dict) else {}
    scalars = {key: value for key, value in keys.items() if isinstance(value, str | int)}
    return Envelope(
        devices=tuple(_devices(keys.get("deviceProperties"))),
        rank=integer(distributed.get("rank")),
        world_size=integer(distributed.get("world_size")),
        base_time_ns=integer(keys.get("baseTimeNanoseconds")),
        recorded=frozenset(key for key in fields.RECORDED_FLAGS if scalars.get(key) in (1, "1")),
        metadata={
            key: _text(value)
            for key, value in scalars.items()
            if key not in _NOT_METADATA and key not in fields.RECORDED_FLAGS
        },
    )


def _text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _devices(told: Any) -> Iterable[Device]:
    for place, properties in enumerate(told if isinstance(told, list) else []):
        if isinstance(properties, dict):
            yield _device(properties, place)


def _device(properties: Mapping[str, Any], place: int) -> Device:
    name = properties.get("name")
    ordinal = integer(properties.get("id"))
    major, minor = integer(properties.get("computeMajor")), integer(properties.get("computeMinor"))
    cuda = isinstance(name, str) and vendor_of_device(name) == "cuda"
    return Device(
        ordinal=place if ordinal is None else ordinal,
        name=name if isinstance(name, str) else "",
        total_memory_bytes=integer(properties.get("totalGlobalMem")),
        sms=integer(properties.get("numSms")),
        compute_capability=f"{major}.{minor}" if cuda and major is not None and minor is not None else None,
    )


def vendor_of(
    calls: Sequence[str], categories: Iterable[str], devices: Iterable[Device], *, device_rows: bool
) -> Vendor:
    """Whose runtime made the trace: from category names, then names of calls, then device properties.

    A file without calls and device rows is ``cpu``, whatever devices its machine had.
    """
    for prefix, vendor in fields.VENDOR_OF_CATEGORY:
        if any(category.startswith(prefix) for category in categories):
            return vendor
    if not calls and not device_rows:
        return "cpu"
    makers = (vendor_of_device(device.name) for device in devices)
    maker = next((vendor for vendor in makers if vendor is not None), "cuda" if device_rows else "cpu")
    return vendor_of_calls(calls) or maker
