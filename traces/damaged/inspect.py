"""Faults that decode without complaint: nesting deeper than any trace's, and keys that stand twice in one object."""

from __future__ import annotations

import json
import re
from typing import Any

from stallscope.traces.text.blocks import CUT

# Deep nesting closes somewhere, as a rule many times in a row: looking for that costs next to nothing.
MANY_CLOSINGS = (b"]" * 48, b"}" * 48, b"]}" * 24)
TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]', re.DOTALL)
STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
# Keys are looked at in samples: a writer that repeats keys does so in every event.
FIRST_SAMPLE = 1 << 16
SAMPLE = 1 << 12


def deeper_than(limit: int, text: bytes) -> bool:
    """Whether a value in the JSON array ``text`` is nested deeper than ``limit``, if that shows by its closing."""
    return any(many in text for many in MANY_CLOSINGS) and _depth(text) - 1 > limit


def _depth(text: bytes) -> int:
    """How many arrays and objects lie in each other at most."""
    depth = deepest = 0
    for found in TOKEN.finditer(text):
        depth += STEP.get(text[found.start()], 0)
        deepest = max(deepest, depth)
    return deepest


def duplicate_keys(text: bytes) -> int:
    """How many keys are told twice, with different values, in one object of the JSON ``text``.

    Text of more than 64 kB is looked at in its first 4 kB, if it is an array of events.
    """
    if len(text) > FIRST_SAMPLE:
        cut = CUT.search(text, SAMPLE, 2 * FIRST_SAMPLE)
        if cut is None:
            return 0
        text = text[: cut.start() + 1] + b"]"
    found = 0

    def pairs(told: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        kept = dict(told)
        if len(kept) < len(told):
            found += sum(kept[key] != value for key, value in told)
        return kept

    try:
        json.loads(text, object_pairs_hook=pairs, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):  # bad text in a field that nothing reads
        return 0
    return found
