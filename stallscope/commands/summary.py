"""What `stallscope summary` prints: the summaries of paths, or the health of their files, in one format."""

from __future__ import annotations

from pathlib import Path

from stallscope import lean

lean.import_numpy()

# ruff: noqa: E402, PLC0415 - numpy first; renderers only where they are asked for

from stallscope import api
from stallscope.analysis.contract.summary import Summary
from stallscope.outcome import DEGRADED
from stallscope.output import emit, must_be_free, style_of
from stallscope.traces.text.limits import Limits


def print_summaries(
    paths: list[Path],
    limits: Limits,
    *,
    form: str,
    output: Path | None,
    force: bool,
    strict: bool,
    peers: bool,
    rank: int | None = None,
) -> int:
    """Print the summary of each path (of several ranks the first one's, or that of ``rank``); the exit code."""
    if output is not None:
        must_be_free(output, force=force)
    summaries = [run.summary for path in paths for run in api.load_rank(path, limits, rank=rank, peers=peers)]
    emit(_rendered(summaries, form, output, peers=peers), output, force=force)
    return DEGRADED if strict and any(each.health.grade != "ok" for each in summaries) else 0


def _rendered(summaries: list[Summary], form: str, output: Path | None, *, peers: bool) -> str | bytes:
    if form == "json":
        from stallscope.analysis.report import as_json

        return as_json.to_json(summaries)
    if form == "markdown":
        from stallscope.analysis.report import markdown

        return "\n".join(markdown.render(each) for each in summaries)
    from stallscope.analysis.report import text

    style = style_of(output)
    pages = [text.render(each, style) for each in summaries]
    if peers:
        from stallscope.analysis.report import peers_text

        pages = [page + "\n" + peers_text.render(each, style) for page, each in zip(pages, summaries, strict=True)]
    return "\n".join(pages)


def print_health(
    paths: list[Path], limits: Limits, *, form: str, output: Path | None, force: bool, strict: bool
) -> int:
    """Print what each file is and how far to trust it, instead of where its time goes; the exit code."""
    from stallscope.analysis.report import health_text

    if output is not None:
        must_be_free(output, force=force)
    reports = [report for path in paths for report in api.health(path, limits)]
    if form == "json":
        emit(health_text.to_json(reports), output, force=force)
    elif form == "markdown":
        emit("\n".join(health_text.markdown(each) for each in reports), output, force=force)
    else:
        emit("\n".join(health_text.render(each, style_of(output)) for each in reports), output, force=force)
    return DEGRADED if strict and any(each.grade != "ok" for each in reports) else 0
