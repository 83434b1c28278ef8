"""The ledger's sites put together by line of the script: a line's waits are one thing to whoever reads the script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stallscope.analysis.stages.sync import STALLS, Site
from stallscope.analysis.stages.where.site_names import SiteName

WAIT: Final = "wait"  # a line's waits for the device are one, whatever calls they are made of


@dataclass(frozen=True, slots=True)
class SitesOfLine:
    """The sites of one line, all waits or all of one other kind; or one site alone, where its line is not known."""

    sites: tuple[Site, ...]

    @property
    def most(self) -> Site:
        """The one that took most time: it speaks for the line."""
        return max(self.sites, key=lambda site: site.blocked_ns)

    @property
    def blocked_ns(self) -> int:
        """Time in all of the calls, inside the window."""
        return sum(site.blocked_ns for site in self.sites)

    @property
    def is_stall(self) -> bool:
        """Whether the host waited for the device here, on the script's behalf."""
        return self.most.kind in STALLS and not self.most.by_profiler

    @property
    def names(self) -> list[SiteName]:
        """What an attribution window told of the line; [] where none did."""
        return [site.place.site for site in self.sites if site.place.site is not None]


def by_line(sites: Sequence[Site]) -> list[SitesOfLine]:
    """Waits before other calls, most time first, the profiler's own last."""
    groups: dict[object, list[Site]] = {}
    for position, site in enumerate(sites):
        name = site.place.site
        key = position if name is None or site.by_profiler else (name.line, WAIT if site.kind in STALLS else site.kind)
        groups.setdefault(key, []).append(site)
    lines = [SitesOfLine(tuple(group)) for group in groups.values()]
    return sorted(lines, key=lambda line: (line.most.by_profiler, line.most.kind not in STALLS, -line.blocked_ns))
