"""Text views of real traces as they must read: golden files, renewed with ``python -m tests.golden --write``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from stallscope.analysis.report import full_page
from stallscope.analysis.report.style import Style
from stallscope.analysis.report.summary import text
from stallscope.analysis.summary import summarize
from stallscope.traces.read.read import read

CUT = "\n=== the whole page ===\n\n"
HERE = Path(__file__).parent
TRACES = {
    "bert_small": "h100/bert_small.json.gz",
    "owlv2_large": "h100/owlv2_large.json.gz",
    "ns_resolution_rank0": "v100/ns_resolution_rank0.pt.trace.json.gz",
    "resnet50_num_workers_0": "kineto-2021/resnet50_num_workers_0/worker0.1623143089861.pt.trace.json.gz",
    "resnet50_num_workers_4": "kineto-2021/resnet50_num_workers_4/worker0.1623212756351.pt.trace.json.gz",
}


def golden(name: str) -> Path:
    """The golden file of one trace."""
    return HERE / f"{name}.txt"


def rendered(name: str, folder: Path) -> str:
    """Both text views of one trace in ``folder``, 80 columns wide, with the path below the folder only."""
    summary = summarize(read(folder / TRACES[name]))
    here = msgspec.structs.replace(summary.trace, path=TRACES[name])
    shown = msgspec.structs.replace(summary, trace=here)
    return f"{text.page(shown, Style(width=80))}{CUT}{full_page.page(shown, Style(width=80))}"
