"""The ledger in the words of the contract: waits, idle causes, launches and copies, per step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stallscope.analysis import contract
from stallscope.analysis.idle import CAUSES, IdleCauses
from stallscope.analysis.memcpy import CopyGroup
from stallscope.analysis.sync import Site

if TYPE_CHECKING:
    from stallscope.analysis.summary import Stages


def idle_causes(stages: Stages, devices: Sequence[IdleCauses]) -> contract.Idle:
    """Idle time by cause, mean over the given devices."""
    if not stages.measured:
        return contract.Idle()
    totals = {name: sum(getattr(each, name) for each in devices) for name in CAUSES}
    return contract.Idle(**{name: stages.us(ns / len(devices)) for name, ns in totals.items()})


def sync_sites(stages: Stages) -> list[contract.SyncSite] | None:
    """The ledger; None where no known call was recorded."""
    if not stages.launches.known:
        return None
    return [_sync_site(stages, site) for site in stages.syncs.sites]


def _sync_site(stages: Stages, site: Site) -> contract.SyncSite:
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


def memcpy(stages: Stages) -> list[contract.MemcpyRow] | None:
    """The copies; None where device rows are withheld."""
    if not stages.measured:
        return None
    return [_memcpy_row(stages, group) for group in stages.copies.groups]


def _memcpy_row(stages: Stages, group: CopyGroup) -> contract.MemcpyRow:
    return contract.MemcpyRow(
        direction=group.direction,
        memory=group.memory,
        count_per_step=stages.per_step(group.count),
        bytes_per_step=None if group.bytes is None else stages.per_step(group.bytes),
        us_per_step=stages.us(group.ns),
        gb_per_s=group.timed_bytes / group.timed_ns if group.timed_ns else None,
        blocking=group.blocking,
    )
