"""What an agent may ask: a few questions about the traces and run folders below one folder, in bounded answers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from stallscope import api
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.fill.whatif import fill_forecasts
from stallscope.analysis.report.document import finite
from stallscope.checking import OWN_FILE, PROJECT, Baseline, checked, load_budgets
from stallscope.traces.model.errors import BadInput

MOST: Final = 20_000  # bytes of an answer, unless all is asked for
NOTES: Final = 1_500  # of these, kept for what is said of the parts that were left out


@dataclass(frozen=True, slots=True)
class Tools:
    """The questions, each a method; nothing outside ``root`` is read, and nothing is written.

    Every answer is JSON. ``full``: all of it, however long; else lists are cut, and it is said by how much.

    Raises:
        BadInput: a path is outside, or nothing usable is there.
        Refused: a file passes the limits of ``stallscope summary``.
    """

    root: Path

    def summary(self, path: str, *, full: bool = False) -> str:
        """Where the time of each step goes: verdict, bars, waits by line, operators, kernels (stallscope.summary/2)."""
        return bounded(self._summary(path), full=full)

    def causes(self, path: str, *, full: bool = False) -> str:
        """What costs time, most first, with evidence, what its absence would save, and what to do."""
        found = self._summary(path)
        verdict = {"kind": found.verdict.kind, "text": found.verdict.text, "not_the_cause": found.verdict.not_the_cause}
        answer = {"step_us": found.steps.time_us, "verdict": verdict, "causes": found.causes, "health": found.health}
        return bounded(answer, full=full)

    def whatif(self, path: str, *, full: bool = False) -> str:
        """What a step would take after each fix, best first, with an 80 % interval (stallscope.whatif/1)."""
        return bounded(fill_forecasts(self._summary(path)), full=full)

    def compare(self, baseline: str, candidate: str, *, full: bool = False) -> str:
        """Before against after a change: faster or slower, and how sure that is (stallscope.compare/1)."""
        return bounded(api.compare([self.inside(baseline)], [self.inside(candidate)]), full=full)

    def check(
        self,
        path: str,
        limits: Mapping[str, float | str] | None = None,
        against: str | None = None,
        *,
        full: bool = False,
    ) -> str:
        """Hold budgets per step against a run.

        They are limits such as {"waits": 0, "h2d_bytes": "12 MB"}, those of stallscope.toml at the root, and a
        baseline file (against).
        """
        for name in (OWN_FILE, PROJECT):
            self.inside(name)
        wanted = [f"{name}={value}" for name, value in (limits or {}).items()]
        budgets = load_budgets(None, wanted, self.root)
        baseline = None if against is None else Baseline(self.inside(against))
        return bounded(checked([self.inside(path)], budgets, baseline), full=full)

    def runs(self) -> str:
        """The run folders and traces that the other tools take as path, below the root."""
        found = sorted(_recordings(self.root))
        return bounded({"root": str(self.root), "paths": found}, full=False)

    def _summary(self, path: str) -> Summary:
        return api.summarize(self.inside(path))

    def inside(self, path: str) -> Path:
        """The path below the root.

        Raises:
            BadInput: it, or a link in it, leads outside.
        """
        root = self.root.resolve()
        found = (root / path).resolve()
        if not found.is_relative_to(root):
            raise BadInput(f"{path}: is outside {root}; only what is below it may be read")
        for link in _links(found):
            if not link.resolve().is_relative_to(root):
                raise BadInput(f"{path}: holds a link to what is outside {root} ({link.name}); nothing of it is read")
        return found


def _links(folder: Path) -> Iterator[Path]:
    """Every link in a folder and those below it; links to folders are not followed."""
    for where, folders, files in os.walk(folder):
        yield from (path for name in (*folders, *files) if (path := Path(where, name)).is_symlink())


def _recordings(root: Path) -> Iterator[str]:
    """Run folders (those that hold a manifest), and traces elsewhere."""
    for where, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(where).relative_to(root)
        if "stallscope.json" in files:
            yield below.as_posix()
        else:
            yield from ((below / name).as_posix() for name in files if name.endswith((".trace.json", ".trace.json.gz")))


def bounded(value: Any, *, full: bool, most: int = MOST) -> str:
    """A value as JSON of at most ``most`` bytes: the longest lists are cut in half until it fits, which is said."""
    answer = finite(msgspec.to_builtins(value))
    if full or len(_text(answer)) <= most:
        return _text(answer).decode()
    whole: dict[str, int] = {}
    while len(_text(answer)) > most - NOTES:
        where, longest = max(_lists(answer), key=lambda found: len(_text(found[1])), default=("", []))
        if len(longest) <= 1:
            return _text({"left_out": "all: the answer is too long; ask with full"}).decode()
        whole.setdefault(where, len(longest))
        del longest[len(longest) // 2 :]
    kept = dict(_lists(answer))
    told = [f"{where}: {len(kept[where])} of {size}" for where, size in whole.items() if where in kept]
    return _text({**answer, "left_out": [*told[:10], "all with full"]}).decode()


def _lists(value: Any, where: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every list of two and more, with its path."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _lists(each, f"{where}.{name}" if where else name)
    elif isinstance(value, list):
        if len(value) > 1:
            yield where, value
        for number, each in enumerate(value):
            yield from _lists(each, f"{where}[{number}]")


def _text(value: Any) -> bytes:
    return msgspec.json.encode(value)
