"""What launching costs: call time, latency, kernels shorter than their launch, by operator.

*Call time* is the duration of a launch call, *launch latency* the start of its first device row less the start of the
call, *queue delay* the same less the end of the call. A kernel is *short* when it runs for less time than the call that
launched it took: the GPU is done before the host could launch the next one. Graph launches are told apart: they run
many kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.columns.rows import grouped
from stallscope.analysis.stages.where.launches import Launches
from stallscope.analysis.stages.where.operators import Operators
from stallscope.traces.model.fields import CallKind, Category
from stallscope.traces.model.trace import Bools, Ints, OptionalInts, Trace


@dataclass(frozen=True, slots=True)
class LaunchCosts:
    """The kernel and graph launches that start inside the window, k of them, ascending; ns."""

    rows: Ints  # (k,) event rows
    call_ns: Ints  # (k,)
    latency_ns: OptionalInts  # (k,) unknown where no work of the launch was recorded
    kernels: Ints  # (k,) that it ran
    kernel_ns: Ints  # (k,) sum of their durations
    is_graph: Bools  # (k,)
    operator: Ints  # (k,) event row of the innermost operator around it; -1: none

    @property
    def is_short(self) -> Bools:
        """Which launches ran a kernel shorter than the launch call, shape (k,)."""
        return ~self.is_graph & (self.kernels > 0) & (self.kernel_ns < self.call_ns)

    def of(self, chosen: Bools | Ints) -> LaunchCosts:
        """Some of them."""
        columns = self.kernels[chosen], self.kernel_ns[chosen], self.is_graph[chosen], self.operator[chosen]
        return LaunchCosts(self.rows[chosen], self.call_ns[chosen], self.latency_ns.of(chosen), *columns)

    def by_operator(self, trace: Trace) -> list[tuple[str | None, LaunchCosts]]:
        """The launches under each operator name (None: in no operator), most call time first."""
        names = np.where(self.operator >= 0, trace.events.name[self.operator], -1) if len(self.rows) else self.rows
        found = [(None if name < 0 else trace.strings[name], self.of(chosen)) for name, chosen in grouped(names)]
        return sorted(found, key=lambda each: (-int(each[1].call_ns.sum()), each[0] or ""))


def find_launch_costs(trace: Trace, launches: Launches, operators: Operators) -> LaunchCosts:
    """The cost of every launch of the window."""
    rows, count = launches.calls, len(launches.calls)
    place = np.minimum(np.searchsorted(rows, launches.work_call), max(count - 1, 0))
    caused = rows[place] == launches.work_call if count else np.zeros(len(place), dtype=np.bool_)
    is_kernel = caused & (trace.events.category[trace.work.row] == Category.KERNEL)
    kernels, kernel_ns = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    np.add.at(kernels, place[is_kernel], 1)
    np.add.at(kernel_ns, place[is_kernel], trace.events.dur_ns[trace.work.row[is_kernel]])
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, place[caused], trace.events.ts_ns[trace.work.row[caused]])
    known = first < np.iinfo(np.int64).max
    return LaunchCosts(
        rows=rows,
        call_ns=trace.events.dur_ns[rows],
        latency_ns=OptionalInts(np.where(known, first - trace.events.ts_ns[rows], 0), known),
        kernels=kernels,
        kernel_ns=kernel_ns,
        is_graph=trace.events.is_call(rows, CallKind.GRAPH_LAUNCH),
        operator=operators.parent[rows],
    )
