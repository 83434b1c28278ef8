"""`stallscope annotate`: the answer painted into a trace that stays what it was."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from stallscope import cli
from stallscope.analysis.summary import summarize
from stallscope.traces.read.read import read
from tests.analysis.stages.where.test_join import tables
from tests.analysis.test_summary import window
from tests.builders import TraceBuilder
from tests.real import real_parameters
from tests.simulated_iris import SAMPLE
from tests.stallscope.test_attributed_runs import write

CATEGORY = '"cat":"stallscope"'


def annotate(path: Path, output: Path) -> str:
    """The text of the annotated copy."""
    assert cli._execute(["annotate", str(path), "-o", str(output)]) == 0
    return text_of(output)


def text_of(path: Path) -> str:
    """The text of a trace file, plain or compressed."""
    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", "surrogateescape")


def exact(text: str):
    """JSON with its numbers as they are written: a time since 1970 in µs with decimals fits no float."""
    return json.loads(text, parse_float=Decimal)


def overlaps(events: list[dict]) -> int:
    """How often a slice begins before the one before it on its track has ended, in ns as the file spells them."""
    tracks = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append((int(1000 * event["ts"]), int(1000 * event["dur"])))
    pairs = [(a, b) for track in tracks.values() for a, b in zip(sorted(track), sorted(track)[1:], strict=False)]
    return sum(a[0] + a[1] > b[0] for a, b in pairs)


def hostile() -> TraceBuilder:
    """A step with an operator whose name is markup and steers a terminal."""
    builder = TraceBuilder().step(0, 100).launch(2, 5, kernel=("k", 10, 30))
    return builder.op('</script>"\\\u202e\x1b[31m', 18, 30).sync(20, 25).launch(80, 5, kernel=("k", 90, 10))


def test_the_copy_of_a_small_trace(tmp_path: Path):
    """Our events lie in a process of their own, parse, do not overlap, and the file was not touched."""
    path = hostile().write(tmp_path)
    before = path.read_bytes()
    text = annotate(path, tmp_path / "out.json")
    ours = [event for event in exact(text)["traceEvents"] if event.get("cat") == "stallscope"]
    assert path.read_bytes() == before
    assert Counter(event["ph"] for event in ours) == {"M": 10, "X": 15, "C": 4}
    assert {event["pid"] for event in ours} == {700_000_000}
    assert overlaps(ours) == 0


def test_its_writer_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The health of the copy says that it is one."""
    annotate(hostile().write(tmp_path), tmp_path / "out.json")
    assert cli._execute(["summary", "--health", str(tmp_path / "out.json")]) == 0
    assert "stallscope annotate" in capsys.readouterr().out


def test_an_output_that_exists_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """One sentence, exit code 2, and the file as it was."""
    path, output = hostile().write(tmp_path), tmp_path / "mine.json"
    output.write_text("mine")
    assert cli._execute(["annotate", str(path), "-o", str(output)]) == 2
    assert output.read_text() == "mine"
    assert "--force" in capsys.readouterr().err


SMALL = [pytest.param(SAMPLE, id="sample"), *real_parameters(400_000)]  # others would take long


@pytest.mark.parametrize("path", SMALL)
def test_our_sample_and_real_traces(path: Path, tmp_path: Path):
    """Without our lines the text is the original's; with them every figure is as before, and no slice overlaps."""
    output = tmp_path / "out.json.gz"
    text, original = annotate(path, output), text_of(path)
    lines = [line for line in text.splitlines() if CATEGORY in line]
    added = "\n" + "\n".join(lines) + "\n"
    assert text.replace(added, "", 1) == original
    assert overlaps([exact(line.rstrip(",")) for line in lines]) == 0
    assert summary_of(output) == summary_of(path)


