"""`stallscope demo`: both variants in turn, into folders that the other commands take, explained and compared."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from stallscope import demo
from stallscope.traces.errors import BadInput, StallscopeError
from stallscope.traces.runs import find_runs
from tests.simulated_iris import SAMPLE


def run(tmp_path: Path, name: str | None = "iris-mlp", **options: int) -> tuple[int, str]:
    """Run a demo below ``tmp_path``; its exit code and everything it said."""
    said: list[str] = []
    arguments: dict[str, int | None] = {"epochs": 300, "repeats": 2, **options}
    code = demo.run(name, logdir=tmp_path / "runs", echo=said.append, **arguments)  # type: ignore[arg-type]
    return code, "\n".join(said)


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Make each run leave the sample trace in its folder instead of training; returns the commands as they come."""
    commands: list[Sequence[str]] = []

    def record(command: Sequence[str]) -> str:
        commands.append(command)
        folder = Path(command[command.index("--logdir") + 1]) / command[command.index("--name") + 1]
        folder.mkdir(parents=True)
        shutil.copy(SAMPLE, folder)
        return "done"

    monkeypatch.setattr(demo, "record", record)
    return commands


def test_without_a_name_the_workloads_are_listed(tmp_path: Path) -> None:
    """Nothing is run; each workload has a line, and the last line says how to run one."""
    code, said = run(tmp_path, None)
    assert code == 0
    assert "iris-mlp" in said
    assert said.endswith("Run one with: stallscope demo NAME")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_names_the_known(tmp_path: Path) -> None:
    """The sentence says what could have been typed."""
    with pytest.raises(BadInput, match="iris-mlp"):
        run(tmp_path, "mnist")
    assert list(tmp_path.iterdir()) == []


def test_variants_are_run_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A B A B: a drift of the machine meets both; options go to the script, the folder to each side and run."""
    commands = recorded(monkeypatch)
    code, _ = run(tmp_path)
    assert code == 0
    assert [command[-1] for command in commands] == ["1", "100", "1", "100"]
    places = [Path(command[command.index("--logdir") + 1]).name for command in commands]
    names = [command[command.index("--name") + 1] for command in commands]
    assert places == ["record-every-1", "record-every-100"] * 2
    assert names == ["run-1", "run-1", "run-2", "run-2"]
    assert all(command[command.index("--epochs") + 1] == "300" for command in commands)


def test_the_folders_are_what_the_other_commands_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder a demo, one a side, one a run; a second demo goes beside the first."""
    recorded(monkeypatch)
    run(tmp_path)
    run(tmp_path)
    first, second = sorted((tmp_path / "runs").iterdir())
    for folder in (first, second):
        assert [found.name for found in find_runs(folder)] == [
            "record-every-1/run-1",
            "record-every-1/run-2",
            "record-every-100/run-1",
            "record-every-100/run-2",
        ]
        assert len(find_runs(folder / "record-every-1")) == 2


def test_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress first, then a summary of each side, the comparison, and the commands that go on from here."""
    recorded(monkeypatch)
    _, said = run(tmp_path)
    order = [
        "run 1 of 4: loss read in every epoch, 300 epochs",
        "run 4 of 4: loss read every 100 epochs, 300 epochs",
        "loss read in every epoch: one run",
        "loss read every 100 epochs: one run",
        "before and after: all runs",
        "tensorboard --logdir",
        "stallscope compare",
    ]
    places = [said.index(words) for words in order]
    assert places == sorted(places)
    assert "record-every-1/run-1 (+1)" in said
    assert "record-every-100/run-1 (+1)" in said
    assert "No GPU was used here" not in said


def test_without_a_gpu_the_sample_is_introduced_as_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    """The reader learns that no hardware made it before the first figure."""
    said: list[str] = []
    demo.show_sample(demo.WORKLOADS["iris-mlp"], demo.Style(), said.append)
    text = "\n".join(said)
    assert text.index("(simulated)") < text.index("no hardware") < text.index("launch")
    assert capsys.readouterr().out == ""


def test_a_measured_sample_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as a trace from hardware lies beside it, the generated one is not shown."""
    for name in ("iris_mlp_simulated.1.pt.trace.json.gz", "iris_mlp_h200.1.pt.trace.json.gz"):
        (tmp_path / name).touch()
    monkeypatch.setattr(demo.resources, "files", lambda _: tmp_path)
    found = demo.sample_path(demo.WORKLOADS["iris-mlp"])
    assert found is not None
    assert found.name == "iris_mlp_h200.1.pt.trace.json.gz"


@pytest.mark.slow
@pytest.mark.parametrize(("chosen", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_do_not_spin_unless_asked(
    chosen: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every run gets the policy that survives a busy machine; what the user has set stays."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if chosen is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", chosen)
    command = [sys.executable, "-c", "import os, sys; sys.stderr.write(os.environ['OMP_WAIT_POLICY'])"]
    assert demo.record(command) == expected


@pytest.mark.slow
def test_a_failed_run_says_its_last_line() -> None:
    """The demo ends with the reason, not with a missing folder."""
    command = [sys.executable, "-c", "import sys; sys.exit('the disk is full')"]
    with pytest.raises(StallscopeError, match="exit code 1: the disk is full"):
        demo.record(command)


def test_a_run_that_recorded_nothing_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 without a run folder is an error at once, with what the run said last."""
    monkeypatch.setattr(demo, "record", lambda _: "the script trained nothing")
    with pytest.raises(StallscopeError, match="recorded nothing: the script trained nothing"):
        run(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="quoted for a POSIX shell")
def test_commands_can_be_pasted() -> None:
    """A folder with spaces comes out quoted."""
    assert demo.typed("tensorboard", "--logdir", Path("my runs/demo")) == "tensorboard --logdir 'my runs/demo'"


@pytest.mark.slow
def test_the_real_thing(tmp_path: Path) -> None:
    """From the command line, once each: four hundred epochs in both variants end in a comparison."""
    command = [sys.executable, "-m", "stallscope", "demo", "iris-mlp", "--epochs", "400", "--repeats", "1"]
    done = subprocess.run(
        [*command, "--logdir", "runs"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # on a busy machine, waiting threads make it 100 times slower
        timeout=240,
        check=True,
    )
    (stamp,) = (tmp_path / "runs").iterdir()
    for variant in ("record-every-1", "record-every-100"):
        folder = stamp / variant / "run-1"
        assert list(folder.glob("*.pt.trace.json.gz"))
        assert (folder / "stallscope.json").is_file()
    assert f"tensorboard --logdir {Path('runs') / stamp.name}" in done.stdout
    assert "before and after" in done.stdout
