"""The machine as JSON, ``stallscope.env/1``."""

from __future__ import annotations

import msgspec

from stallscope.analysis.report.document import document
from stallscope.analysis.report.style import PLAIN, Style
from stallscope.traces.model.manifest import Machine


def render(machine: Machine, _style: Style = PLAIN) -> bytes:
    """The facts of ``machine``, its schema first."""
    return document({"schema": "stallscope.env/1", **msgspec.to_builtins(machine)})
