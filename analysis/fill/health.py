"""What a trace file is and how far it can be trusted, as values: the contract ``stallscope.health/1``.

Times in µs from the file's own zero. ``None`` is unknown. What each figure measures is said in ``links.py``,
``dialect.py`` and ``validate.py`` of ``traces/describe``.
"""

from __future__ import annotations

import msgspec
import numpy as np

from stallscope.analysis.contract.run import Attribution
from stallscope.analysis.fill.places import fill_attribution
from stallscope.analysis.fill.run import fill_trace_info
from stallscope.analysis.stages.issues import find_issues
from stallscope.analysis.stages.stages import Stages
from stallscope.traces.describe.details import Details
from stallscope.traces.describe.dialect import find_dialect
from stallscope.traces.describe.links import Links, Share, find_links
from stallscope.traces.describe.validate import validate
from stallscope.traces.model.fields import Category
from stallscope.traces.model.issues import TraceIssue, grade
from stallscope.traces.model.trace import Trace

HEALTH_SCHEMA = "stallscope.health/1"
VALIDATOR = "rules of torch.profiler._trace_validator (torch 2.13), counted by Stallscope"


class FileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the file is, told by its features."""

    writer: str
    years: str  # whose spelling of names it has
    times: str
    features: list[str]
    vendor: str
    devices: list[str]
    rank: int | None
    world_size: int | None
    recorded: list[str]  # of record_shapes, with_stack, with_modules, with_flops, profile_memory
    events: int  # entries of any kind


class CategoryCover(msgspec.Struct, frozen=True, kw_only=True):
    """Complete events of one category, or of one spelling that is not known."""

    name: str
    known: bool
    count: int
    first_us: float | None  # start of the first; None: not kept
    last_us: float | None  # end of the last


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What the file covers."""

    span_us: float
    steps: int | None  # None: none are marked
    categories: list[CategoryCover]


class HealthIssue(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of defect."""

    name: str
    severity: str
    count: int
    share: float | None  # of events or time, as the advice says
    advice: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """So many of so many; the share is None of nothing."""

    count: int
    of: int
    share: float | None


class LinkQuality(msgspec.Struct, frozen=True, kw_only=True):
    """How well device rows, calls and operators hang together."""

    device_rows_with_call: Part
    working_calls_with_device_rows: Part
    calls_in_operators: Part
    ids_naming_operators: Part
    ids_enclosing: Part
    external_ids: str  # "proved" | "misleading" | "absent"
    forward_backward_flows: Part  # ends, of starts


class RuleCount(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of torch's validator."""

    name: str
    meaning: str
    violations: int


class Validator(msgspec.Struct, frozen=True, kw_only=True):
    """All of them."""

    source: str
    passed: bool
    rules: list[RuleCount]


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `stallscope summary --health TRACE --format json` prints."""

    schema: str = HEALTH_SCHEMA
    path: str
    grade: str  # as in the summary
    file: FileInfo
    coverage: Coverage
    issues: list[HealthIssue]
    links: LinkQuality
    validator: Validator
    attribution: Attribution | None = None  # None: no attribution trace was joined


def fill_health(stages: Stages, details: Details) -> HealthReport:
    """The health of one trace: analysed, and read again for its ``details``. Nothing is replayed for it."""
    trace, issues, info = stages.trace, find_issues(stages), fill_trace_info(stages.trace)
    dialect = find_dialect(trace, details)
    rules = [RuleCount(name=r.name, meaning=r.meaning, violations=r.violations) for r in validate(details.rows)]
    return HealthReport(
        path=trace.path,
        grade=grade(issues),
        file=FileInfo(
            writer=dialect.writer,
            years=dialect.years,
            times=dialect.times,
            features=list(dialect.features),
            vendor=trace.vendor,
            devices=info.devices,
            rank=trace.rank,
            world_size=trace.world_size,
            recorded=sorted(trace.recorded),
            events=trace.event_count,
        ),
        coverage=_coverage(stages, info.span_us),
        issues=_issues(issues),
        links=_links(find_links(details)),
        validator=Validator(source=VALIDATOR, passed=not any(r.violations for r in rules), rules=rules),
        attribution=fill_attribution(stages),
    )


def _coverage(stages: Stages, span_us: float) -> Coverage:
    trace, window = stages.trace, stages.window
    known = [_cover(trace, category) for category in Category]
    unknown = [
        CategoryCover(name=name, known=False, count=count, first_us=None, last_us=None)
        for name, count in trace.unknown_categories.items()
    ]
    return Coverage(
        span_us=span_us,
        steps=window.count if window.source != "whole_trace" else None,
        categories=[each for each in known if each.count] + unknown,
    )


def _cover(trace: Trace, category: Category) -> CategoryCover:
    rows = trace.events.rows(category)
    first = int(trace.events.ts_ns[rows].min()) if len(rows) else None
    last = int(np.max(trace.events.ts_ns[rows] + trace.events.dur_ns[rows])) if len(rows) else None
    return CategoryCover(
        name=category.name.lower(),
        known=True,
        count=len(rows),
        first_us=None if first is None else first / 1000,
        last_us=None if last is None else last / 1000,
    )


def _issues(issues: list[TraceIssue]) -> list[HealthIssue]:
    return [
        HealthIssue(name=i.name, severity=str(i.severity), count=i.count, share=i.share, advice=i.advice)
        for i in issues
    ]


def _links(links: Links) -> LinkQuality:
    ends = Share(links.forward_backward_ends, links.forward_backward_starts)
    return LinkQuality(
        device_rows_with_call=_part(links.device_rows_with_call),
        working_calls_with_device_rows=_part(links.working_calls_with_device_rows),
        calls_in_operators=_part(links.calls_in_operators),
        ids_naming_operators=_part(links.ids_naming_operators),
        ids_enclosing=_part(links.ids_enclosing),
        external_ids=links.external_ids,
        forward_backward_flows=_part(ends),
    )


def _part(share: Share) -> Part:
    return Part(count=share.count, of=share.of, share=share.share)