def ours_by_track(text: str) -> dict[str, list[dict]]:
    """Our slices by the name of their track, in the order of the file."""
    ours = [event for event in exact(text)["traceEvents"] if event.get("cat") == "stallscope"]
    names = {event["tid"]: event["args"]["name"] for event in ours if event["name"] == "thread_name"}
    tracks: dict[str, list[dict]] = {name: [] for name in names.values()}
    for event in ours:
        if event["ph"] == "X":
            tracks[names[event["tid"]]].append(event)
    return tracks


@pytest.mark.parametrize("path", SMALL)
def test_the_verdict_lies_over_each_step_to_the_ns(path: Path, tmp_path: Path):
    """Where the file marks its steps our slices begin and end as they do, in every digit of its own spelling."""
    text = annotate(path, tmp_path / "out.json")
    marked = [
        event
        for event in exact(text)["traceEvents"]
        if event.get("name", "").startswith("ProfilerStep#") and event.get("cat") in ("user_annotation", "Operator")
    ]
    if not marked:
        pytest.skip("the trace marks no steps")
    steps = sorted((Decimal(event["ts"]), Decimal(event["dur"])) for event in marked)
    shown = [(event["ts"], event["dur"]) for event in ours_by_track(text)["Verdict"]]
    assert shown == steps


def test_a_wait_names_its_call_site(tmp_path: Path):
    """Of a run that recorded its lines the track of waits says which line waits: a copy and its wait in each step."""
    run = a_run(tmp_path)
    waits = ours_by_track(annotate(run, tmp_path / "out.json"))
    (track,) = [found for name, found in waits.items() if name.startswith("Where the CPU waits")]
    assert {event["name"] for event in track} == {"waits: aten::item in train.py:6"}
    assert {event["args"]["call site"] for event in track} == {"train.py:6"}
    assert len(track) == 4


def a_run(folder: Path) -> Path:
    """A run folder of two timed steps and three with marks."""
    windows = []
    for name, kind, steps in (("w.1.pt.trace.json.gz", "timing", 2), ("w.2.pt.trace.json.gz", "attribution", 3)):
        write(folder, name, steps, marks=kind == "attribution")
        windows.append(window(kind, "full", steps=steps, duration_ns=1, trace=name))
    (folder / "stallscope.json").write_bytes(msgspec.json.encode(tables(windows=windows, worker="w")))
    return folder


def summary_of(path: Path) -> object:
    """The summary but for what names the file, or counts its events and takes shares of them."""
    found = msgspec.to_builtins(summarize(read(path)))
    del found["trace"]["path"], found["trace"]["events"]
    for issue in found["health"]["issues"]:
        del issue["share"]
    return found


@pytest.mark.parametrize("command", ["annotate", "redact"])
def test_of_a_run_folder_the_trace_that_a_summary_takes_is_copied(command, tmp_path: Path, capsys):
    """Two spans: the newer one; which it was, and where the copy is, is said on stderr, and stdout stays empty."""
    run, copy = tmp_path / "run", tmp_path / "copy.json"
    run.mkdir()
    for ns, name in ((1, "older_op"), (2, "newer_op")):
        TraceBuilder().step(0, 100).op(name, 5, 5).write(run, f"w.{ns}000000000000000000.pt.trace.json")
    assert cli._execute([command, str(run), "-o", str(copy)]) == 0
    assert "newer_op" in copy.read_text()
    assert "older_op" not in copy.read_text()
    said = capsys.readouterr()
    taken = run / "w.2000000000000000000.pt.trace.json"
    assert (said.out, said.err) == ("", f"written: {copy}, a copy of {taken}\n")


@pytest.mark.slow
@pytest.mark.parametrize("path", [pytest.param(SAMPLE, id="sample"), *real_parameters()[:4]])
def test_torchs_validator(path: Path, tmp_path: Path):
    """Torch's own trace validator finds in the copy what it found in the original."""
    from torch.profiler._trace_validator import validate_trace

    annotate(path, tmp_path / "out.json.gz")

    def broken(file: Path) -> Counter:
        return Counter(found.rule_name for found in validate_trace(str(file))[1])

    assert broken(tmp_path / "out.json.gz") == broken(path)
