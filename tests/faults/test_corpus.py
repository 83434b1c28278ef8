"""Every fault ends as the catalogue says: never silently wrong, never a traceback, never a hang."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from stallscope import api
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report import full_page
from stallscope.analysis.report.document import document
from stallscope.analysis.report.style import Style
from stallscope.analysis.report.summary import markdown, text
from stallscope.analysis.stages.stages import analyse
from stallscope.traces.model.errors import BadInput, Refused
from stallscope.traces.read.read import read
from stallscope.traces.text import source
from tests.faults.case import Case, at, packed, written
from tests.faults.corpus import ELSEWHERE, ROWS, all_cases
from tests.faults.seed import kineto_text, training
from tests.lanes import one_of_a_kind
from tests.real import NO_REAL_TRACES, real_trace_folder

CASES = all_cases()
COMMAND = [sys.executable, "-m", "stallscope"]
LOST = ("data_loss", "error")


def figures(summary: Summary) -> dict[str, Any]:
    """The summary as plain values, without where it came from, how healthy it is, and how many entries the file has."""
    plain = json.loads(document(summary))
    plain["trace"] = {**plain["trace"], "path": "", "events": 0, "world_size": None, "rank": None}
    del plain["health"]
    return plain


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The figures of the trace that the faults were put into."""
    return figures(api.summarize(written(tmp_path_factory.mktemp("seed"), training())))


def test_every_row_of_the_catalogue_is_covered():
    """There are at least 140 cases, of every row at least one, and no two of one name."""
    rows = {f"{letter}{number}" for letter, count in ROWS.items() for number in range(1, count + 1)}
    assert {case.row for case in CASES} | ELSEWHERE == rows
    assert len(CASES) >= 140
    assert len({case.id for case in CASES}) == len(CASES)


