"""The traces of one run that cannot be of one job: a rank told twice, or world sizes that differ. None is merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from stallscope.analysis.contract.summary import Health, IssueInfo, Summary
from stallscope.traces.model.issues import Severity


def with_conflicts(summaries: Sequence[Summary]) -> list[Summary]:
    """The summaries, each that is in conflict with another one saying so among its issues."""
    ranks = Counter(each.trace.rank for each in summaries)
    sizes = {size for each in summaries if (size := each.trace.world_size) is not None}
    return [_marked(each, _conflict(each, ranks, sizes)) for each in summaries]


def _conflict(summary: Summary, ranks: Counter[int | None], sizes: set[int]) -> str | None:
    rank = summary.trace.rank
    if rank is None:
        return None
    if ranks[rank] > 1:
        return f"{ranks[rank]} traces of this run say that they are rank {rank}"
    if len(sizes) > 1:
        return f"the traces of this run tell different world sizes ({', '.join(map(str, sorted(sizes)))})"
    return None


def _marked(summary: Summary, conflict: str | None) -> Summary:
    if conflict is None:
        return summary
    advice = f"These are not of one job: {conflict}. Each was analysed by itself; give each job a folder of its own."
    issue = IssueInfo(name="rank_conflict", severity=str(Severity.DATA_LOSS), count=1, advice=advice)
    health = summary.health
    grade = "degraded" if health.grade == "ok" else health.grade
    marked = Health(grade=grade, issues=[*health.issues, issue], unexplained_share=health.unexplained_share)
    return msgspec.structs.replace(summary, health=marked)
