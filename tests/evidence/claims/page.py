"""``docs/claims.md``, made of the results in ``docs/workloads``."""

from __future__ import annotations

from pathlib import Path

from stallscope.analysis.report.env.text import describe_gpu, processor
from stallscope.demo.catalog import WORKLOADS
from stallscope.demo.page import load_line
from stallscope.demo.results import Result, load
from tests import ROOT
from tests.evidence.claims.answers import Claim, Results
from tests.evidence.claims.claims import CLAIMS

FOLDER = ROOT / "docs" / "workloads"
PAGE = ROOT / "docs" / "claims.md"

HEAD = """# Claims about GPU training, and what was measured

Each verdict is computed from the figures in [workloads/](workloads), by the rules in `tests/evidence/claims`:
*confirmed*, *wrong*, *depends* (the figure says on what), *cannot tell* (the runs' noise is larger than the
difference), or *not measured* with the reason. A change is given with its 95 % interval over rounds of runs.
`python -m tests.evidence.claims --write` makes this page again after new runs.
"""


def results(folder: Path = FOLDER) -> Results:
    """The results that are there, by workload."""
    return {name: load(folder / f"{name}.json") for name in WORKLOADS if (folder / f"{name}.json").is_file()}


def page(found: Results) -> str:
    """The whole page."""
    rows = [row(number, claim, found) for number, claim in CLAIMS.items()]
    table = "\n".join(["| | claim | verdict | figure | command |", "|---:|---|---|---|---|", *rows])
    runs = "\n".join(line(result) for result in found.values())
    return f"{HEAD}\n{table}\n\n## The runs behind it\n\n{runs}\n"


def row(number: int, claim: Claim, found: Results) -> str:
    """One line of the table."""
    answer = claim.answer(found)
    command = ", ".join(f"`stallscope demo {name}`" for name in claim.workloads)
    cells = [str(number), claim.text, answer.verdict, answer.figure, command]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def line(result: Result) -> str:
    """Where and how one workload was run."""
    gpus = "; ".join(describe_gpu(gpu) for gpu in result.machine.gpus) or "no GPU"
    machine = f"{processor(result.machine)}; {gpus}; torch {result.machine.torch}"
    short = ", short form" if result.quick else ""
    runs = f"{result.repeats} round{'' if result.repeats == 1 else 's'}{short}"
    page = f"[{result.workload}](workloads/{result.workload}.md)"
    return f"- {page}: {result.created[:10]}, {runs}; {machine}. {load_line(result)}"
