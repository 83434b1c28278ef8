"""What is read and written by name stays within bounds: devices, links, full disks, paths in manifests, odd numbers."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from werkzeug.test import Client

from stallscope import api, cli, page_cache
from stallscope.profiling.run.secrets import MASK, masked
from stallscope.tensorboard import Plugin
from tests.builders import TraceBuilder

LINUX = pytest.mark.skipif(sys.platform == "win32", reason="pipes, links and modes as Unix has them")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A small trace of a CPU."""
    return TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 5, 50).write(tmp_path)


def command(*words: object) -> int:
    """The exit code of a command."""
    return cli._execute([str(word) for word in words])


@LINUX
def test_a_pipe_is_written_into_and_stays_one(trace: Path, tmp_path: Path) -> None:
    """`-o` with --force on a named pipe: its reader gets the JSON, and no file takes its place."""
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert command("summary", trace, "--format", "json", "-o", pipe, "--force") == 0
    reader.join(10)
    assert json.loads(got[0])["trace"]["events"] == 2
    assert pipe.is_fifo()


@LINUX
def test_a_link_and_a_mode_are_kept(trace: Path, tmp_path: Path) -> None:
    """Replacing what a link leads to leaves the link, and a private file private."""
    target, link = tmp_path / "private.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target)
    assert command("summary", trace, "--format", "json", "-o", link, "--force") == 0
    assert link.is_symlink()
    assert json.loads(target.read_bytes())["trace"]["events"] == 2
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_full_stdout_is_a_sentence(form: str, trace: Path) -> None:
    """Exit code 74 and one sentence that says what to do; no traceback, nothing of the interpreter's."""
    with Path("/dev/full").open("wb") as full:
        words = [sys.executable, "-m", "stallscope", "summary", str(trace), "--format", form]
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 74
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith("stallscope: stdout: cannot be written (No space left on device)")


@pytest.mark.parametrize("given", ["1e400", "-1", "0", "nan"])
def test_a_limit_that_is_no_size_is_refused(given: str, trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence with the option's name, exit code 2."""
    assert command("summary", trace, "--max-size", given) == 2
    assert "--max-size" in capsys.readouterr().err


@LINUX
@pytest.mark.parametrize("name", ["../secret.pt.trace.json", "/etc/passwd", "pipe"])
def test_a_manifest_names_no_other_file(name: str, tmp_path: Path) -> None:
    """What it says is the attribution trace is read only if it lies beside it, and is a regular file."""
    run = tmp_path / "run"
    run.mkdir()
    path = TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 5, 50).write(run)
    os.mkfifo(run / "pipe")
    window = {"first_step": 0, "steps": 1, "duration_ns": 1, "samples_ns": [1], "round": "full"}
    told = {
        "schema": "stallscope.manifest/1", "stallscope": "0", "created": "", "command": ["t.py"], "pid": 1,
        "worker": path.name.split(".")[0], "steps": {"count": 1, "source": "optimizer"},
        "machine": {"os": "", "python": "", "cpu": "", "cores": 1, "threads": 1, "torch": None},
        "windows": [{**window, "kind": "timing", "trace": path.name}, {**window, "kind": "attribution", "trace": name}],
    }  # fmt: skip
    (run / "stallscope.json").write_text(json.dumps(told))
    summary = api.summarize(run)
    assert summary.steps.count == 1
    assert summary.attribution is None


