"""How well the rows of one file hang together: device row ↔ call ↔ operator, measured rather than assumed.

Device work is joined to its call by correlation, a call to its operator by time on its thread. ``External id`` is a
third way, and in some files a wrong one: until the autumn of 2024 Kineto gave rows without a link an id of their own,
which names another operator by chance. So it counts only where this file proves it: nearly all calls whose id is
that of an operator must lie inside that operator. Flows are counted and never followed: most calls end one that
nothing began.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from stallscope.traces.describe.details import Details, Row
from stallscope.traces.model import fields
from stallscope.traces.model.fields import CALLS, COPIES, DEVICE_WORK, LAUNCHES, CallKind, Category
from stallscope.traces.model.trace import ROUNDING_NS
from stallscope.traces.vendors.calls import call_kind

PROVED: Final = 0.99  # of the calls whose id names an operator must lie in it
_WORKING: Final = (*LAUNCHES, *COPIES, CallKind.MEMSET)

Proof = Literal["proved", "misleading", "absent"]


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    count: int
    of: int

    @property
    def share(self) -> float | None:
        """The same as a part, 0 to 1; None: of nothing."""
        return self.count / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Links:
    """The links of one file."""

    device_rows_with_call: Share  # kernels, copies and memsets whose correlation is that of a call
    working_calls_with_device_rows: Share  # launches, copies and memset calls whose correlation is on a device row
    calls_in_operators: Share  # runtime and driver calls that start inside an operator of their thread
    ids_naming_operators: Share  # calls with an external id that some operator carries, of those with an id
    ids_enclosing: Share  # of these: the call lies inside that operator, on its thread
    ids_own: int  # calls whose external id is just their own correlation
    external_ids: Proof
    forward_backward_starts: int  # flows of category fwdbwd
    forward_backward_ends: int


def find_links(details: Details) -> Links:
    """Measure the links of a file."""
    calls = [row for row in details.rows if _kind(row) in CALLS]
    work = [row for row in details.rows if _kind(row) in DEVICE_WORK]
    operators = [row for row in details.rows if _kind(row) in (Category.CPU_OP, Category.ANNOTATION)]
    kinds = {name: call_kind(name) for name in {row.name for row in calls}}
    working = [row for row in calls if kinds[row.name] in _WORKING]
    named, enclosing = _external_ids(calls, operators)
    return Links(
        device_rows_with_call=_correlated(work, calls),
        working_calls_with_device_rows=_correlated(working, work),
        calls_in_operators=_inside(calls, [row for row in operators if _kind(row) == Category.CPU_OP]),
        ids_naming_operators=Share(named, sum(row.external is not None for row in calls)),
        ids_enclosing=Share(enclosing, named),
        ids_own=sum(row.external is not None and row.external == row.correlation for row in calls),
        external_ids=_proof(named, enclosing),
        forward_backward_starts=details.flows["fwdbwd", "s"],
        forward_backward_ends=details.flows["fwdbwd", "f"],
    )


def _kind(row: Row) -> Category | None:
    return fields.CATEGORIES.get(row.category)


def _correlated(rows: Iterable[Row], others: Iterable[Row]) -> Share:
    """How many of ``rows`` carry a correlation that one of ``others`` carries."""
    known = {row.correlation for row in others if row.correlation is not None}
    found = [row.correlation in known for row in rows]
    return Share(sum(found), len(found))


def _inside(calls: Iterable[Row], operators: Iterable[Row]) -> Share:
    """How many of ``calls`` start while an operator of their thread is open."""
    by_thread: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in operators:
        by_thread.setdefault(row.thread, []).append((row.start, row.end))
    starts, reach = {}, {}
    for thread, ranges in by_thread.items():
        ranges.sort()
        starts[thread] = [start for start, _ in ranges]
        reach[thread] = list(accumulate((end for _, end in ranges), max))  # the latest end so far
    found = []
    for row in calls:
        place = bisect_right(starts.get(row.thread, ()), row.start) - 1
        found.append(place >= 0 and reach[row.thread][place] > row.start)
    return Share(sum(found), len(found))


def _external_ids(calls: Iterable[Row], operators: Iterable[Row]) -> tuple[int, int]:
    """(calls whose external id an operator carries, those of them that lie inside it)."""
    named: dict[int, list[Row]] = {}
    for row in operators:
        if row.external is not None:
            named.setdefault(row.external, []).append(row)
    told = [(row, named[row.external]) for row in calls if row.external in named]
    return len(told), sum(any(_encloses(operator, row) for operator in candidates) for row, candidates in told)


def _encloses(operator: Row, call: Row) -> bool:
    inside = operator.start <= call.start and call.end <= operator.end + ROUNDING_NS
    return operator.thread == call.thread and inside


def _proof(named: int, enclosing: int) -> Proof:
    if not named:
        return "absent"
    return "proved" if enclosing >= PROVED * named else "misleading"
