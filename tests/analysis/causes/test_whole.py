"""What a run spends outside the step, by looks at the whole of it."""

import pytest

from stallscope.analysis.summary import summarize
from stallscope.traces.model.manifest import LineTime, LoaderSettings, RunPart, Settings, WholeRun
from tests.analysis.manifests import manifest
from tests.builders import TraceBuilder

SECOND = 1_000_000_000
SCRIPT = "/home/u/train.py"


def run(looks=100, python=(), **seconds):
    """A run of 100 steps, its parts by their seconds, each with one line."""
    parts = [RunPart(name=name.replace("_", " "), ns=s * SECOND, lines=[line(10 + s)]) for name, s in seconds.items()]
    whole = WholeRun(
        total_ns=sum(seconds.values()) * SECOND, looks=looks, looking_ns=0, parts=parts, python=list(python)
    )
    return manifest(whole_run=whole, command=["train.py"], steps_count=100)


def line(number, function="<module>"):
    """A line of the script."""
    return LineTime(file=SCRIPT, line=number, function=function, ns=SECOND)


def summary_of(told):
    """The summary of three steps of 1 ms on a CPU with that manifest."""
    builder = TraceBuilder(gpu=None)
    for start in (0, 1000, 2000):
        builder.step(start, 1000).op("aten::mm", start + 10, 100)
    return summarize(builder.trace(), told)


def test_evaluation_is_a_cause_with_its_line():
    """4 of 10 s: 40 % of the run, 40 ms for each of 100 steps."""
    summary = summary_of(run(training=6, evaluation=4))
    cause = summary.causes[0]
    assert (cause.name, cause.title) == ("periodic", "evaluation takes 40 % of the run")
    assert (cause.where, cause.cost_us) == (["train.py:14"], 40_000.0)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"training": 8, "writing": 2}, "writing files takes 20 % of the run"),
        ({"training": 8, "between_epochs": 2}, "what runs between the epochs takes 20 % of the run"),
        ({"training": 8, "start-up": 2}, None),
        ({"training": 19, "evaluation": 1}, None),  # 5 %
    ],
)
def test_what_is_large_and_can_be_helped(parts, said):
    """Writing from 5 %, others from 10 %; starting up is no cause."""
    titles = [cause.title for cause in summary_of(run(**parts)).causes if cause.name == "periodic"]
    assert titles == ([said] if said else [])


def test_a_few_looks_are_no_figure():
    """10 looks tell nothing: no cause, but the ledger stands in the header and the JSON."""
    summary = summary_of(run(looks=10, training=6, evaluation=4))
    assert not [cause for cause in summary.causes if cause.name == "periodic"]
    assert [(part.name, part.share) for part in summary.run.parts] == [("training", 0.6), ("evaluation", 0.4)]


def test_pythons_lines_are_named():
    """The lines that were run outside torch stand with the cause, function and all."""
    (cause,) = [c for c in summary_of(run(python=[line(8, "dice"), line(3)], training=6)).causes if c.name == "python"]
    assert cause.where == ["train.py:8 (dice)", "train.py:3"]
    assert "most of it at train.py:8 (dice)" in cause.evidence


@pytest.mark.parametrize(("workers", "said"), [(4, "has 4 workers for 2 cores already"), (1, "raise num_workers")])
def test_workers_that_are_as_many_as_cores_are_not_to_be_raised(workers, said):
    """What is set already is not advised; fewer workers than cores may be more."""
    builder = TraceBuilder(gpu=None)
    for start in (0, 1000, 2000):
        builder.step(start, 1000).dataloader(start, 600, workers=True)
    told = manifest(settings=Settings(loaders=[LoaderSettings(workers=workers, pinned=True, persistent=False)]))
    (cause,) = [each for each in summarize(builder.trace(), told).causes if each.name == "loader_workers_slow"]
    assert said in cause.advice
