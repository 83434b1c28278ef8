"""How well the rows of one file hang together: device row ↔ call ↔ operator, measured rather than assumed.

Device work is joined to its call by correlation, a call to its operator by time on its thread. ``External id`` is a
third way, and in some files a wrong one: until the autumn of 2024 Kineto gave rows without a link an id of their own,
which names another operator by chance. So it counts only where this file proves it: nearly all calls whose id is
that of an operator must lie inside that operator. Flows are counted and never followed: most calls end one that
nothing began.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from stallscope.traces.describe.details import Details, Rows
from stallscope.traces.model import fields
from stallscope.traces.model.fields import CALLS, COPIES, DEVICE_WORK, LAUNCHES, CallKind, Category
from stallscope.traces.model.trace import ROUNDING_NS, Bools, Ints
from stallscope.traces.text.values import NO_ID
from stallscope.traces.vendors.calls import call_kind

PROVED: Final = 0.99  # of the calls whose id names an operator must lie in it
_WORKING: Final = (*LAUNCHES, *COPIES, CallKind.MEMSET)

Group = NDArray[np.integer[Any]]
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
    rows = details.rows
    kinds = [fields.CATEGORIES.get(name) for name in rows.categories]
    calls = _rows_of(rows, [kind in CALLS for kind in kinds])
    work = _rows_of(rows, [kind in DEVICE_WORK for kind in kinds])
    operators = _rows_of(rows, [kind == Category.CPU_OP for kind in kinds])
    ranges = _rows_of(rows, [kind in (Category.CPU_OP, Category.ANNOTATION) for kind in kinds])
    named, enclosing = _external_ids(rows, calls, ranges)
    external = rows.external[calls]
    return Links(
        device_rows_with_call=_correlated(rows, work, calls),
        working_calls_with_device_rows=_correlated(rows, _working(rows, calls), work),
        calls_in_operators=_inside(rows, calls, operators),
        ids_naming_operators=Share(named, int((external != NO_ID).sum())),
        ids_enclosing=Share(enclosing, named),
        ids_own=int(((external != NO_ID) & (external == rows.correlation[calls])).sum()),
        external_ids=_proof(named, enclosing),
        forward_backward_starts=details.flows["fwdbwd", "s"],
        forward_backward_ends=details.flows["fwdbwd", "f"],
    )


def _rows_of(rows: Rows, wanted: list[bool]) -> Ints:
    """The rows of the categories that are ``wanted``."""
    return np.flatnonzero(np.array(wanted, np.bool_)[rows.category])


def _working(rows: Rows, calls: Ints) -> Ints:
    """Those of ``calls`` that launch, copy or set memory."""
    works = np.zeros(len(rows.names), np.bool_)
    for name in np.unique(rows.name[calls]).tolist():
        works[name] = call_kind(rows.names[name]) in _WORKING
    return calls[works[rows.name[calls]]]


def _correlated(rows: Rows, chosen: Ints, others: Ints) -> Share:
    """How many of the rows ``chosen`` carry a correlation that one of ``others`` carries."""
    known = rows.correlation[others]
    found = np.isin(rows.correlation[chosen], known[known != NO_ID])
    return Share(int(found.sum()), len(chosen))


def _inside(rows: Rows, calls: Ints, operators: Ints) -> Share:
    """How many of ``calls`` start while an operator of their thread is open."""
    found = _covered(rows, operators, rows.thread[operators], calls, rows.thread[calls], rows.start[calls] + 1)
    return Share(int(found.sum()), len(calls))


def _external_ids(rows: Rows, calls: Ints, operators: Ints) -> tuple[int, int]:
    """(calls whose external id an operator carries, those of them that lie inside it, on its thread)."""
    calls = calls[rows.external[calls] != NO_ID]
    operators = operators[rows.external[operators] != NO_ID]
    told = calls[np.isin(rows.external[calls], rows.external[operators])]
    groups = _numbered(rows, np.concatenate((operators, told)))
    group, asked = groups[: len(operators)], groups[len(operators) :]
    found = _covered(rows, operators, group, told, asked, rows.end[told] - ROUNDING_NS)
    return len(told), int(found.sum())


def _numbered(rows: Rows, chosen: Ints) -> Group:
    """A number for each pair of external id and thread of the rows ``chosen``, from 0 without gaps."""
    external, thread = (np.unique(column[chosen], return_inverse=True)[1] for column in (rows.external, rows.thread))
    pairs: Group = np.unique(external * (len(rows.thread) + 1) + thread, return_inverse=True)[1]
    return pairs


def _covered(rows: Rows, ranges: Ints, group: Group, calls: Ints, asked: Group, until: Ints) -> Bools:
    """Which ``calls`` start while a range of their group is open that ends at ``until`` or later.

    ``group`` is that of each of ``ranges``, ``asked`` that of each call. Of the ranges of a group that have begun, the
    one that ends last decides.
    """
    if not len(ranges):
        return np.zeros(len(calls), np.bool_)
    moments = np.unique(rows.start[ranges])
    begun = np.searchsorted(moments, rows.start[calls], side="right")  # 1: at the first moment, or just after it
    order = np.lexsort((rows.start[ranges], group))
    group = group[order].astype(np.int64)
    keys = group * (len(moments) + 1) + np.searchsorted(moments, rows.start[ranges[order]]) + 1
    place = np.searchsorted(keys, asked.astype(np.int64) * (len(moments) + 1) + begun, side="right") - 1
    ends, rank = np.unique(rows.end[ranges[order]], return_inverse=True)
    latest = ends[np.maximum.accumulate(group * len(ends) + rank) - group * len(ends)]
    found: Bools = (place >= 0) & (group[place] == asked) & (latest[place] >= until)
    return found


def _proof(named: int, enclosing: int) -> Proof:
    if not named:
        return "absent"
    return "proved" if enclosing >= PROVED * named else "misleading"