def test_the_seed_is_healthy(undamaged: dict[str, Any], tmp_path: Path):
    """The undamaged trace has no issue, and figures worked out by hand."""
    summary = api.summarize(written(tmp_path, training()))
    assert (summary.health.grade, summary.health.issues) == ("ok", [])
    assert (undamaged["steps"]["count"], undamaged["per_step"]["kernel_launches"]) == (4, 6.0)
    assert (undamaged["per_step"]["kernels"], undamaged["per_step"]["sync_calls"]) == (6.0, 1.0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_fault(case: Case, tmp_path: Path, undamaged: dict[str, Any]):
    """The case ends with its outcome, its issues, and the figures that must survive or be withheld."""
    path = case.make(tmp_path)
    if case.outcome in ("bad", "refused"):
        error = BadInput if case.outcome == "bad" else Refused
        with pytest.raises(error) as found:
            api.load(path, case.limits)
        sentence = str(found.value)
        assert case.says in sentence
        assert "\n" not in sentence
        return
    summary = api.load(path, case.limits)[0].summary
    issues = {issue.name: issue for issue in summary.health.issues}
    assert case.codes <= issues.keys()
    assert (summary.health.grade == "degraded") == (case.outcome == "degraded"), issues
    assert all(issue.count > 0 and issue.advice for issue in issues.values())
    check_figures(case, figures(summary), undamaged)
    if path.is_file():
        assert analyse(read(path, limits=case.limits)).broken_laws() == []


def check_figures(case: Case, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Figures that must survive are those of the undamaged trace, to the last digit; withheld ones are null."""
    for figure in case.unchanged:
        if figure == "*":
            kept = set(found) - {"verdict", "advice_findings", "memory", "modules"}
            assert {key: found[key] for key in kept} == {key: expected[key] for key in kept}
        else:
            assert at(found, figure) == at(expected, figure), figure
    for figure in case.withheld:
        assert at(found, figure) is None, figure
    if case.kinds:
        assert found["verdict"]["kind"] in case.kinds


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.outcome in ("ok", "info", "degraded")], ids=lambda c: c.id
)
def test_reports_hold_nothing_hostile(case: Case, tmp_path: Path):
    """Of no case, in no format, does a control or invisible character, or live markup, reach the reader."""
    summary = api.load(case.make(tmp_path), case.limits)[0].summary
    for shown in (
        text.page(summary, Style(width=100)),
        text.page(summary, Style(width=40)),
        full_page.page(summary, Style(width=100)),
        full_page.page(summary, Style(width=40)),
        markdown.page(summary),
    ):
        assert not [c for c in shown.replace("\n", "") if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    formatted = document(summary).decode()
    assert json.loads(formatted, parse_constant=pytest.fail)
    assert not [c for c in formatted.replace("\n", "") if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    plain = markdown.page(summary)
    assert "<script" not in plain
    assert "<img" not in plain
    assert not re.search(r"(?<!\\)\]\(", plain)
    assert "hunter2" not in plain + formatted


def test_same_bytes_same_report(tmp_path: Path):
    """Reading a damaged file twice gives the same report."""
    path = written(tmp_path, kineto_text(training())[:-2000])
    assert document(api.summarize(path)) == document(api.summarize(path))


# -- rows that need more than a file --------------------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A11: a recording still being written is analysed as far as it went, and that it changed is said."""
    path = written(tmp_path, kineto_text(training()))
    before = source._plain

    def growing(file: Any, piece_bytes: int) -> Any:
        yield from before(file, piece_bytes)
        with path.open("ab") as other:
            other.write(b" ")

    monkeypatch.setattr(source, "_plain", growing)
    summary = api.summarize(path)
    assert summary.health.grade == "degraded"
    assert [issue.name for issue in summary.health.issues] == ["changed_while_reading"]


def test_a_degraded_side_is_named_in_a_comparison(tmp_path: Path):
    """D7: where the trace of one side was cut short, the comparison says of which side that is."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    good, cut = written(tmp_path / "a", training()), written(tmp_path / "b", kineto_text(training())[:-9000])
    notes = {note.name: note.text for note in api.compare([good], [cut]).notes}
    assert "degraded_trace" in notes


@pytest.mark.slow
def test_interrupting_leaves_nothing(tmp_path: Path):
    """E3: Ctrl-C ends with 130, no traceback, and no half-written file."""
    path = written(tmp_path, training(400))
    script = (
        "import os, signal, stallscope.traces.read.read as r\n"
        "from stallscope.cli import main\n"
        "before = r.issues_of\n"
        "def interrupted(*args):\n    os.kill(os.getpid(), signal.SIGINT)\n    return before(*args)\n"
        "r.issues_of = interrupted\n"
        f"main(['summary', {str(path)!r}, '-o', {str(tmp_path / 'out.txt')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["trace.json"]


# -- through the command line ---------------------------------------------------------------------------------------

EXITS = {"ok": 0, "info": 0, "degraded": 3, "bad": 2, "refused": 4}
SAMPLE = [
    next(case for case in CASES if case.id == name)
    for name in (
        "A1-gzip_cut_at_half",
        "A5-empty",
        "A7-bomb",
        "A8-pipe",
        "A10-UTF-16",
        "B1-inside_a_number",
        "B7-quotes_in_a_name",
        "B10-100_000_levels",
        "C5-start_at_0_of_half_the_device_rows",
        "C9-every_event_twice",
        "C13-no_correlations",
        "F2-name:_clipboard",
        "F2-name:_right_to_left",
        "F2-missing_file_with_escapes_in_its_name",
    )
]


def run(path: Path, *options: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """``stallscope summary --strict PATH`` in a process of its own."""
    command = [*COMMAND, "summary", "--strict", *options, str(path)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False, **settings)


def check_clean(done: subprocess.CompletedProcess[str], case: Case) -> None:
    """The exit code is that of the outcome, one sentence tells of an error, nothing can steer a terminal."""
    assert done.returncode == EXITS[case.outcome], done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.count("\n") == (1 if case.outcome in ("bad", "refused") else 0), done.stderr
    assert not [c for c in (done.stdout + done.stderr).replace("\n", "") if unicodedata.category(c) in ("Cc", "Cf")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", one_of_a_kind(SAMPLE, *(SAMPLE[number] for number in (0, 1, 2, 6, 12))), ids=lambda case: case.id
)
def test_command_line(case: Case, tmp_path: Path):
    """In a poor environment (ASCII, 3 GB of address space) each ends with the exit code of its outcome."""
    path = case.make(tmp_path)
    environment = {**os.environ, "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONCOERCECLOCALE": "0", "OPENBLAS_NUM_THREADS": "1"}
    done = run(path, env=environment, preexec_fn=lambda: _limit_address_space(3 << 30))
    check_clean(done, case)
    assert done.stdout.isascii()
    assert max(map(len, done.stdout.splitlines()), default=0) <= 80


@pytest.mark.slow
def test_a_narrow_terminal(tmp_path: Path):
    """On a terminal of 40 columns no line is wider, and nothing but colours steers it, whatever the names are."""
    import fcntl
    import pty
    import struct
    import termios

    (case,) = [case for case in SAMPLE if case.id == "F2-name:_clipboard"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    child = subprocess.Popen([*COMMAND, "summary", str(case.make(tmp_path))], stdout=theirs, stdin=theirs)
    os.close(theirs)
    shown = b""
    while piece := _read(ours):
        shown += piece
    assert child.wait(timeout=120) == 0
    plain = re.sub(r"\x1b\[\d*m", "", shown.decode()).replace("\r\n", "\n")
    assert max(map(len, plain.splitlines())) <= 40
    assert plain.replace("\n", "").isprintable()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux says so when the other end is closed
        return b""


def _limit_address_space(most: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (most, most))


@pytest.mark.slow
def test_too_little_memory_is_refused(tmp_path: Path):
    """E2: under ``ulimit -v`` a trace that does not fit is refused before memory runs out, with what to do."""
    path = written(
        tmp_path,
        packed(
            '{"traceEvents": ['
            + ", ".join(
                f'{{"ph": "X", "cat": "cpu_op", "name": "a{i}", "pid": 1, "tid": 1, "ts": {i}, "dur": 1}}'
                for i in range(300_000)
            )
            + "]}"
        ),
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = run(path, env=environment, preexec_fn=lambda: _limit_address_space(220 << 20))
    assert (done.returncode, done.stdout) == (4, "")
    assert "memory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_read_only_folder(tmp_path: Path):
    """A trace in a folder that cannot be written to is analysed; an output file there is refused in a sentence."""
    path = written(tmp_path, training())
    tmp_path.chmod(0o500)
    try:
        assert run(path).returncode == 0
        if os.geteuid() != 0:  # root may write anywhere
            done = run(path, "-o", str(tmp_path / "out.txt"))
            assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["closed", "broken pipe"])
def test_no_place_for_the_output(tmp_path: Path, how: str):
    """With stdout closed, or its reader gone, the command ends without a traceback."""
    path = written(tmp_path, training())
    command = f"{sys.executable} -m stallscope summary {path} " + (">&-" if how == "closed" else "| true")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2)


# -- on a real recording --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def h100() -> bytes:
    """The text of a real H100 recording."""
    folder = real_trace_folder()
    if folder is None:
        pytest.skip(NO_REAL_TRACES)
    import gzip

    return gzip.decompress((folder / "h100" / "bert_small.json.gz").read_bytes())


@pytest.mark.parametrize("part", [0.3, 0.5, 0.8, 0.95, 0.999])
def test_a_real_recording_cut_short(h100: bytes, part: float, tmp_path: Path):
    """Cut anywhere, it is degraded, names the cut, and claims neither a verdict on nothing nor a run without a GPU."""
    summary = api.summarize(written(tmp_path, h100[: int(len(h100) * part)]))
    assert summary.health.grade == "degraded"
    assert "truncated_json" in {issue.name for issue in summary.health.issues}
    assert summary.verdict.kind != "cpu"
    assert "cut short" in summary.verdict.text or summary.verdict.kind in ("refused", "unknown")


def test_a_real_recording_with_quotes_in_its_names(h100: bytes, tmp_path: Path):
    """Names with quotes, as torch 2.13 writes them, change no figure but the names."""
    damaged = h100.replace(b'"name": "aten::addmm"', b'"name": "aten::"addmm""')
    good, bad = (api.summarize(written(tmp_path, data)) for data in (h100, damaged))
    assert "unescaped_quote" in {issue.name for issue in bad.health.issues}
    assert (good.per_step, good.breakdown_us, good.kernels) == (bad.per_step, bad.breakdown_us, bad.kernels)
    assert [row.calls_per_step for row in good.operators] == [row.calls_per_step for row in bad.operators]


def test_a_real_recording_with_every_device_row_late(h100: bytes, tmp_path: Path):
    """Half of the kernels at start 0: GPU figures are withheld, and the share is told."""
    document = json.loads(h100)
    kernels = [event for event in document["traceEvents"] if event.get("cat") == "kernel"]
    for event in kernels[::2]:
        event["ts"] = 0.0
    summary = api.summarize(written(tmp_path, document))
    (issue,) = [issue for issue in summary.health.issues if issue.name == "implausible_time"]
    assert issue.count == len(kernels[::2])
    assert issue.share == pytest.approx(issue.count / sum(e.get("ph") == "X" for e in document["traceEvents"]), rel=0.2)
    assert (summary.per_step.gpu_busy_us, summary.kernels) == (None, None)
