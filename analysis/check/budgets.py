"""Budgets as people write them: ``stallscope.toml``, ``[tool.stallscope]``, ``--max waits=0``. TOML in, types out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from stallscope.analysis.contract.check import Workload
from stallscope.traces.model.errors import BadInput

NAMES: Final = {  # of the figures, in the order in which they are told; each with its unit
    "launches": "count",
    "waits": "count",
    "reads": "count",
    "pageable_copies": "count",
    "h2d_bytes": "bytes",
    "d2h_bytes": "bytes",
    "allocations": "count",
    "graph_captures": "count",
    "operators": "count",
    "kernels": "count",
    "kernel_launches": "count",
    "graph_launches": "count",
    "sync_calls": "count",
    "memcpys": "count",
    "memsets": "count",
}
_NUMBER: Final = r"(\d+(?:\.\d+)?(?:e\d+)?)"
_PINNED: Final = re.compile(rf"{_NUMBER}\s*(?:±|\+-|\+/-)\s*{_NUMBER}\s*([kMG]?B)?")
_SIZED: Final = re.compile(rf"{_NUMBER}\s*([kMG]?B)?")
_RELATIVE: Final = re.compile(rf"\+\s*{_NUMBER}\s*%")
MOST: Final = 1e18  # what is more is no count
_SIZES: Final = {None: 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
_TABLES: Final = ("workload", "per_step", "allow", "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The bounds of one figure."""

    name: str
    text: str  # as it was written
    low: float | None = None
    high: float | None = None
    relative: float | None = None  # the ceiling is the baseline's figure and this share more
    unknown_passes: bool = False
    over: Literal["max", "median"] = "max"


@dataclass(frozen=True, slots=True)
class Allow:
    """A call that may wait, once in so many steps."""

    line: str
    call: str | None
    every: int
    why: str

    def matches(self, line: str | None, called: str | None) -> bool:
        """Whether a call is this one; where the trace does not tell what was called, by its line alone."""
        at = (line or "").rpartition("(")[2].rstrip(")")
        here = at == self.line or at.endswith("/" + self.line) or self.line.endswith("/" + at) if at else False
        return here and (self.call is None or called is None or called.strip("_") == self.call.strip("_"))


@dataclass(frozen=True, slots=True)
class Time:
    """The budget of the step's time, which takes repeated runs on both sides."""

    step: float  # share by which it may grow
    runs: int = 5
    cannot_tell_passes: bool = True


@dataclass(frozen=True, slots=True)
class Budgets:
    """Everything that a check is told to hold."""

    workload: Workload | None = None
    per_step: tuple[Budget, ...] = ()
    allow: tuple[Allow, ...] = ()
    time: Time | None = None

    def without_baseline(self) -> Budgets:
        """Without what only a baseline can bound."""
        return replace(self, time=None, per_step=tuple(each for each in self.per_step if each.relative is None))

    def with_max(self, limits: Mapping[str, str]) -> Budgets:
        """With ceilings from the command line, which replace those of the file.

        Raises:
            BadInput: there is no such figure, or that is no number.
        """
        given = {name: _budget(name, text, {}, "--max") for name, text in limits.items()}
        kept = [each for each in self.per_step if each.name not in given]
        return replace(self, per_step=_in_order([*kept, *given.values()]))


def parse_budgets(table: Mapping[str, Any], where: str) -> Budgets:
    """The budgets of a TOML table; ``where``: the file, for the sentence about what is wrong in it.

    Raises:
        BadInput: it says something that is not understood.
    """
    _known(table, _TABLES, where)
    return Budgets(
        workload=_workload(_table(table, "workload", where), f"{where}: [workload]"),
        per_step=_per_step(_table(table, "per_step", where), f"{where}: [per_step]"),
        allow=_allows(table.get("allow", []), f"{where}: [[allow]]"),
        time=_time(_table(table, "time", where), f"{where}: [time]"),
    )


