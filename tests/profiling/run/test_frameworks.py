"""Lightning, Hugging Face Trainer and Accelerate train under us without an edit, and to the same bits.

They call modules and optimizers, so their steps are found as any others are. Tiny models made from a configuration,
nothing is fetched. The libraries are an optional group: ``pip install -e ".[frameworks]"``.
"""

from __future__ import annotations

import importlib.util
import statistics

import pytest

from tests.profiling.run.test_bit_equal import both_ways
from tests.scripts import processes, trainings
from tests.scripts.recorded import manifest, steps_in, timing_trace, window

LIBRARIES = {"with_lightning": "lightning", "with_trainer": "transformers", "with_accelerate": "accelerate"}
HERE = [name for name, library in LIBRARIES.items() if importlib.util.find_spec(library) is not None]

pytestmark = [pytest.mark.slow, pytest.mark.frameworks]
each_library = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name not in HERE, reason=f'{library} is not installed; pip install -e ".[frameworks]" to run this test'
            ),
        )
        for name, library in LIBRARIES.items()
    ],
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What is installed, each library in a process of its own without us, and in one with us."""
    folder = tmp_path_factory.mktemp("frameworks")
    return {name: both_ways(name, _made(folder / name), processes.python, processes.profiled) for name in HERE}


def _made(folder):
    folder.mkdir()
    return folder


@each_library
def test_the_same_bits(run, name):
    """Every line of stdout (losses, weights, random states), the exit code, the file of weights."""
    ended = run[name]
    assert (ended.ours.code, ended.ours.out) == (ended.plain.code, ended.plain.out) == (len(name), ended.plain.out)
    assert ended.plain.out.count("\n") >= 3
    assert ended.our_files == ended.plain_files
    assert f"{name}.weights" in ended.our_files


STEPS = {"with_lightning": 320, "with_trainer": 150, "with_accelerate": 192}
FETCHES = {"with_lightning": 1, "with_trainer": 2, "with_accelerate": 2}


@each_library
def test_steps_are_found(run, name):
    """One step for each optimizer step: accumulated batches and wrappers around optimizers count once."""
    found = manifest(run[name].folder / "ours" / "runs" / name)
    assert (found.steps.count, found.steps.source, found.steps.period) == (STEPS[name], "optimizer", 1)
    assert found.steps.optimizer_steps == STEPS[name]
    assert {each.name for each in found.findings} <= {"short_round", "script_failed"}  # it exits with its own code


@each_library
def test_a_recorded_step_is_one_iteration(run, name):
    """Each step of the short timing window holds one optimizer step, and the batches that it is made of.

    At an epoch's turn the libraries fetch one batch more or less, ahead of time; most steps hold what is usual.
    """
    folder = run[name].folder / "ours" / "runs" / name
    trace = timing_trace(folder, "short")
    steps = steps_in(trace)
    assert len(steps) == 5
    fetches = []
    for step in steps:
        inside = [e["name"] for e in trace if e.get("ph") == "X" and 0 <= e["ts"] - step["ts"] < step["dur"]]
        assert len([each for each in inside if each.startswith("Optimizer.step#")]) == 1
        fetches.append(len([each for each in inside if each.startswith("enumerate(DataLoader)")]))
    assert statistics.mode(fetches) == FETCHES[name]


@each_library
def test_evaluation_is_marked(run, name):
    """Steps of unprofiled windows that hold an evaluation are marked, and no others.

    Lightning evaluates after every 40th step, the Trainer after every 30th, Accelerate's loop never. Without forward
    hooks a step's time goes from optimizer step to optimizer step: the evaluation lies at the beginning of the next.
    """
    found = manifest(run[name].folder / "ours" / "runs" / name)
    every = {"with_lightning": 40, "with_trainer": 30, "with_accelerate": 10**9}[name]
    for each in filter(None, [window(found, "unprofiled", "short"), window(found, "unprofiled", "full")]):
        assert not each.forward_hooks
        steps = range(each.first_step, each.first_step + each.steps)
        assert each.evaluation_steps == [place for place, step in enumerate(steps) if step % every == 0]


def test_there_is_a_training_for_each_library():
    """The list of libraries and the list of trainings are the same."""
    assert set(LIBRARIES) == set(trainings.FRAMEWORKS)
