"""The table of ``whatif --score``: each forecast beside what came."""

from __future__ import annotations

from stallscope.analysis.contract.whatif import ScoredPair, Scores
from stallscope.analysis.report.table import Row, Table
from stallscope.analysis.units import microseconds

NO_PAIR = "No pair of runs here differs by one change that a forecast is made for."


def scores_table(scores: Scores) -> Table | None:
    """A row a pair; None where there is no pair, which ``NO_PAIR`` says."""
    headers: Row = ("change", "forecast", "measured", "error", "inside")
    rows = [_score_row(pair) for pair in scores.pairs]
    return Table("Forecasts and what came", _scored(scores), headers, rows) if rows else None


def _score_row(pair: ScoredPair) -> Row:
    score, name = pair.score, f"{pair.score.fix}: {pair.baseline} → {pair.candidate}"
    measured = microseconds(score.measured_us)
    if score.predicted_us is None:
        return (name, "-", measured, "-", "-")
    error = "-" if score.error_percent is None else f"{score.error_percent:+.1f} %"
    return (name, microseconds(score.predicted_us.expected), measured, error, "yes" if score.inside else "no")


def _scored(scores: Scores) -> str:
    if scores.median_error_percent is None:
        return ""
    return (
        f"Error: median {scores.median_error_percent:.1f} %, 90th percentile {scores.p90_error_percent:.1f} %; "
        f"{100 * (scores.inside_share or 0.0):.0f} % inside their interval (80 % is what it is made for)."
    )
