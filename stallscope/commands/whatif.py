"""What `stallscope whatif` prints: the forecasts of traces, the table of constants, or how right forecasts were."""

from __future__ import annotations

from pathlib import Path

from stallscope import lean

lean.import_numpy()

# ruff: noqa: E402, PLC0415 - numpy first; renderers only where they are asked for

from stallscope import api
from stallscope.analysis.fixes.names import Wanted, parse
from stallscope.output import emit, must_be_free, style_of
from stallscope.traces.model.errors import BadInput
from stallscope.traces.text.limits import Limits


def print_forecasts(
    paths: list[Path], limits: Limits, *, fixes: list[str], form: str, output: Path | None, force: bool
) -> int:
    """Print the forecasts for each worker at each path; the exit code."""
    wanted = wanted_fixes(fixes)
    if output is not None:
        must_be_free(output, force=force)
    summaries = [run.summary for path in paths for run in api.load(path, limits, fixes=wanted)]
    from stallscope.analysis.report import whatif_text

    if form == "json":
        import msgspec

        from stallscope.analysis.fill.forecasts import forecasts_of
        from stallscope.analysis.report.as_json import document

        plain = [msgspec.to_builtins(forecasts_of(each)) for each in summaries]
        emit(document(plain, "stallscope.whatifs/1", "forecasts"), output, force=force)
    elif form == "markdown":
        emit("\n".join(whatif_text.markdown(each) for each in summaries), output, force=force)
    else:
        style = style_of(output)
        emit("\n".join(whatif_text.render(each, style) for each in summaries), output, force=force)
    return 0


def wanted_fixes(fixes: list[str]) -> tuple[Wanted, ...] | None:
    """The fixes asked for with ``--fix``; None: all.

    Raises:
        BadInput: there is no fix of that name, or its number is none it takes.
    """
    try:
        return tuple(parse(each) for each in fixes) or None
    except ValueError as error:
        raise BadInput(f"--fix {error}") from None


def print_constants(*, form: str, output: Path | None, force: bool) -> int:
    """Print the constants that no trace holds, with their sources and marks; the exit code."""
    from stallscope.analysis.report import whatif_text

    if form == "json":
        import msgspec

        from stallscope.analysis.fixes.constants import TABLE
        from stallscope.analysis.report.as_json import document

        rows = [msgspec.to_builtins(each) for each in TABLE]
        emit(document([{"schema": "stallscope.constants/1", "constants": rows}], "", ""), output, force=force)
    else:
        emit(whatif_text.render_constants(style_of(output)), output, force=force)
    return 0


def print_scores(paths: list[Path], limits: Limits, *, form: str, output: Path | None, force: bool) -> int:
    """Print, for each pair of runs that differ by one known change, its forecast beside what was measured."""
    from stallscope.analysis.compare.score_runs import score_runs
    from stallscope.analysis.report import whatif_text

    if output is not None:
        must_be_free(output, force=force)
    scores = score_runs(api.load_all(paths, limits))
    if form == "json":
        import msgspec

        from stallscope.analysis.report.as_json import document

        emit(document([msgspec.to_builtins(scores)], "", ""), output, force=force)
    else:
        emit(whatif_text.render_scores(scores, style_of(output)), output, force=force)
    return 0
