"""Run a piece of a script under the marks of an attribution window, and read what they left."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stallscope.profiling.mark.marks import Marks
from stallscope.traces.model.manifest import CallSite


@dataclass(frozen=True)
class Marked:
    """What one window holds."""

    marks: Marks
    names: dict[str, Any]  # the script's global names at its end
    rows: list[dict[str, Any]]  # of the exported trace
    path: Path  # of the script

    @property
    def ranges(self) -> Counter[str]:
        """How often each of our ranges was recorded."""
        return Counter(row["name"] for row in self.rows if row.get("name", "").startswith("stallscope."))

    def of(self, kind: str) -> list[CallSite]:
        """The sites of one kind."""
        return [each for each in self.marks.call_sites if each.kind == kind]

    def lines(self, kind: str | None = None) -> list[int]:
        """The innermost line of each site, in the order of first sight."""
        return [each.frames[0].line for each in self.marks.call_sites if kind in (None, each.kind)]

    def chain(self, site: CallSite) -> list[int]:
        """The lines of a site that are the script's, innermost first."""
        return [frame.line for frame in site.frames if frame.file == str(self.path)]

    def module_names(self) -> list[str]:
        """The names of all modules seen."""
        return [each.name for each in self.marks.modules]


def script(folder: Path, text: str, name: str = "train.py") -> Path:
    """Write a script whose first line is the first of ``text``."""
    path = folder / name
    path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return path


def run_plain(folder: Path, text: str, *, before: str = "") -> dict[str, Any]:
    """Run the same without marks and without a profiler; returns the script's global names at its end."""
    names, _, code = _prepared(folder, text, before)
    exec(code, names)  # noqa: S102 - a script of the test's
    return names


def run_marked(folder: Path, text: str, *, before: str = "", marked: bool = True, **options: bool) -> Marked:
    """Run ``before`` unmarked and ``text`` marked, both with the same globals, as if ``text`` were a script."""
    import torch

    names, path, code = _prepared(folder, text, before)
    marks = Marks(torch, **options)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as recorded:
        if marked:
            marks.install()
        try:
            exec(code, names)  # noqa: S102
        finally:
            marks.remove()
    out = folder / "trace.json"
    recorded.export_chrome_trace(str(out))
    return Marked(marks, names, json.loads(out.read_text(encoding="utf-8"))["traceEvents"], path)


def _prepared(folder: Path, text: str, before: str) -> tuple[dict[str, Any], Path, Any]:
    import torch

    path = script(folder, text)
    names: dict[str, Any] = {"__name__": "__main__", "torch": torch}
    exec(textwrap.dedent(before), names)  # noqa: S102
    return names, path, compile(path.read_text(encoding="utf-8"), str(path), "exec")
