"""The constants as JSON, ``stallscope.constants/1``."""

from __future__ import annotations

from collections.abc import Sequence

from stallscope.analysis.contract.whatif import Constant
from stallscope.analysis.report.document import document
from stallscope.analysis.report.style import PLAIN, Style


def render(constants: Sequence[Constant], _style: Style = PLAIN) -> bytes:
    """All of them in one document."""
    return document({"schema": "stallscope.constants/1", "constants": constants})
