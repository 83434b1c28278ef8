"""A comparison as JSON, contract ``stallscope.compare/1``."""

from __future__ import annotations

import msgspec

from stallscope.analysis.contract.compare import Comparison
from stallscope.analysis.report import as_json


def to_json(comparison: Comparison) -> bytes:
    """The document, indented, keys in the order of the contract, with a newline at its end."""
    return as_json.document([msgspec.to_builtins(comparison)], comparison.schema, "comparisons")
