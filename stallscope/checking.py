"""What ``stallscope check`` is made of beside its options: the budget's file, the run, the answer."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from stallscope import api
from stallscope.analysis.check.budgets import Budgets, parse_budgets
from stallscope.analysis.check.check import check, measure
from stallscope.analysis.contract.check import Check
from stallscope.analysis.report.formats import renderer
from stallscope.traces.model.errors import BadInput
from stallscope.traces.text.limits import DEFAULT, Limits

OWN_FILE: Final = "stallscope.toml"
PROJECT: Final = "pyproject.toml"
NOTHING: Final = (
    f"nothing to check: write budgets under [per_step] in {OWN_FILE} (or [tool.stallscope.per_step] in {PROJECT}), "
    "or pass --max waits=0"
)


def load_budgets(path: Path | None, limits: Sequence[str] = ()) -> Budgets:
    """The budgets of a file and of ``--max``; without a path those of the current folder.

    Raises:
        BadInput: a file cannot be read, or says something that is not understood.
    """
    if path is None:
        path = next((each for each in (Path(OWN_FILE), Path(PROJECT)) if each.is_file()), None)
    budgets = Budgets() if path is None else parse_budgets(*_table(path))
    return budgets.with_max(dict(_limit(each) for each in limits))


def _table(path: Path) -> tuple[dict[str, Any], str]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); name the file with the budgets") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: is no TOML ({error}); see docs/check.md for an example") from error
    if path.name != PROJECT:
        return table, str(path)
    found = table.get("tool", {}).get("stallscope", {})
    return (found if isinstance(found, dict) else {}), f"{path}: [tool.stallscope]"


def _limit(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise BadInput(f"--max {text}: expected a figure and its ceiling, --max waits=0")
    return name.strip(), value.strip()


def checked(path: Path, budgets: Budgets, limits: Limits = DEFAULT) -> Check:
    """Hold the budgets against a trace, or the first rank of a run folder.

    Raises:
        BadInput: there is no budget, or nothing usable at ``path``.
        Refused: a file passes ``limits``.
    """
    if not budgets.per_step:
        raise BadInput(NOTHING)
    stages, manifest = api.first_stages(path, limits)
    return check(measure(str(path), stages, manifest, budgets), budgets)


def add_step_summary(found: Check) -> None:
    """Add the answer to the page of the job, where GitHub Actions runs this (``GITHUB_STEP_SUMMARY`` names a file).

    Raises:
        BadInput: the file cannot be written.
    """
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(str(renderer("check", "markdown")(found)) + "\n")
    except OSError as error:
        raise BadInput(f"GITHUB_STEP_SUMMARY: {path} cannot be written ({error.strerror})") from error
