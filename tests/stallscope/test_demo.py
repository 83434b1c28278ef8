"""`stallscope demo`: the variants in turn, into folders that the other commands take, measured and explained."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from stallscope.demo import demo, page, plot, running
from stallscope.demo.catalog import WORKLOADS
from stallscope.demo.results import load
from stallscope.traces.model.errors import BadInput, StallscopeError
from stallscope.traces.runs.runs import find_runs
from tests.simulated_iris import SAMPLE

FIGURES = {"us_per_epoch": 365.0, "epochs": 1000, "item_us": 0.2, "append_us": 0.07, "print_us": 0.8,
           "nothing_us": 0.06, "accuracy": 0.9, "loss": 0.5, "curve": [[10, 1.1], [1000, 0.5]]}  # fmt: skip


def run(
    tmp_path: Path, name: str | None = "iris-mlp", repeats: int = 2, device: str | None = None
) -> tuple[int, str, str]:
    """Run a demo in its short form below ``tmp_path``; its exit code, what it showed and its progress."""
    shown: list[str] = []
    said: list[str] = []
    request = demo.Request(quick=True, repeats=repeats, logdir=tmp_path / "runs", out=None, device=device)
    code = demo.run(name, request, echo=shown.append, say=said.append)
    return code, "\n".join(shown), "\n".join(said)


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Make each run leave the sample trace and figures instead of training; returns the commands as they come."""
    commands: list[Sequence[str]] = []

    def record(command: Sequence[str], more: Mapping[str, str]) -> str:
        commands.append(command)
        folder = Path(command[command.index("--logdir") + 1]) / command[command.index("--name") + 1]
        folder.mkdir(parents=True)
        shutil.copy(SAMPLE, folder)
        Path(more["SAVE_FIGURES"]).write_text(json.dumps(FIGURES))
        return "done"

    monkeypatch.setattr(running, "record", record)
    monkeypatch.setattr(running, "may_use_gpu", lambda _: False)
    return commands


def test_without_a_name_the_workloads_are_listed(tmp_path: Path) -> None:
    """Nothing is run; each workload has a line, and the last line says how to run one."""
    code, shown, _ = run(tmp_path, None)
    assert code == 0
    assert all(name in shown for name in WORKLOADS)
    assert shown.endswith("Run one with: stallscope demo NAME")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_names_the_known(tmp_path: Path) -> None:
    """The sentence says what could have been typed."""
    with pytest.raises(BadInput, match="iris-mlp"):
        run(tmp_path, "mnist")
    assert list(tmp_path.iterdir()) == []


def test_variants_are_run_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A B, B A: a drift of the machine meets both; options go to the script, the folder to each side and run."""
    commands = recorded(monkeypatch)
    code, _, _ = run(tmp_path)
    assert code == 0
    assert [command[command.index("--record-every") + 1] for command in commands] == ["1", "100", "100", "1"]
    places = [Path(command[command.index("--logdir") + 1]).name for command in commands]
    names = [command[command.index("--name") + 1] for command in commands]
    assert places == ["cpu-record-1", "cpu-record-100", "cpu-record-100", "cpu-record-1"]
    assert names == ["run-1", "run-1", "run-2", "run-2"]
    assert all(command[command.index("--device") + 1] == "cpu" for command in commands)


def test_repeated_runs_have_one_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the script is given, which the manifest records, names no file that differs from run to run."""
    commands = recorded(monkeypatch)
    run(tmp_path)
    given = [tuple(command[command.index("--name") + 2 :]) for command in commands]
    assert (given[0], given[1]) == (given[3], given[2])
    assert given[0] != given[1]
    assert not any("json" in word for word in given[0])