@LINUX
def test_a_link_in_place_of_the_cache_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are not put into what it leads to, and nothing there is deleted; in our own folder only our own names."""
    monkeypatch.setattr(page_cache, "LARGEST", 10)
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    (elsewhere / "old.gz").write_bytes(b"x" * 100)
    run.mkdir()
    (run / page_cache.FOLDER).symlink_to(elsewhere)
    assert not page_cache._write(run / page_cache.FOLDER, "0" * 64, b"page")
    own = tmp_path / "own"
    own.mkdir()
    (own / "old.gz").write_bytes(b"x" * 100)
    for number in "01":
        assert page_cache._write(own, number * 64, b"x" * 9)
    assert [path.name for path in elsewhere.iterdir()] == ["old.gz"]
    assert (own / "old.gz").exists()
    assert len(list(own.glob(f"*{page_cache.SUFFIX}"))) == 1


@pytest.mark.parametrize("told", [{"a": 1}, [1, 2], None, True, 1.5, "x"])
def test_a_correlation_of_any_type_is_no_crash(told: object, tmp_path: Path) -> None:
    """Every event twice, with an id that is a container: the copies are looked for, and the summary is made."""
    builder = TraceBuilder()
    for _ in range(2):
        builder.step(0, 100).op("aten::mm", 5, 50, correlation=told, **{"External id": 7})
    assert api.summarize(builder.write(tmp_path)).per_step is not None


def test_the_only_operator_may_be_left_out_as_implausible(tmp_path: Path) -> None:
    """An operator with a stack that lasts for ever is excluded, and with nothing left there are no places."""
    path = TraceBuilder(gpu=None).op("aten::mm", 5, 9e12, **{"Call stack": "a.py(1): f"}).write(tmp_path)
    assert api.summarize(path).call_sites is None


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["train.py", "--api-key", "abc", "--lr", "0.1"], ["train.py", "--api-key", MASK, "--lr", "0.1"]),
        (["train.py", "--hf_token=abc"], ["train.py", f"--hf_token={MASK}"]),
        (["train.py", "db.password=abc", "seed=1"], ["train.py", f"db.password={MASK}", "seed=1"]),
        (["train.py", "--url", "mlflow://u:pw@host/x"], ["train.py", "--url", f"mlflow://u:{MASK}@host/x"]),
        (["train.py", "--tokenizer", "bpe", "--author", "ann"], ["train.py", "--tokenizer", "bpe", "--author", "ann"]),
        (["train.py", "--secret", "--lr", "1"], ["train.py", "--secret", "--lr", "1"]),
    ],
)
def test_secrets_of_a_command_line_are_masked(given: list[str], shown: list[str]) -> None:
    """Values of options named like a key, token, password or secret, and passwords in addresses."""
    assert masked(given) == shown


@pytest.mark.parametrize(
    ("flags", "asked", "code"),
    [
        ({"host": None, "bind_all": False}, "localhost:6006", 200),
        ({"host": None, "bind_all": False}, "127.0.0.1:6006", 200),
        ({"host": None, "bind_all": False}, "[::1]:6006", 200),
        ({"host": None, "bind_all": False}, "evil.example:6006", 403),
        ({"host": "localhost", "bind_all": False}, "localhost.evil.example", 403),
        ({"host": "board.example", "bind_all": False}, "board.example:6006", 200),
        ({"host": None, "bind_all": True}, "board.example:6006", 200),
        ({"host": "0.0.0.0", "bind_all": False}, "board.example:6006", 200),  # noqa: S104
    ],
)
def test_the_tab_answers_under_names_of_this_machine(
    flags: dict[str, object], asked: str, code: int, tmp_path: Path
) -> None:
    """A page of another site whose name leads here (DNS rebinding) gets 403, and nothing of what there is."""
    plugin = Plugin(SimpleNamespace(logdir=str(tmp_path), flags=SimpleNamespace(**flags)))
    for route, application in plugin.get_plugin_apps().items():
        if route in ("/runs", "/index.js"):
            assert Client(application).get("/", headers={"Host": asked}).status_code == code


def test_times_that_cannot_be_right_are_unknown_not_zero(tmp_path: Path) -> None:
    """All of them 2**62 ns later: no figure is a zero, and the sentence does not say that nothing is there."""
    document = TraceBuilder().step(0, 100).op("aten::mm", 5, 50).launch(2, 3, kernel=("k", 8, 50)).document()
    for event in document["traceEvents"]:
        event["ts"] += 2**62 / 1000
    path = tmp_path / "late.json"
    path.write_text(json.dumps(document))
    summary = api.summarize(path)
    assert summary.health.grade == "degraded"
    assert (summary.per_step.dataloader_us, summary.per_step.operator_us, summary.per_step.gpu_busy_us) == (None,) * 3
    assert "whose times can be right" in str(summary.verdict)


def test_events_under_a_key_that_is_there_twice_are_all_read(tmp_path: Path) -> None:
    """A plain decoder keeps the last of two keys alone: here no event is lost, and the summary names the duplicate."""
    events = TraceBuilder().step(0, 100).op("aten::mm", 5, 50).launch(2, 3, kernel=("k", 8, 50)).events
    path = tmp_path / "twice.json"
    path.write_text(f'{{"traceEvents": {json.dumps(events[:3])}, "x": 1, "traceEvents": {json.dumps(events[3:])}}}')
    summary = api.summarize(path)
    assert summary.trace.events == len(events)
    assert summary.per_step.kernels == 1
    assert "duplicate_key" in {issue.name for issue in summary.health.issues}
