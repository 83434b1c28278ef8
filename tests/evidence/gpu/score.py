"""The forecasts beside the evidence: how far off they are by fix, with the constants as they are and as fitted.

    python -m tests.evidence.gpu.score RESULTS [--json FILE]

RESULTS is the folder with evidence.json and the tar files of ``tests.evidence.gpu.evidence``. Each pair's fix is
forecast from the trace of its baseline and the baseline's unprofiled time, as `stallscope whatif` does; nothing of
what was measured after the fix enters.

What is fitted on, and what is held out. The constants are fitted on the Iris network (E1, E3) and on the small MLP
trained with Adam (E2) only. Held out, and thus the test of them, is all that may differ in kind: the MLP from 64 to
8192 wide (E4, where the limit goes from the host to the GPU), reads after each layer (E4b), copies (E5), loader workers
(E6), two streams (E7). The constants of copies and loaders are therefore never fitted here: their errors are those of
the published figures. Which is which stands in each experiment (``held_out``).

Pairs with doubts (a drift beyond 3 %, repeats that are missing, a quick part) are named and left out; ``--all`` takes
them, which shows only that the program works.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from stallscope.analysis.contract.forecast import StepRange, WhatIf
from stallscope.analysis.fixes.names import Wanted
from stallscope.analysis.fixes.subject import Subject
from stallscope.analysis.forecast import forecasting
from stallscope.analysis.forecast.asked import Asked
from stallscope.analysis.forecast.whatif import Forecast, forecast
from stallscope.analysis.replay.trust import Trust
from stallscope.analysis.stages.step_times import StepTimes
from stallscope.analysis.summary import summarize
from stallscope.traces.model.manifest import Machine, Manifest, Steps, Window
from stallscope.traces.read.read import read
from tests.evidence.gpu.fitting import Fitted, Target, Values, fit, using
from tests.evidence.gpu.pairs import Evidence, Pair, Variant, load
from tests.evidence.simulator.evaluate import HEADER, Scored, line, percent

SCHEMA = "stallscope.evidence-score/1"
FITTED, HELD_OUT = "fitted on", "held out"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a forecast starts from; ``why`` says why there can be none."""

    start: tuple[Subject, StepTimes, Trust] | None
    why: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair whose change is a fix, and what its forecast starts from."""

    pair: Pair
    wanted: Wanted
    baseline: Baseline

    def row(self) -> WhatIf | None:
        """The forecast, with the constants as they are now."""
        if self.baseline.start is None:
            return None
        (row,) = forecast(*self.baseline.start, (self.wanted,)).what_if or ()
        return row

    def expected_us(self) -> float | None:
        """The step it expects, µs."""
        step = self._range(self.row())
        return None if step is None else step.expected

    def scored(self) -> Scored:
        """The forecast beside what was measured."""
        row, pair = self.row(), self.pair
        step = self._range(row)
        return Scored(
            name=f"{pair.experiment} {pair.after}",
            fix=self.wanted.fix,
            choice=int(pair.number or 0),
            regime=HELD_OUT if pair.held_out else FITTED,
            before=pair.before_us,
            after=pair.after_us,
            low=None if step is None else step.low,
            expected=None if step is None else step.expected,
            high=None if step is None else step.high,
            why="" if step else (self.baseline.why if row is None else row.why),
        )

    @staticmethod
    def _range(row: WhatIf | None) -> StepRange | None:
        return row.step_us if row is not None and row.applies else None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is said."""

    machine: Machine | None
    doubtful: list[Pair]
    without_fix: list[Pair]  # measured, but no forecast speaks of the change
    fitted: list[Fitted]
    before: list[Scored]  # with the constants as they are
    after: list[Scored]  # … as fitted


def report(folder: Path, *, doubtful_too: bool = False) -> Report:
    """Forecast every pair of a folder of results, fit the constants, forecast again.

    Raises:
        ValueError: there is no evidence; the sentence says what to do.
    """
    evidence = load(folder / "evidence.json")
    sound = [pair for pair in evidence.pairs if doubtful_too or not pair.doubts]
    candidates = [each for each in found(evidence, sound, folder) if each.wanted.fix != "cpu"]  # that is measured
    targets = [Target(each.wanted.fix, each.expected_us, each.pair.after_us) for each in candidates if to_fit(each)]
    fitted = fit(targets)
    values: Values = {each.name: each.value for each in fitted if each.value is not None}
    before = [each.scored() for each in candidates]
    with using(values):
        after = [each.scored() for each in candidates]
    return Report(
        machine=evidence.parts[0].machine if evidence.parts else None,
        doubtful=[pair for pair in evidence.pairs if pair.doubts and not doubtful_too],
        without_fix=[pair for pair in sound if pair.fix in (None, "cpu")],
        fitted=fitted,
        before=before,
        after=after,
    )


def to_fit(candidate: Candidate) -> bool:
    """Whether constants may be fitted on this pair."""
    return not candidate.pair.held_out


# --- from the evidence to the forecasts -------------------------------------------------------------


def found(evidence: Evidence, pairs: Sequence[Pair], folder: Path) -> Iterator[Candidate]:
    """Every pair whose change is a fix; a baseline of several pairs is read once."""
    variants = {(e.name, v.key): v for e in evidence.experiments for v in e.variants}
    machines = {part.name: part.machine for part in evidence.parts}

    @functools.cache
    def baseline(experiment: str, key: str, part: str) -> Baseline:
        return started(variants[experiment, key], folder / f"{part}.tar", machines[part])

    for pair in pairs:
        if pair.fix is not None:
            yield Candidate(pair, Wanted(pair.fix, pair.number), baseline(pair.experiment, pair.before, pair.part))