def test_the_folders_are_what_the_other_commands_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder a demo, one a side, one a run; a second demo goes beside the first."""
    recorded(monkeypatch)
    run(tmp_path)
    run(tmp_path)
    first, second = sorted((tmp_path / "runs").iterdir())
    for folder in (first, second):
        assert [found.name for found in find_runs(folder)] == [
            "cpu-record-1/run-1",
            "cpu-record-1/run-2",
            "cpu-record-100/run-1",
            "cpu-record-100/run-2",
        ]
        assert len(find_runs(folder / "cpu-record-1")) == 2


def test_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A summary, the comparison, table and explanation, the commands that go on from here; progress goes elsewhere."""
    recorded(monkeypatch)
    _, shown, said = run(tmp_path)
    order = [
        "CPU, record every 1: one run",
        "before and after: all runs",
        "what was measured",
        "Not measured here (no GPU): GPU, record every 1; GPU, record every 100.",
        "tensorboard --logdir",
        "stallscope compare",
    ]
    places = [shown.index(words) for words in order]
    assert places == sorted(places)
    assert "run 1 of 4: CPU, record every 1" in said
    assert "run 4 of 4: CPU, record every 1" in said
    assert "run 1 of 4" not in shown


def test_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page, figures and both plots; from the figures alone the same page and plots come again."""
    recorded(monkeypatch)
    run(tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    names = ["iris-mlp.json", "iris-mlp.md", "iris-mlp.png", "iris-mlp.svg"]
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == names
    result = load(folder / "iris-mlp.json")
    assert result.quick
    assert [len(variant.repeats) for variant in result.variants] == [2, 2]
    again = demo.Request(quick=False, repeats=None, logdir=tmp_path, out=tmp_path, again=folder / "iris-mlp.json")
    assert demo.run("iris-mlp", again, echo=lambda _: None, say=lambda _: None) == 0
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_without_matplotlib_all_but_the_plot_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence says what is missing and how to get it; the page names no picture."""
    recorded(monkeypatch)
    monkeypatch.setattr(plot, "available", lambda: False)
    code, shown, _ = run(tmp_path)
    assert code == 0
    assert "matplotlib is not installed; python -m pip install matplotlib" in shown
    (folder,) = (tmp_path / "runs").iterdir()
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["iris-mlp.json", "iris-mlp.md"]
    assert ".png" not in (folder / "iris-mlp.md").read_text(encoding="utf-8")


def test_another_file_is_no_result(tmp_path: Path) -> None:
    """`--again` with something else says so in one sentence."""
    (tmp_path / "x.json").write_text('{"schema": "other"}')
    request = demo.Request(quick=False, repeats=None, logdir=tmp_path, out=None, again=tmp_path / "x.json")
    with pytest.raises(BadInput, match="no result of a demo"):
        demo.run("iris-mlp", request, echo=lambda _: None, say=lambda _: None)


def test_without_a_gpu_the_sample_is_introduced_as_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    """The reader learns that no hardware made it before the first figure."""
    said: list[str] = []
    demo.show_sample(WORKLOADS["iris-mlp"], demo.Style(), said.append)
    text = "\n".join(said)
    assert text.index("(simulated)") < text.index("no hardware") < text.index("launch")
    assert capsys.readouterr().out == ""


