"""A summary as JSON: the contract ``stallscope.summary/1``; several as ``stallscope.summaries/1``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from stallscope.analysis.contract import Summary

SUMMARIES_SCHEMA = "stallscope.summaries/1"


def to_json(summaries: Summary | Sequence[Summary]) -> bytes:
    """Indented UTF-8 JSON, keys in the contract's order, ending in a newline; the same summary gives the same bytes.

    One summary (or a list of one) is a document of its own; several are put under ``summaries``.
    """
    found = [summaries] if isinstance(summaries, Summary) else list(summaries)
    return document([msgspec.to_builtins(summary) for summary in found], SUMMARIES_SCHEMA, "summaries")


def document(plain: list[Any], schema: str, key: str) -> bytes:
    """One plain value as a document, or several under ``key`` in one of ``schema``."""
    told = [_finite(each) for each in plain]
    whole = told[0] if len(told) == 1 else {"schema": schema, key: told}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def _finite(value: Any) -> Any:
    """The same value with null for what JSON cannot say (NaN, infinity) and without lone surrogates."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value
