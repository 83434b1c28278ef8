"""What an attribution trace says of a timing trace: the type that ``join.py`` makes and other stages read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stallscope.analysis.columns.ranges import Ranges
from stallscope.analysis.stages.where.site_names import SiteName
from stallscope.traces.model.trace import Bools, Ints, Trace


@dataclass(frozen=True, slots=True)
class Joined:
    """What the attribution trace says of the timing trace."""

    path: str  # of the attribution trace
    steps: int  # that it holds
    main: int  # thread of the timing trace that has the steps
    sites: Ranges  # labels: index into ``site_names``
    backward_sites: Ranges  # those of ``backward()`` alone
    modules: Ranges  # labels: index into ``module_names``
    functions: Ranges  # functions of the user's; labels: index into ``function_names``
    site_names: tuple[SiteName, ...]
    module_names: tuple[str, ...]
    module_types: tuple[str, ...]  # class of each
    function_names: tuple[str, ...]  # "helper (train.py:6)"
    site_in_steps: Ints  # (s, steps) marks of each site in each step there, those inside another of its line left out
    site_seen: Bools  # (s, steps) whether a site was marked in a step of the attribution window
    matched: Bools  # (n,) which events of the timing trace have a counterpart

    @property
    def site_calls(self) -> Ints:
        """Marks of each site in the whole attribution window, (s,)."""
        found: Ints = self.site_in_steps.sum(axis=1)
        return found

    def site_of(self, trace: Trace, rows: Ints) -> Ints:
        """Number of the call site around each event row, -1: none. What autograd's threads do is backward()'s."""
        found = _labels(self.sites, self.sites.at(trace, rows))
        missing = np.flatnonzero((found < 0) & (rows >= 0))
        elsewhere = missing[trace.events.thread[rows[missing]] != self.main]
        around = self.backward_sites.on_thread(trace, self.main, rows[elsewhere])
        found[elsewhere] = _labels(self.backward_sites, around)
        return found

    def modules_of_sites(self) -> dict[int, set[str | None]]:
        """The modules in which each site was called, by number."""
        around = self.modules.around(self.sites)
        found: dict[int, set[str | None]] = {}
        names = (*self.module_names, None)
        for number, label in zip(self.sites.labels.tolist(), _labels(self.modules, around).tolist(), strict=True):
            found.setdefault(number, set()).add(names[label])
        return found

    def share(self, rows: Ints) -> float | None:
        """Part of the event rows that have a counterpart; None of nothing."""
        return float(self.matched[rows].mean()) if len(rows) else None


def _labels(ranges: Ranges, positions: Ints) -> Ints:
    return np.where(positions >= 0, np.append(ranges.labels, -1)[positions], -1)
