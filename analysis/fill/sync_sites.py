"""The places that make the host wait, in the words of the contract: one row a line where lines are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import takewhile

import msgspec

from stallscope.analysis.contract import summary as contract
from stallscope.analysis.stages.sites_by_line import SitesOfLine, by_line
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.sync import Site
from stallscope.analysis.stages.where.joined import Joined
from stallscope.traces.model.manifest import IF_COPIED

WOULD = "would_synchronize"


def fill_sync_sites(stages: Stages) -> list[contract.SyncSite] | None:
    """The ledger. Without calls of a known device: the lines that would wait on one; None where no line is known."""
    if stages.launches.known:
        return [_row(stages, line) for line in by_line(stages.syncs.sites)]
    joined = stages.places.joined
    return None if joined is None else _would_wait(joined)


def _row(stages: Stages, line: SitesOfLine) -> contract.SyncSite:
    """One row of the sites of a line, or of one site."""
    most, names = line.most, line.names
    row = _of_site(stages, most)
    if not names:
        return row
    alike = [site for site in line.sites if (site.kind, site.api) == (most.kind, most.api)]
    idle = [site.idle_after_ns for site in line.sites if site.idle_after_ns is not None]
    name = most.place.site or names[0]
    apis = list(dict.fromkeys(site.api for site in line.sites))
    return msgspec.structs.replace(
        row,
        module=common_module(site.place.module for site in line.sites),
        calls_per_step=stages.per_step(sum(site.calls for site in alike)),
        blocked_us_per_step=stages.us(line.blocked_ns),
        idle_after_us_per_step=stages.us(sum(idle)) if idle and stages.measured else None,
        waited_us_per_step=stages.us(sum(site.waited_ns for site in line.sites)) if stages.measured else None,
        called=name.called,
        exact=name.exact,
        callers=list(dict.fromkeys(name.callers[0] for name in names if name.callers)),
        stack=[name.line, *name.callers],
        apis=apis if len(apis) > 1 else [],
    )


def _of_site(stages: Stages, site: Site) -> contract.SyncSite:
    measured, place = stages.measured, site.place
    idle_after = site.idle_after_ns if measured else None
    return contract.SyncSite(
        call_site="(the profiler's own)" if site.by_profiler else place.call_site,
        operator=place.operator,
        api=site.api,
        module=place.module,
        calls_per_step=stages.per_step(site.calls),
        blocked_us_per_step=stages.us(site.blocked_ns),
        idle_after_us_per_step=None if idle_after is None else stages.us(idle_after),
        kind=site.kind,
        by_profiler=site.by_profiler,
        chain=place.chain,
        function=place.function,
        thread=place.thread,
        waited_us_per_step=stages.us(site.waited_ns) if measured else None,
        own_cost_us=(site.blocked_ns - site.waited_ns) / site.calls / 1000 if measured and site.calls else None,
        waited_for=site.waited_for,
        lag_us=None if site.lag_ns is None else site.lag_ns / 1000,
        drained_share=site.drained_share,
    )


def _would_wait(joined: Joined) -> list[contract.SyncSite]:
    """The marked calls of a run without a GPU that would wait on one, each of a line apart, most calls first."""
    calls: dict[tuple[str, str], list[int]] = {}
    for number, name in enumerate(joined.site_names):
        if name.would_synchronize and joined.site_calls[number]:
            calls.setdefault((name.line, name.called), []).append(number)
    modules = joined.modules_of_sites()
    rows = [_would_row(joined, numbers, modules) for numbers in calls.values()]
    return sorted(rows, key=lambda row: (-row.calls_per_step, _by_line(row.call_site or "")))


def _by_line(place: str) -> tuple[str, int, str]:
    """The order of lines in their file: ``train.py:6`` before ``train.py:47``."""
    file, _, line = place.rpartition(":")
    return file, int(line) if line.isdigit() else 0, line


def _would_row(joined: Joined, numbers: list[int], modules: dict[int, set[str | None]]) -> contract.SyncSite:
    most = max(numbers, key=lambda number: (int(joined.site_calls[number]), -number))
    name = joined.site_names[most]
    callers = [joined.site_names[number].callers[:1] for number in numbers]
    return contract.SyncSite(
        call_site=name.line,
        operator=None,
        api=None,
        module=common_module(module for number in numbers for module in modules.get(number, {None})),
        calls_per_step=int(joined.site_calls[numbers].sum()) / joined.steps,
        blocked_us_per_step=0.0,
        idle_after_us_per_step=None,
        kind=WOULD,
        function=name.function,
        called=name.called,
        exact=name.exact,
        callers=list(dict.fromkeys(line for some in callers for line in some if line != name.line)),
        stack=[name.line, *name.callers],
        note=contract.WOULD_IF_COPIED if name.called in IF_COPIED else contract.WOULD_SYNCHRONIZE,
        seen_in_steps=int(joined.site_seen[numbers].any(axis=0).sum()),
    )


def common_module(modules: Iterable[str | None]) -> str | None:
    """The module that holds all of the given: ``encoder.layers`` of ``encoder.layers.0`` and ``encoder.layers.1``."""
    found = Counter(modules)
    if len(found) == 1:
        return next(iter(found))
    paths = [name.split(".") for name in found if name is not None]
    if len(paths) < len(found):  # some lie in no module
        return None
    equal = (parts[0] if len(set(parts)) == 1 else None for parts in zip(*paths, strict=False))
    shared = list(takewhile(lambda part: part is not None, equal))
    return ".".join(part for part in shared if part) or None
