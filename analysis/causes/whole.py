"""What a run spends outside the step, or on the script's own lines: told by looks at the whole run (``profile``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stallscope.analysis.causes.case import Case, Claim
from stallscope.analysis.stages.host.whole_run import find_whole_run
from stallscope.analysis.units import microseconds, percent

FEWEST: Final = 20  # looks, below which parts of a run are no figures
LARGE: Final = 0.1  # of the run, from which what lies outside the step is a cause
WRITING: Final = 0.05
TITLES: Final = {
    "evaluation": "evaluation takes {share} of the run",
    "writing": "writing files takes {share} of the run",
    "starting DataLoader workers": "starting DataLoader workers takes {share} of the run",
    "between epochs": "what runs between the epochs takes {share} of the run",
}
ADVICE: Final = {
    "evaluation": "Evaluate less often (every few epochs), on fewer batches, or with larger ones, under "
    "torch.inference_mode().",
    "writing": "Write less often, only when the result is better by more than noise; or hand a copy of the state to a "
    "thread that writes it while the training goes on.",
    "starting DataLoader workers": "DataLoader(..., persistent_workers=True) keeps them from epoch to epoch.",
    "between epochs": "Do it every few epochs, or in another process.",
}


def find(case: Case) -> Iterator[Claim]:
    """Evaluation, writing, workers that start, what runs between epochs: each by its lines."""
    run = find_whole_run(case.manifest)
    steps = 0 if case.manifest is None else case.manifest.steps.count
    if run is None or run.looks < FEWEST or not steps:
        return
    for part in run.parts:
        if part.name not in TITLES or part.share < (WRITING if part.name == "writing" else LARGE):
            continue
        us = part.seconds * 1e6 / steps
        yield case.claim(
            "periodic",
            TITLES[part.name].format(share=percent(part.share)),
            cost_us=us,
            saves_us=us,
            evidence=f"{microseconds(part.seconds * 1e6)} of {microseconds(run.seconds * 1e6)}, which is "
            f"{microseconds(us)} for each of the {steps} steps.",
            where=[each.line for each in part.lines],
            advice=ADVICE[part.name],
        )


def python_lines(case: Case) -> list[str]:
    """The script's lines that were being run outside torch during the training, longest first; [] where unknown."""
    run = find_whole_run(case.manifest)
    if run is None or run.looks < FEWEST:
        return []
    return [f"{each.line} ({each.function})" if each.function != "<module>" else each.line for each in run.python]
