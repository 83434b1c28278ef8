"""Operators, kernels, modules and places in the words of the contract, per step."""

from __future__ import annotations

import numpy as np

from stallscope.analysis.contract import rows as contract_rows
from stallscope.analysis.contract.run import Attribution
from stallscope.analysis.stages.gpu.kernel_names import short_name
from stallscope.analysis.stages.issues import attributed_share
from stallscope.analysis.stages.stages import Stages
from stallscope.analysis.stages.where.modules import NO_MODULE, ModuleTotals
from stallscope.traces.vendors.kernels import kernel_kind


def fill_operators(stages: Stages) -> list[contract_rows.OperatorRow]:
    """One row an operator name."""
    measured, known = stages.measured, stages.launches.known
    return [
        contract_rows.OperatorRow(
            name=each.name,
            calls_per_step=stages.per_step(each.calls),
            host_us_per_step=stages.us(each.host_ns),
            host_self_us_per_step=stages.us(each.self_ns),
            device_us_per_step=stages.us(each.device_ns) if measured and stages.linking.usable else None,
            launches_per_step=stages.per_step(each.launches) if known else None,
            device_total_us_per_step=stages.us(each.device_total_ns) if measured else None,
            launches_total_per_step=stages.per_step(each.launches_total) if known else None,
        )
        for each in stages.operators.totals
    ]


def fill_kernels(stages: Stages) -> list[contract_rows.KernelRow] | None:
    """One row a kernel name; None where device rows are withheld."""
    if not stages.measured:
        return None
    return [
        contract_rows.KernelRow(
            name=each.name,
            count_per_step=stages.per_device_step(each.count),
            us_per_step=stages.device_us(each.ns),
            mean_us=each.mean_ns / 1000,
            short_name=short_name(each.name),
            family=kernel_kind(each.name).family,
            dtype=kernel_kind(each.name).type,
        )
        for each in stages.kernels
    ]


def fill_modules(stages: Stages) -> list[contract_rows.ModuleRow] | None:
    """The modules and, last, what belongs to none of them."""
    modules = stages.modules
    if not modules.known:
        return None
    none = ModuleTotals(
        name=NO_MODULE, device_forward_self_ns=modules.outside_device_ns, launches_self=modules.outside_launches
    )
    joined = stages.places.joined
    types = dict(zip(joined.module_names, joined.module_types, strict=True)) if joined else {}
    return [_module_row(stages, each, types) for each in (*modules.totals, none)]


def _module_row(stages: Stages, each: ModuleTotals, types: dict[str, str]) -> contract_rows.ModuleRow:
    def device(ns: int) -> float | None:
        return stages.us(ns) if stages.measured else None

    def launches(number: int) -> float | None:
        return stages.per_step(number) if stages.launches.known else None

    return contract_rows.ModuleRow(
        name=each.name,
        parent=each.parent,
        calls_per_step=stages.per_step(each.calls),
        host_us_per_step=stages.us(each.host_ns),
        host_self_us_per_step=stages.us(each.host_self_ns),
        device_forward_us_per_step=device(each.device_forward_ns),
        device_forward_self_us_per_step=device(each.device_forward_self_ns),
        device_backward_us_per_step=device(each.device_backward_ns),
        device_backward_self_us_per_step=device(each.device_backward_self_ns),
        launches_per_step=launches(each.launches_self),
        launches_total_per_step=launches(each.launches),
        type=types.get(each.name),
    )


def fill_call_sites(stages: Stages) -> list[contract_rows.CallSiteRow] | None:
    """The places of the program and, last, what belongs to none of them."""
    sites, measured, known = stages.call_sites, stages.measured, stages.launches.known
    if not sites.totals:
        return None
    joined = stages.places.joined
    callers: dict[str, list[str]] = {}
    for name in joined.site_names if joined else ():
        if name.callers and name.callers[0] not in callers.setdefault(name.line, []):
            callers[name.line].append(name.callers[0])
    return [
        contract_rows.CallSiteRow(
            call_site=each.name,
            is_call=each.site.exact if each.site else sites.are_calls and stages.places.joined is None,
            host_us_per_step=stages.us(each.host_ns),
            device_forward_us_per_step=stages.us(each.device_forward_ns) if measured else None,
            device_backward_us_per_step=stages.us(each.device_backward_ns) if measured else None,
            launches_per_step=stages.per_step(each.launches) if known else None,
            called=each.site.called if each.site else None,
            callers=callers.get(each.name, []),
        )
        for each in sites.totals
    ]


def fill_attribution(stages: Stages) -> Attribution | None:
    """What the join covers of the window; None where nothing was joined."""
    joined, waits = stages.places.joined, stages.syncs.blocking
    if joined is None:
        return None
    return Attribution(
        path=joined.path,
        steps=joined.steps,
        events_share=attributed_share(stages),
        waits_share=joined.share(waits[stages.window.holds(stages.trace.events.ts_ns[waits])]),
        launches_share=joined.share(np.sort(stages.launches.calls)),
    )
