"""What ``stallscope check`` is made of beside its options: the budget's file, the run, the answer."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from stallscope import api
from stallscope.analysis.check.baseline import entry_of, find_entry, parse_baseline, updated
from stallscope.analysis.check.budgets import Budgets, parse_budgets
from stallscope.analysis.check.check import NOT_COMPARABLE, Measured, check, measure, times_of
from stallscope.analysis.contract.check import BaselineFile, Check
from stallscope.analysis.report.document import document
from stallscope.analysis.report.formats import renderer
from stallscope.output import printer, write_file
from stallscope.traces.model.errors import BadInput
from stallscope.traces.text.limits import DEFAULT, Limits

OWN_FILE: Final = "stallscope.toml"
PROJECT: Final = "pyproject.toml"
NOTHING: Final = (
    f"nothing to check: write budgets under [per_step] in {OWN_FILE} (or [tool.stallscope.per_step] in {PROJECT}), "
    "or pass --max waits=0"
)


def load_budgets(path: Path | None, limits: Sequence[str] = (), folder: Path = Path()) -> Budgets:
    """The budgets of a file and of ``--max``; without a path those of ``folder``, the current one.

    Raises:
        BadInput: a file cannot be read, or says something that is not understood.
    """
    if path is None:
        path = next((each for name in (OWN_FILE, PROJECT) if (each := folder / name).is_file()), None)
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


@dataclass(frozen=True, slots=True)
class Baseline:
    """The file of ``--against``, and whether it is to be rewritten."""

    path: Path
    update: bool = False

    def read(self) -> BaselineFile:
        """Return what is in the file; of a file that is to be written first, nothing.

        Raises:
            BadInput: it cannot be read, or is no baseline.
        """
        try:
            return parse_baseline(self.path.read_bytes(), str(self.path))
        except FileNotFoundError as error:
            if self.update:
                return BaselineFile()
            raise BadInput(f"{self.path}: is not there; write it with --update") from error
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be read ({error.strerror})") from error

    def rewrite(self, found: BaselineFile) -> None:
        """Put the file in its place, never half-written; its folder is made where it is missing.

        Raises:
            BadInput: it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{self.path}: its folder cannot be made ({error.strerror})") from error
        write_file(self.path, document(found), force=True)


def checked(
    paths: Sequence[Path], budgets: Budgets, baseline: Baseline | None = None, limits: Limits = DEFAULT
) -> Check:
    """Hold the budgets against repeated runs (traces, or each rank of run folders), the rest against a baseline.

    Raises:
        BadInput: there is no budget, or nothing usable at a path.
        Refused: a file passes ``limits``.
    """
    must_be_checkable(budgets, baseline)
    file = None if baseline is None else baseline.read()
    runs = [run for path in paths for run in _ranks(path, budgets, limits)]
    if baseline is None or file is None:
        return check(runs, budgets)
    if not baseline.update:
        return check(runs, budgets, find_entry(file, runs[0].key, str(baseline.path)))
    return _update(runs, budgets, baseline, file)


def _ranks(path: Path, budgets: Budgets, limits: Limits) -> Iterator[Measured]:
    """Each rank of a run; they are no repeats of each other, so the first one's time is the run's."""
    here = Path.cwd().as_posix()
    for number, (name, stages, manifest) in enumerate(api.stages_of_ranks(path, limits)):
        yield replace(measure(name, stages, manifest, budgets, here), is_repeat=number == 0)


def must_be_checkable(budgets: Budgets, baseline: Baseline | None) -> None:
    """Say before the work that there is nothing to hold a run against.

    Raises:
        BadInput: so it is.
    """
    if not budgets.per_step and budgets.time is None and baseline is None:
        raise BadInput(NOTHING)
    relative = [each.name for each in budgets.per_step if each.relative is not None]
    relative += ["[time] step"] if budgets.time is not None else []
    if relative and baseline is None:
        raise BadInput(f"{relative[0]} is budgeted against a baseline; name its file with --against")


def _update(runs: Sequence[Measured], budgets: Budgets, baseline: Baseline, file: BaselineFile) -> Check:
    """Rewrite the baseline's entry, unless the runs' counts are worth nothing; budgets of plain numbers still hold."""
    found, times = check(runs, budgets.without_baseline()), times_of(runs)
    if found.outcome == NOT_COMPARABLE:
        return found
    new, changes = updated(file, entry_of(runs[0].counted, runs[0].key, times.step_us, times.machine))
    baseline.rewrite(new)
    return msgspec.structs.replace(found, updated=changes)


def printers(also: Sequence[str], *, force: bool) -> list[Callable[[Check], None]]:
    """What writes each ``FORMAT=FILE`` of ``--also``.

    Raises:
        BadInput: there is no such format, or no file is named.
        OutputExists: a file is there and ``force`` is False.
    """
    pairs = [each.partition("=") for each in also]
    unnamed = [form for form, _, file in pairs if not file]
    if unnamed:
        raise BadInput(f"--also {unnamed[0]}: expected a format and a file, --also sarif=stallscope.sarif")
    return [printer("check", form, Path(file), force=force) for form, _, file in pairs]


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
