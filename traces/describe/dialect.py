"""What a trace file is: which years' spelling, who wrote it, how it tells the time. Told by features, not by versions.

A file does not say which PyTorch made it, and ``schemaVersion`` has always been 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from stallscope.traces.describe.details import Details
from stallscope.traces.model.fields import CATEGORIES_2021, OUR_CATEGORY
from stallscope.traces.model.trace import Trace

Years = Literal["2021", "2022 to 2024", "2024 and later"]
Writer = Literal[
    "Kineto",
    "torch's Python exporter",
    "torch's profiler without Kineto",
    "stallscope redact",
    "stallscope annotate",
    "another tool, or saved again",
]
Times = Literal["whole microseconds", "fractions, absolute", "fractions after a base time", "fractions"]

BASE_TIME: Final = "baseTimeNanoseconds"
REDACTED: Final = "redacted"
ABSOLUTE_NS: Final = 10**18  # 2001: nobody traces for so long, and no base time lies so far back

# Kineto indents by two, then four blanks; torch 2.13 writes one key a line, older ones several.
_KINETO: Final = re.compile(r'\{\s*\n {4}"ph": "X",\s*"cat": "[^"]*",\s*"name": "')
_OURS: Final = f'"cat":"{OUR_CATEGORY}"'
_PYTHON: Final = re.compile(r'\{"ph":"X","cat":"[^"]*","name":".*"args":\{"[^"]*": ', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One file."""

    years: Years
    writer: Writer
    times: Times
    features: tuple[str, ...]  # that told


def find_dialect(trace: Trace, details: Details) -> Dialect:
    """What the file is."""
    return Dialect(_years(details), _writer(details), _times(trace, details), _features(trace, details))


def _years(details: Details) -> Years:
    if CATEGORIES_2021.keys() & details.spelled.keys():
        return "2021"
    modern = BASE_TIME in details.keys or details.has_record_function
    return "2024 and later" if modern else "2022 to 2024"


def _writer(details: Details) -> Writer:
    if REDACTED in details.keys:
        return "stallscope redact"
    if _OURS in details.first:
        return "stallscope annotate"
    if details.is_list:
        return "torch's profiler without Kineto"
    if _KINETO.match(details.first):
        return "Kineto"
    return "torch's Python exporter" if _PYTHON.match(details.first) else "another tool, or saved again"


def _times(trace: Trace, details: Details) -> Times:
    if not details.fractions:
        return "whole microseconds"
    if len(trace.events) and int(trace.events.ts_ns.max()) >= ABSOLUTE_NS:
        return "fractions, absolute"
    return "fractions" if trace.base_time_ns is None else "fractions after a base time"


def _features(trace: Trace, details: Details) -> tuple[str, ...]:
    spelled = details.spelled
    found = {
        "categories as spelled in 2021": CATEGORIES_2021.keys() & spelled.keys(),
        "external ids in lower case": details.has_external_2021,
        "a base time": BASE_TIME in details.keys,
        "record function ids": details.has_record_function,
        "Python functions": spelled["python_function"],
        "call stacks": len(trace.origins.stack_row),
        "recorded waits (cuda_sync)": spelled["cuda_sync"],
        "driver calls": spelled["cuda_driver"],
        "ranges on the device": spelled["gpu_user_annotation"],
        "the recorder's own overhead": spelled["overhead"],
        "memory samples": len(trace.memory),
        "flows from forward to backward": details.flows["fwdbwd", "s"],
    }
    return tuple(name for name, there in found.items() if there)
