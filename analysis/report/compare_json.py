"""A comparison as JSON, contract ``stallscope.compare/1``."""

from __future__ import annotations

import msgspec

from stallscope.analysis.compare_contract import Comparison


def to_json(comparison: Comparison) -> bytes:
    """The document, indented, keys in the order of the contract, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n"