def started(variant: Variant, archive: Path, machine: Machine) -> Baseline:
    """What forecasts of this variant's step start from: its timing trace, and its unprofiled time."""
    member = variant.traces.get("timing")
    if member is None:
        return Baseline(None, f"{variant.key} was not traced")
    kept: list[tuple[Subject, StepTimes, Trust]] = []

    def spy(subject: Subject, times: StepTimes, trust: Trust, fixes: Sequence[Wanted], *barred: Any) -> Forecast:
        kept.append((subject, times, trust))
        return forecast(subject, times, trust, fixes, *barred)

    with tempfile.TemporaryDirectory() as place, patch.object(forecasting, "forecast", spy):
        path = Path(place) / Path(member).name
        try:
            with tarfile.open(archive) as opened:
                path.write_bytes(opened.extractfile(member).read())  # type: ignore[union-attr] - it is a file
        except (OSError, KeyError, tarfile.TarError) as error:
            return Baseline(None, f"{archive.name}: {member} cannot be read ({error})")
        summary = summarize(read(path), manifest(variant, machine), asked=Asked(fixes=()))
    if not kept:
        return Baseline(None, "; ".join(summary.forecast.reasons) if summary.forecast else "no forecast")
    return Baseline(kept[0], "")


def manifest(variant: Variant, machine: Machine) -> Manifest:
    """What `stallscope profile` would have written beside the trace: the unprofiled steps."""
    steps = max(1, variant.steps * len(variant.us_per_step))
    window = Window(
        kind="unprofiled",
        round="full",
        first_step=0,
        steps=steps,
        duration_ns=round(1000 * steps * (variant.median_us_per_step or 0.0)),
        samples_ns=[],
    )
    return Manifest(
        stallscope="0", created="", command=["tests.evidence.gpu.train"], worker="evidence", pid=1, machine=machine,
        steps=Steps(count=steps, source="optimizer"), windows=[window], complete=True,
    )  # fmt: skip


# --- what is said -----------------------------------------------------------------------------------


def text(told: Report) -> str:
    """The report for a terminal."""
    gpus = ", ".join(gpu.name for gpu in told.machine.gpus) if told.machine else ""
    lines = [f"GPU: {gpus or 'none'}", ""]
    if told.doubtful:
        lines += [
            "Left out, for doubts:",
            *(f"  {p.experiment} {p.after}: {'; '.join(p.doubts)}" for p in told.doubtful),
        ]
        lines.append("")
    lines += ["Constants, fitted on Iris and the small MLP (E1, E2, E3):", *map(constant_line, told.fitted), ""]
    for title, scored in (("as they are", told.before), ("as fitted", told.after)):
        lines += [f"Forecasts with the constants {title}:", HEADER, *table(scored), ""]
    lines += ["Each pair, with the constants as fitted:", *map(pair_line, told.after), ""]
    lines += ["Measured, of which no forecast speaks:", *map(effect_line, told.without_fix)]
    return "\n".join(lines) + "\n"


def constant_line(fitted: Fitted) -> str:
    """One constant as it is and as fitted."""
    was = fitted.constant
    head = f"  {fitted.name:24s} {was.value:8.3g} ({was.low:g} to {was.high:g}) {was.unit:40s}"
    if fitted.value is None:
        return f"{head} not told by {fitted.pairs} pairs"
    return f"{head} -> {fitted.value:.3g}{'' if fitted.inside else ', outside its bounds'} ({fitted.pairs} pairs)"


def table(scored: Sequence[Scored]) -> list[str]:
    """Errors of what was held out and what was not, in all and by fix."""
    lines = []
    for regime in (HELD_OUT, FITTED):
        own = [one for one in scored if one.regime == regime]
        if own:
            lines.append(line(regime, own))
        lines += [line(f"  {fix}"[:22], [one for one in own if one.fix == fix]) for fix in sorted({o.fix for o in own})]
    return lines


def pair_line(one: Scored) -> str:
    """One pair: before, after, what was forecast."""
    head = f"  {one.name:26s} {one.fix:24s} {one.before:10.1f} -> {one.after:10.1f} us"
    if one.expected is None:
        return f"{head}  none: {one.why}"
    return f"{head}  forecast {one.expected:10.1f} ({one.low:.1f} to {one.high:.1f})  {percent(one.error)}"


def effect_line(pair: Pair) -> str:
    """A measured effect."""
    head = f"  {pair.experiment:10s} {pair.change:44s} {pair.before_us:10.1f} -> {pair.after_us:10.1f} us"
    return f"{head}  {-100 * pair.saving_share:+.1f} %"


def as_json(told: Report) -> dict[str, Any]:
    """The same as plain values."""

    def rows(scored: Sequence[Scored]) -> list[dict[str, Any]]:
        return [{**asdict(one), "error": one.error, "inside": one.inside} for one in scored]

    fitted = [
        {"name": f.name, "value": f.constant.value, "low": f.constant.low, "high": f.constant.high, "fitted": f.value,
         "pairs": f.pairs}
        for f in told.fitted
    ]  # fmt: skip
    return {"schema": SCHEMA, "constants": fitted, "as_they_are": rows(told.before), "as_fitted": rows(told.after)}


def main(arguments: Sequence[str] | None = None, echo: Callable[[str], object] = sys.stdout.write) -> int:
    """Print the report of a folder of results."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence.gpu.score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder with evidence.json and the tar files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write constants and errors to this file")
    parser.add_argument("--all", action="store_true", help="pairs with doubts too")
    options: Any = parser.parse_args(arguments)
    try:
        told = report(options.results, doubtful_too=options.all)
    except ValueError as error:
        parser.error(str(error))
    echo(text(told))
    if options.json:
        options.json.write_text(json.dumps(as_json(told), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