def _table(table: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = table.get(name, {})
    if not isinstance(found, Mapping):
        raise BadInput(f"{where}: {name} must be a table; write it under a line [{name}]")
    return found


def _known(table: Mapping[str, Any], names: Any, where: str) -> None:
    for name in table:
        if name not in names:
            raise BadInput(f"{where}: there is no {name!r}; choose of: {', '.join(names)}")


def _workload(table: Mapping[str, Any], where: str) -> Workload | None:
    if not table:
        return None
    _known(table, ("name", "parameters"), where)
    name, parameters = table.get("name"), table.get("parameters", {})
    if not isinstance(name, str) or not isinstance(parameters, Mapping):
        raise BadInput(f'{where}: expected name = "…" and parameters = {{ batch = 120 }}')
    odd = [key for key, value in parameters.items() if not isinstance(value, (str, int, float, bool))]
    if odd:
        raise BadInput(f"{where}: parameters.{odd[0]} must be a number, a text or a truth value")
    return Workload(name=name, parameters=dict(parameters))


def _per_step(table: Mapping[str, Any], where: str) -> tuple[Budget, ...]:
    defaults = {key: table[key] for key in ("unknown", "steps") if key in table}
    return _in_order([_budget(key, table[key], defaults, where) for key in table if key not in defaults])


def _in_order(budgets: list[Budget]) -> tuple[Budget, ...]:
    return tuple(sorted(budgets, key=lambda each: list(NAMES).index(each.name)))


def _budget(name: str, value: Any, defaults: Mapping[str, Any], where: str) -> Budget:
    if name not in NAMES:
        raise BadInput(f"{where}: there is no figure {name!r}; choose of: {', '.join(NAMES)}")
    options = {**defaults, **value} if isinstance(value, Mapping) else dict(defaults)
    limit = options.pop("max", None) if isinstance(value, Mapping) else value
    _known(options, ("unknown", "steps"), f"{where} {name}")
    low, high, relative = _limits(limit, f"{where} {name}")
    unknown, over = options.get("unknown", "fail"), options.get("steps", "max" if relative is None else "median")
    if unknown not in ("pass", "fail") or over not in ("max", "median"):
        raise BadInput(f'{where} {name}: unknown is "pass" or "fail", steps is "max" or "median"')
    return Budget(
        name=name,
        text=str(limit),
        low=low,
        high=high,
        relative=relative,
        unknown_passes=unknown == "pass",
        over="max" if over == "max" else "median",
    )


def _limits(limit: Any, where: str) -> tuple[float | None, float | None, float | None]:
    """(low, high, share above the baseline) of ``20``, ``"12 MB"``, ``"420±0"``, ``"+2 %"``."""
    found = _parsed(limit)
    if found is None or not all(math.isfinite(bound) for bound in found if bound is not None):
        raise BadInput(f'{where}: {limit!r} is no limit; write 20, "12 MB", "420±0" or, against a baseline, "+2 %"')
    return found


def _parsed(limit: Any) -> tuple[float | None, float | None, float | None] | None:
    if isinstance(limit, (int, float)) and not isinstance(limit, bool):
        return (None, float(limit), None) if 0 <= limit <= MOST else None
    text = limit.strip() if isinstance(limit, str) else ""
    if found := _RELATIVE.fullmatch(text):
        return None, None, float(found[1]) / 100
    if found := _PINNED.fullmatch(text):
        value, spread, size = float(found[1]), float(found[2]), _SIZES[found[3]]
        return (value - spread) * size, (value + spread) * size, None
    if found := _SIZED.fullmatch(text):
        return None, float(found[1]) * _SIZES[found[2]], None
    return None


def _allows(rows: Any, where: str) -> tuple[Allow, ...]:
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise BadInput(f"{where}: expected one table a line that may wait")
    return tuple(_allow(row, where) for row in rows)


def _allow(row: Mapping[str, Any], where: str) -> Allow:
    _known(row, ("line", "call", "every", "why"), where)
    line, call, every, why = row.get("line"), row.get("call"), row.get("every", 1), row.get("why")
    if not isinstance(line, str) or not re.fullmatch(r".+:\d+", line):
        raise BadInput(f'{where}: line must be a file and a line, "train.py:88"')
    if not isinstance(why, str) or not why.strip():
        raise BadInput(f"{where} {line}: say why this line may wait")
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise BadInput(f"{where} {line}: every is a number of steps, 1 or more")
    if call is not None and not isinstance(call, str):
        raise BadInput(f'{where} {line}: call is a name, ".item()"')
    name = None if call is None else call.strip().strip(".").removesuffix("()")
    return Allow(line.replace("\\", "/"), name, every, why)


def _time(table: Mapping[str, Any], where: str) -> Time | None:
    if not table:
        return None
    _known(table, ("step", "runs", "cannot_tell"), where)
    found = re.fullmatch(rf"\+?\s*{_NUMBER}\s*%", str(table.get("step", "")).strip())
    runs, cannot_tell = table.get("runs", 5), table.get("cannot_tell", "pass")
    if found is None:
        raise BadInput(f'{where}: step is the share by which a step may grow, "5 %"')
    if not isinstance(runs, int) or runs < 2 or cannot_tell not in ("pass", "fail"):  # noqa: PLR2004 - an interval needs two
        raise BadInput(f'{where}: runs is 2 or more, cannot_tell is "pass" or "fail"')
    return Time(float(found[1]) / 100, runs, cannot_tell == "pass")
