"""The command line: every fault is one sentence with the right exit code, and nothing of the user's is overwritten."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from stallscope import cli
from stallscope.__main__ import main
from stallscope.analysis.replay import counterfactual
from stallscope.analysis.replay.run import find_run
from stallscope.output import style_for, write_text
from stallscope.profiling.words.sentences import OWN_OPTIONS, no_steps
from tests.builders import TraceBuilder


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Two steps of 100 µs, each with one operator that launches one kernel."""
    builder = TraceBuilder()
    for start in (0, 100):
        builder.step(start, 100).op("aten::mm", start + 10, 50).launch(start + 20, 5, kernel=("gemm", start + 40, 30))
    return builder.write(tmp_path, "two_steps.json")


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    code = cli._execute([str(arg) for arg in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def one_sentence(text: str) -> bool:
    """Exactly one line, from us, without a traceback."""
    return text.startswith("stallscope: ") and text.count("\n") == 1 and "Traceback" not in text


FAULTS = {
    "missing": (None, "no such file"),
    "empty.json": (b"", "empty"),
    "other.json": (b'{"schema": "1.0.1", "nodes": []}', "execution trace"),
    "text.json": (b"hello", "JSON"),
    "cut.json.gz": (gzip.compress(b'{"traceEvents": [' + b'{"ph":"X"},' * 5000)[:60], "truncated"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_file_is_one_sentence_and_exit_code_2(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing, empty, foreign, unparsable, truncated: the sentence names the file and what is wrong with it."""
    content, word = FAULTS[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    code, out, err = run(capsys, "summary", path)
    assert (code, out) == (2, "")
    assert one_sentence(err), err
    assert name in err
    assert word.lower() in err.lower(), err


def test_a_folder_without_traces_says_what_was_looked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty folder is exit code 2, and the sentence names the file pattern."""
    code, _, err = run(capsys, "summary", tmp_path)
    assert code == 2
    assert one_sentence(err), err
    assert "trace.json" in err


def test_a_folder_of_runs_is_not_silently_one_of_them(
    tmp_path: Path, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With two runs under it, `summary` names them instead of choosing."""
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "host_1.1700000000000000000.pt.trace.json").write_bytes(trace.read_bytes())
    code, _, err = run(capsys, "summary", tmp_path / "runs")
    assert code == 2
    assert one_sentence(err)
    assert "2 runs" in err


@pytest.mark.parametrize(
    "argv",
    [
        ["summary", "--bogus"],
        ["summary"],
        ["nosuch"],
        ["compare", "only-one"],
        ["profile", "--steps", "0", "x.py"],
        ["summary", "x", "--format", "yaml"],
    ],
)
def test_bad_usage_is_one_sentence_and_names_the_help(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The parser's refusals fit one line and say where the help is."""
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert one_sentence(err), err
    assert "--help" in err


def test_a_missing_script_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`profile` of a script that is not there says so before anything runs, and leaves no run folder."""
    code, _, err = run(capsys, "profile", "--logdir", tmp_path / "runs", tmp_path / "nosuch.py")
    assert code == 2
    assert one_sentence(err), err
    assert "nosuch.py" in err
    assert not (tmp_path / "runs").exists()


def test_an_existing_output_file_is_kept(tmp_path: Path, trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-o over an existing file is refused without --force, and done with it."""
    target = tmp_path / "mine.json"
    target.write_text("mine")
    code, _, err = run(capsys, "summary", trace, "--format", "json", "-o", target)
    assert code == 2
    assert "--force" in err
    assert target.read_text() == "mine"
    code, _, _ = run(capsys, "summary", trace, "--format", "json", "-o", target, "--force")
    assert code == 0
    assert json.loads(target.read_text())["schema"] == "stallscope.summary/2"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_an_output_file_in_a_missing_folder_is_one_sentence(
    tmp_path: Path, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be written is the user's to choose anew: exit code 2."""
    code, _, err = run(capsys, "summary", trace, "-o", tmp_path / "no" / "where.txt")
    assert code == 2
    assert one_sentence(err), err


def test_the_three_formats_tell_the_same_figure(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One kernel of 30 µs in a step of 100: JSON, text and Markdown agree."""
    _, out, _ = run(capsys, "summary", trace, "--format", "json")
    figures = json.loads(out)
    assert figures["steps"]["count"] == 2
    assert figures["per_step"]["gpu_busy_us"] == 30.0
    for form in ("text", "markdown"):
        code, out, _ = run(capsys, "summary", "-v", trace, "--format", form)
        assert code == 0
        assert "gemm" in out


def test_peers_adds_the_figures_of_other_tools_in_every_format(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """30 µs of kernel in each step of 100: a GPU utilization of 30 % as torch-tb-profiler counts it; null unasked."""
    _, document, _ = run(capsys, "summary", trace, "--peers", "--format", "json")
    rows = {(row["peer"], row["figure"]): row for row in json.loads(document)["peers"]}
    assert rows["torch-tb-profiler", "gpu_utilization"]["value"] == 0.3
    _, text, _ = run(capsys, "summary", trace, "--peers")
    assert "GPU utilization             30 %        30 %" in text
    _, markdown, _ = run(capsys, "summary", trace, "--peers", "--format", "markdown")
    assert "As torch-tb-profiler defines it" in markdown
    _, plain, _ = run(capsys, "summary", trace, "--format", "json")
    assert json.loads(plain)["peers"] is None


def test_several_traces_give_one_document(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two paths make one JSON document with two summaries."""
    _, out, _ = run(capsys, "summary", trace, trace, "--format", "json")
    assert len(json.loads(out)["summaries"]) == 2


def test_our_own_bug_is_a_short_sentence(
    trace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception is exit code 70 without a traceback; --debug shows it."""

    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("stallscope.api.find_runs", broken)
    code, _, err = run(capsys, "summary", trace)
    assert code == 70
    assert one_sentence(err), err
    code, _, err = run(capsys, "--debug", "summary", trace)
    assert code == 70
    assert "Traceback" in err


class Terminal(io.TextIOWrapper):
    """A terminal of a given encoding."""

    def isatty(self) -> bool:  # noqa: D102
        return True

    def fileno(self) -> int:  # noqa: D102
        raise OSError


def test_text_is_ascii_where_the_encoding_has_no_blocks() -> None:
    """cp936 and ASCII streams get ASCII, and a name they lack is escaped instead of failing."""
    for encoding in ("ascii", "cp1252"):
        stream = Terminal(io.BytesIO(), encoding=encoding)
        assert not style_for(stream).unicode
        write_text(stream, "块 µ")
        assert b"\\u5757" in stream.buffer.getvalue()  # type: ignore[attr-defined]
    assert style_for(Terminal(io.BytesIO(), encoding="utf-8")).unicode


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR, or a pipe, turns colour off."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert style_for(Terminal(io.BytesIO(), encoding="utf-8")).color
    monkeypatch.setenv("NO_COLOR", "1")
    assert not style_for(Terminal(io.BytesIO(), encoding="utf-8")).color
    assert not style_for(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")).color


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp936", "ascii", "utf-8"])
def test_piped_output_never_fails_to_encode(encoding: str, trace: Path) -> None:
    """The whole command in a process whose stdout has that encoding exits with 0."""
    result = subprocess.run(
        [sys.executable, "-m", "stallscope", "summary", "-v", str(trace)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()
    assert b"gemm" in result.stdout
    result.stdout.decode(encoding)


@pytest.mark.slow
def test_summary_does_not_import_heavy_packages(trace: Path) -> None:
    """`summary` must start quickly: no torch, pandas, matplotlib or tensorboard on its import path."""
    code = (
        "import sys; from stallscope import cli; cli._execute(['summary', sys.argv[1]]);"
        "print([m for m in ('torch', 'pandas', 'matplotlib', 'tensorboard', 'sklearn') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code, str(trace)], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(os.name == "nt", reason="closing a pipe early is signalled otherwise on Windows")
@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(trace: Path) -> None:
    """`stallscope summary … | head -0` leaves no traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stallscope", "summary", str(trace)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err


@pytest.mark.parametrize("words", [["summary", "x"], ["summary", "x", "--strict"]], ids=["plain", "parser"])
def test_ctrl_c_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """However the command line was understood: exit code 130, one line, no traceback."""

    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stallscope.api.load_rank", interrupted)
    monkeypatch.setattr("sys.argv", ["stallscope", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip() == "stallscope: interrupted"


def test_an_option_of_profile_behind_the_script_is_known() -> None:
    """A script that fails over an option meant for `profile` is told where it belongs: every option there is."""
    command = cli.command("profile")
    options = {each for parameter in command.params for each in (*parameter.opts, *parameter.secondary_opts)}
    known = {each for each in options if each.startswith("--")} - {"--help"}
    assert set(OWN_OPTIONS) == known
    assert "--also-cpu stood after the script" in no_steps(2, ("--lr", "3", "--also-cpu"))


def test_a_large_trace_of_others_is_replayed_and_forecast(
    trace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only a part of a trace is replayed, a plain summary has verdict and forecasts like any other."""
    monkeypatch.setattr(counterfactual, "find_run", partial(find_run, most=3))
    found = json.loads(run(capsys, "summary", "--format", "json", trace)[1])
    assert found["verdict"]["confidence"] != "rule"
    assert found["what_if"]
    assert "What a change would save" in run(capsys, "summary", "-v", trace)[1]