def test_a_measured_sample_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as a trace from hardware lies beside it, the generated one is not shown."""
    for name in ("iris_mlp_simulated.1.pt.trace.json.gz", "iris_mlp_h200.1.pt.trace.json.gz"):
        (tmp_path / name).touch()
    monkeypatch.setattr(demo.resources, "files", lambda _: tmp_path)
    found = demo.sample_path(WORKLOADS["iris-mlp"])
    assert found is not None
    assert found.name == "iris_mlp_h200.1.pt.trace.json.gz"


@pytest.mark.slow
@pytest.mark.parametrize(("chosen", "expected"), [(None, "10000"), ("infinity", "infinity")])
def test_waiting_threads_do_not_spin_unless_asked(
    chosen: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every run gets the policy that survives a busy machine; what the user has set stays."""
    for name in ("OMP_WAIT_POLICY", *running.ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    if chosen is not None:
        monkeypatch.setenv("GOMP_SPINCOUNT", chosen)
    command = [sys.executable, "-c", "import os, sys; sys.stderr.write(os.environ['GOMP_SPINCOUNT'])"]
    assert running.record(command) == expected


def test_a_policy_of_the_user_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets OMP_WAIT_POLICY decides how threads wait: nothing of ours is added, and the page notes theirs."""
    for name in running.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert running.ours() == {}
    assert running.added()["OMP_WAIT_POLICY"] == "ACTIVE"
    assert "GOMP_SPINCOUNT" not in running.added()


@pytest.mark.slow
def test_a_failed_run_says_its_last_line() -> None:
    """The demo ends with the reason, not with a missing folder."""
    command = [sys.executable, "-c", "import sys; sys.exit('the disk is full')"]
    with pytest.raises(StallscopeError, match="exit code 1: the disk is full"):
        running.record(command)


def test_a_run_that_measured_nothing_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 without figures is an error at once, with what the run said last."""
    monkeypatch.setattr(running, "record", lambda *_: "the script trained nothing")
    with pytest.raises(StallscopeError, match="measured nothing: the script trained nothing"):
        run(tmp_path)


def failing(monkeypatch: pytest.MonkeyPatch, times: list[int], error: BaseException) -> list[Sequence[str]]:
    """As ``recorded``, but the runs of these numbers (from 1) raise ``error``; returns the commands as they come."""
    recorded(monkeypatch)
    works, commands = running.record, list[Sequence[str]]()

    def record(command: Sequence[str], more: Mapping[str, str]) -> str:
        commands.append(command)
        if len(commands) in times:
            raise error
        return works(command, more)

    monkeypatch.setattr(running, "record", record)
    return commands


def test_a_failed_variant_does_not_lose_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last line is shown and kept, it is not run again, and the demo goes on to its end."""
    commands = failing(monkeypatch, [2], StallscopeError("exit code 1: the GPU is lost"))
    code, shown, said = run(tmp_path)
    assert code == 0
    assert len(commands) == 3
    assert "Failed: CPU, record every 100: exit code 1: the GPU is lost." in shown
    assert "failed: exit code 1: the GPU is lost" in said
    (folder,) = (tmp_path / "runs").iterdir()
    result = load(folder / "iris-mlp.json")
    assert [(v.key, len(v.repeats)) for v in result.variants] == [("cpu-record-1", 2)]
    assert result.failed == {"CPU, record every 100": "exit code 1: the GPU is lost"}


def test_an_interrupted_demo_keeps_its_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second of two rounds: the figures of the first are there and make a page."""
    failing(monkeypatch, [4], KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    result = load(folder / "iris-mlp.json")
    assert result.repeats == 1
    assert [len(variant.repeats) for variant in result.variants] == [1, 1]
    assert WORKLOADS["iris-mlp"].tell(result).sentences


@pytest.mark.parametrize(("device", "keys"), [("cpu", {"cpu"}), ("cuda", {"cuda"}), (None, {"cpu", "cuda"})])
def test_only_the_variants_of_a_device(
    device: str | None, keys: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--device` on a machine with a GPU: what was not asked for is neither run nor listed as missing."""
    recorded(monkeypatch)
    monkeypatch.setattr(running, "may_use_gpu", lambda _: True)
    for module in (demo, running):
        monkeypatch.setattr(module, "count_gpus", lambda: 1)
    _, shown, _ = run(tmp_path, device=device)
    (folder,) = (tmp_path / "runs").iterdir()
    result = load(folder / "iris-mlp.json")
    assert {v.device for v in result.variants} == keys
    assert result.not_measured == []
    assert result.command == "stallscope demo iris-mlp --quick --repeats 2" + (f" --device {device}" if device else "")
    pair = f"{folder / f'{min(keys)}-record-1'} {folder / f'{min(keys)}-record-100'}"
    assert f"stallscope compare {pair}" in shown


def test_a_gpu_that_is_not_there_cannot_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--device cuda` without one: a sentence before anything is run."""
    commands = recorded(monkeypatch)
    monkeypatch.setattr(demo, "count_gpus", lambda: 0)
    with pytest.raises(BadInput, match="torch finds no GPU here"):
        run(tmp_path, device="cuda")
    assert commands == []


def test_what_needs_more_gpus_than_torch_sees_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA_VISIBLE_DEVICES leaves one of two GPUs: two processes, one a GPU, are not run."""
    recorded(monkeypatch)
    monkeypatch.setattr(running, "may_use_gpu", lambda _: True)
    monkeypatch.setattr(running, "count_gpus", lambda: 1)
    workload, quick = WORKLOADS["data-parallel"], True
    result = running.run_all(
        workload, tmp_path, variants=workload.variants(quick), quick=quick, repeats=1, command="",
        keep=lambda _: None, say=lambda _: None,
    )  # fmt: skip
    assert [variant.key for variant in result.variants] == ["cpu-one", "cpu-ddp-2", "cuda-one"]
    assert result.not_measured == ["GPU, DDP, 2 processes"]
    assert page.missing(result) == ["Not measured here (too few GPUs): GPU, DDP, 2 processes."]


@pytest.mark.slow
def test_gpus_are_counted_by_torch() -> None:
    """The same number that torch gives here, asked in another process."""
    import torch

    assert running.count_gpus() == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


def test_each_round_has_a_seed_of_its_own(tmp_path: Path) -> None:
    """A seeded variant gets the round's number, the same for all variants of the round; others get none."""
    workload, quick = WORKLOADS["mnist-cnn"], False
    found = {v.key: v for v in workload.variants(quick)}
    for key, seed in (("cpu-sgd-0.1", "2"), ("cpu-adam-0.01", "2"), ("cpu-small-64", None)):
        command = running.command_of(workload, found[key], tmp_path, 2)
        assert (command[command.index("--seed") + 1] if "--seed" in command else None) == seed


@pytest.mark.skipif(sys.platform == "win32", reason="quoted for a POSIX shell")
def test_commands_can_be_pasted() -> None:
    """A folder with spaces comes out quoted."""
    assert demo.typed("tensorboard", "--logdir", Path("my runs/demo")) == "tensorboard --logdir 'my runs/demo'"


@pytest.mark.slow
@pytest.mark.full  # the one of README is run by the test of README
@pytest.mark.parametrize("name", WORKLOADS)
def test_each_workload_in_short(name: str, tmp_path: Path) -> None:
    """From the command line, once each variant: every variant of the CPU is measured, and all is written and told."""
    command = [sys.executable, "-m", "stallscope", "demo", name, "--quick", "--repeats", "1"]
    done = subprocess.run(
        [*command, "--logdir", "runs", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # on a busy machine, waiting threads make it 100 times slower
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result, quick = load(tmp_path / "out" / f"{name}.json"), True
    wanted = WORKLOADS[name].variants(quick)
    assert {variant.title for variant in wanted} == {*(v.title for v in result.variants), *result.not_measured}
    assert {v.key for v in wanted if running.needs(v) == 0} <= {v.key for v in result.variants}
    assert f"run 1 of {len(result.variants)}: " in done.stderr
    assert f"{name}: what was measured" in done.stdout
    for ending in (".md", ".png", ".svg"):
        assert (tmp_path / "out" / f"{name}{ending}").stat().st_size > 500
    for sentence in WORKLOADS[name].tell(result).sentences:
        assert sentence in (tmp_path / "out" / f"{name}.md").read_text(encoding="utf-8")
    if WORKLOADS[name].compared is not None:
        (stamp,) = (tmp_path / "runs").iterdir()
        assert f"tensorboard --logdir {Path('runs') / stamp.name}" in done.stdout
        assert "before and after" in done.stdout
