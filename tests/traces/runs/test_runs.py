"""A path becomes runs, workers and spans, by the names that TensorBoard reads."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from stallscope.traces.model.errors import BadInput
from stallscope.traces.model.manifest import Machine, Manifest, Steps, Window
from stallscope.traces.runs.runs import find_runs, load_manifests


def touch(folder: Path, *names: str) -> Path:
    """Create files that hold a trace by their name only."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return folder


def manifest(worker: str, *windows: tuple[str, str, str | None]) -> bytes:
    """A manifest of ``worker`` with windows given as (kind, round, trace)."""
    return msgspec.json.encode(
        Manifest(
            stallscope="0",
            created="2026-01-01T00:00:00Z",
            command=["train.py"],
            worker=worker,
            pid=1,
            machine=Machine(os="Linux", python="3.11", cpu="x", cores=2, threads=2, torch=None),
            steps=Steps(count=9, source="optimizer"),
            windows=[
                Window(kind=kind, round=round_, first_step=0, steps=1, duration_ns=1, samples_ns=[1], trace=trace)
                for kind, round_, trace in windows
            ],
        )
    )


def test_a_file_is_a_run_of_one_span(tmp_path: Path):
    """A trace file given itself is one run, whatever it is called."""
    touch(tmp_path, "my trace.json")
    (run,) = find_runs(tmp_path / "my trace.json")
    (worker,) = run.workers
    assert (run.name, worker.name, worker.spans[0].ns) == ("my trace.json", "my trace", None)
    assert run.timing_trace(worker).path == tmp_path / "my trace.json"


def test_spans_are_ordered_as_numbers(tmp_path: Path):
    """Of spans named in milliseconds (2021) and in nanoseconds, the larger number is the newer."""
    touch(tmp_path, "w.1623143089861.pt.trace.json", "w.1700000000000000000.pt.trace.json.gz", "w.pt.trace.json")
    (run,) = find_runs(tmp_path)
    assert [span.ns for span in run.workers[0].spans] == [None, 1623143089861, 1700000000000000000]
    assert run.timing_trace(run.workers[0]).path.name == "w.1700000000000000000.pt.trace.json.gz"


def test_a_folder_of_runs(tmp_path: Path):
    """Each folder with traces below the one given is a run, named by its path there; workers are sorted."""
    touch(
        tmp_path,
        "b/node_2.5.pt.trace.json",
        "b/node_1.5.pt.trace.json",
        "b/node_1.6.pt.trace.json",
        "a/deep/w.1.pt.trace.json",
        "a/notes.json",
        ".hidden/w.1.pt.trace.json",
        "c/w.1.pt.trace.json.tmp",
        "c/.w.1.pt.trace.json",
    )
    runs = find_runs(tmp_path)
    assert [run.name for run in runs] == ["a/deep", "b"]
    assert [(worker.name, len(worker.spans)) for worker in runs[1].workers] == [("node_1", 2), ("node_2", 1)]


def test_the_timing_window_is_chosen_by_the_manifest(tmp_path: Path):
    """The full round's timing window is taken, not the newer attribution window nor the short round's."""
    names = [f"w.{ns}.pt.trace.json" for ns in (1, 2, 3, 4)]
    touch(tmp_path, *names)
    windows = [
        ("unprofiled", "short", None),
        ("timing", "short", names[0]),
        ("attribution", "short", names[1]),
        ("timing", "full", names[2]),
        ("attribution", "full", names[3]),
    ]
    (tmp_path / "stallscope.json").write_bytes(manifest("w", *windows))
    (run,) = find_runs(tmp_path)
    assert run.timing_trace(run.workers[0]).path.name == names[2]
    (tmp_path / "stallscope.json").write_bytes(manifest("w", *windows[:3], ("timing", "full", None)))
    (run,) = find_runs(tmp_path)
    assert run.timing_trace(run.workers[0]).path.name == names[0]


def test_each_rank_has_its_manifest(tmp_path: Path):
    """The manifest of rank 0 is stallscope.json, others carry the rank; a trace finds its own beside it."""
    touch(tmp_path, "h_0.1.pt.trace.json", "h_1.1.pt.trace.json", "h_2.1.pt.trace.json")
    (tmp_path / "stallscope.json").write_bytes(manifest("h_0"))
    (tmp_path / "stallscope.rank1.json").write_bytes(manifest("h_1"))
    (run,) = find_runs(tmp_path)
    assert [worker.manifest and worker.manifest.worker for worker in run.workers] == ["h_0", "h_1", None]
    (single,) = find_runs(tmp_path / "h_1.1.pt.trace.json")
    assert single.workers[0].manifest.worker == "h_1"


@pytest.mark.parametrize("data", [b"", b"{", b'{"schema": "stallscope.manifest/1"}', b"\xff", b"[]"])
def test_a_broken_manifest_is_a_notice(tmp_path: Path, data: bytes):
    """A manifest that cannot be read never stops the analysis of its traces; the worker says that it was left out."""
    touch(tmp_path, "w.1.pt.trace.json")
    (tmp_path / "stallscope.json").write_bytes(data)
    (run,) = find_runs(tmp_path)
    assert run.workers[0].manifest is None
    assert [(issue.name, issue.count) for issue in run.workers[0].issues] == [("unusable_manifest", 1)]


def test_a_manifest_of_another_schema_is_a_notice(tmp_path: Path):
    """A manifest written by another version is not guessed at."""
    (tmp_path / "stallscope.json").write_bytes(manifest("w").replace(b"manifest/1", b"manifest/9"))
    manifests, issues = load_manifests(tmp_path)
    assert manifests == {}
    assert "stallscope.manifest/9" in issues[0].advice


def test_a_folder_without_traces(tmp_path: Path):
    """A folder without traces says what was looked for and what to type."""
    with pytest.raises(BadInput, match=r"looked for <worker>\.<ns>\.pt\.trace\.json .* stallscope profile --logdir"):
        find_runs(tmp_path)
    touch(tmp_path, "alexnet.json")
    with pytest.raises(BadInput, match=r"but 1 other \.json files: name one itself, e\.g\. .*alexnet\.json"):
        find_runs(tmp_path)


def test_a_missing_path(tmp_path: Path):
    """A path that is not there is named."""
    with pytest.raises(BadInput, match="absent: no such file"):
        find_runs(tmp_path / "absent")


def test_links_between_folders_end(tmp_path: Path):
    """A link to a folder above is not followed round and round."""
    touch(tmp_path, "run/w.1.pt.trace.json")
    (tmp_path / "run" / "loop").symlink_to(tmp_path)
    assert [run.name for run in find_runs(tmp_path)] == ["run"]
