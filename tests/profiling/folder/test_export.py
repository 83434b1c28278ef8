"""The run folder: names, atomic writing, what goes wrong."""

import gzip
import re
import threading
from pathlib import Path

import msgspec
import pytest

from stallscope.profiling.folder.export import RunFolder, manifest_name, what_is_wrong, worker_name
from stallscope.profiling.run.account import NO_MACHINE
from stallscope.traces.model.manifest import Manifest, Steps, Window
from tests import ROOT
from tests.scripts.processes import python


def manifest():
    """A manifest of a run of three steps."""
    return Manifest(
        stallscope="0",
        created="2026-01-01T00:00:00+00:00",
        command=["train.py"],
        worker="host_1",
        pid=1,
        machine=NO_MACHINE,
        steps=Steps(count=3, source="optimizer"),
    )


def recorded(trace):
    """A timing window of one step, with its trace."""
    return Window(kind="timing", round="short", first_step=0, steps=1, duration_ns=1, samples_ns=[1], trace=trace)


def run_folder(path):
    """A run folder ``train`` below ``path``."""
    return RunFolder(path, "train", manifest, lambda each: msgspec.structs.replace(each, complete=True))


def test_worker_names_suit_tensorboard(monkeypatch):
    """Host and process are found by the plugin's pattern, whatever the host is called; several ranks differ."""
    monkeypatch.setattr("socket.gethostname", lambda: 'ho st".exa_1\u00e9')
    for rank, world in ((0, 1), (3, 8)):
        name = worker_name(rank, world)
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        assert re.match(r"^(.*)_(\d+)", name).group(1) == "ho-st--exa-1-"
        plugin = re.compile(r"^(.*?)(\.\d+)?\.pt\.trace\.json(?:\.gz)?$")
        assert plugin.match(f"{name}.1700000000000000000.pt.trace.json.gz").groups() == (name, ".1700000000000000000")
    assert worker_name(3, 8).endswith(".rank3")
    assert manifest_name(0) == "stallscope.json"
    assert manifest_name(2) == "stallscope.rank2.json"


def test_a_trace_is_verified_compressed_and_named(tmp_path):
    """A plain trace becomes one .gz of the same content, reproducible, with nothing hidden left beside it."""
    folder = run_folder(tmp_path)
    plain = folder.new_trace()
    assert plain.name.startswith(".host_1.")
    plain.write_bytes(b'{"traceEvents": [{"cat": "kernel"}]}\n')
    final = folder.finished(plain, None)
    folder.window_closed()
    folder.close()
    assert re.fullmatch(r"host_1\.\d+\.pt\.trace\.json\.gz", final)
    packed = (tmp_path / "train" / final).read_bytes()
    assert gzip.decompress(packed) == b'{"traceEvents": [{"cat": "kernel"}]}\n'
    assert packed[4:8] == b"\0\0\0\0"  # no time stamp
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == [final, "stallscope.json"]
    assert folder.kernel_rows
    assert msgspec.json.decode((tmp_path / "train" / "stallscope.json").read_bytes(), type=Manifest).complete


@pytest.mark.parametrize("content", [None, b"", b'{"traceEvents": ['])
def test_a_trace_that_was_not_written_is_said(tmp_path, content):
    """On a full disk torch reports success: a missing, empty or cut file is found out and removed."""
    folder = run_folder(tmp_path)
    plain = folder.new_trace()
    if content is not None:
        plain.write_bytes(content)
    assert what_is_wrong(plain) is not None
    assert folder.finished(plain, None) is None
    assert "is the disk full?" in folder.problems[0]
    assert list((tmp_path / "train").iterdir()) == []


def broken_compressor(*_args, **_kwargs):
    """A compressor that finds the disk full."""
    raise OSError(28, "No space left on device")


def test_a_trace_that_cannot_be_compressed_is_kept_as_it_is(tmp_path, monkeypatch):
    """Two windows on a full disk: both plain traces stay, the manifest names them, and one sentence says so."""
    monkeypatch.setattr(gzip, "GzipFile", broken_compressor)
    names = []
    folder = RunFolder(
        tmp_path,
        "train",
        lambda: msgspec.structs.replace(manifest(), windows=[recorded(name) for name in names]),
        lambda each: each,
    )
    for content in (b'{"traceEvents": [1]}', b'{"traceEvents": [2]}'):
        plain = folder.new_trace()
        plain.write_bytes(content)
        names.append(folder.finished(plain, None))
        folder.window_closed()
    folder.close()
    run = tmp_path / "train"
    written = msgspec.json.decode((run / "stallscope.json").read_bytes(), type=Manifest)
    assert [(run / each.trace).read_bytes() for each in written.windows] == [
        b'{"traceEvents": [1]}',
        b'{"traceEvents": [2]}',
    ]
    assert [each.trace for each in written.windows] == [name.removesuffix(".gz") for name in names]
    assert len(list(run.iterdir())) == 3
    assert folder.problems == [
        f"{run}: traces could not be compressed (No space left on device) and are kept as they are"
    ]


LIMITED = """
import os, pathlib, resource, sys
from stallscope.profiling.folder import export
from tests.profiling.folder import test_export as ours
resource.setrlimit(resource.RLIMIT_FSIZE, (100_010, resource.RLIM_INFINITY))
folder = ours.run_folder(pathlib.Path(sys.argv[1]))
plain = folder.new_trace()
plain.write_bytes(os.urandom(99_999) + b"}")
folder.finished(plain, None)
folder.close()
print(*sorted((path.name.split(".", 2)[-1], path.stat().st_size) for path in folder.path.iterdir()), *folder.problems)
"""


def test_a_file_size_limit_that_stops_compression(tmp_path):
    """A trace that fits while its compressed form does not (random bytes grow): the plain one stays."""
    pytest.importorskip("resource", reason="this platform has no file size limits")
    done = python("-c", LIMITED, tmp_path, cwd=ROOT)
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"('pt.trace.json', 100000) {tmp_path / 'train'}: traces could not be compressed (File too large) "
        "and are kept as they are\n"
    )


def test_at_each_moment_the_manifest_names_a_trace_that_is_there(tmp_path, monkeypatch):
    """The process may be killed at any time: the plain trace is named as long as it is the only one, then the other."""
    run, named, windows = tmp_path / "train", [], []

    def look():
        (window,) = msgspec.json.decode((run / "stallscope.json").read_bytes(), type=Manifest).windows
        assert (run / window.trace).exists()
        named.append(window.trace)

    def watched(original):
        return lambda *args, **kwargs: (look(), original(*args, **kwargs))[1]

    folder = RunFolder(
        tmp_path, "train", lambda: msgspec.structs.replace(manifest(), windows=list(windows)), lambda each: each
    )
    folder.quiet(on=True)
    plain = folder.new_trace()
    plain.write_bytes(b"{}")
    windows.append(recorded(folder.finished(plain, None)))
    folder.window_closed()
    look()  # before anything has been done in the background
    monkeypatch.setattr(gzip, "GzipFile", watched(gzip.GzipFile))
    monkeypatch.setattr(Path, "replace", watched(Path.replace))
    monkeypatch.setattr(Path, "unlink", watched(Path.unlink))
    folder.close()
    look()
    assert named[0] == named[-1].removesuffix(".gz") != named[-1]


def test_discarded_traces_are_deleted(tmp_path):
    """What was recorded under a wrong belief about steps does not stay."""
    folder = run_folder(tmp_path)
    plain = folder.new_trace()
    plain.write_bytes(b"{}")
    final = folder.finished(plain, None)
    folder.discard([final])
    folder.close()
    assert list((tmp_path / "train").iterdir()) == []


def test_an_impossible_folder_is_one_problem(tmp_path):
    """A file in the way: None instead of a name, and one sentence, however often it is asked."""
    (tmp_path / "file").write_text("")
    folder = run_folder(tmp_path / "file")
    assert folder.new_trace() is None
    assert folder.new_trace() is None
    folder.write_manifest()
    assert len(folder.problems) == 1
    assert "choose another place with --logdir" in folder.problems[0]


def test_no_folder_without_anything_to_write(tmp_path):
    """Nothing recorded, nothing made."""
    run_folder(tmp_path / "runs").close()
    assert not (tmp_path / "runs").exists()


def test_nothing_that_the_training_calls_waits_for_compression(tmp_path, monkeypatch):
    """A compressor that never gets on: traces are taken over, manifests written, new files given out all the same."""
    going, go = threading.Event(), threading.Event()
    original = gzip.GzipFile

    def stuck(*args, **kwargs):
        going.set()
        assert go.wait(60)
        return original(*args, **kwargs)

    monkeypatch.setattr(gzip, "GzipFile", stuck)
    folder = run_folder(tmp_path)
    finals = []
    for content in (b"{}", b'{"traceEvents": []}', b'{"traceEvents": [{}]}'):
        assert folder.room_for(100)
        plain = folder.new_trace()
        plain.write_bytes(content)
        finals.append(folder.finished(plain, None))
        folder.window_closed()
        assert going.wait(30)
    folder.discard(finals[2:])
    folder.quiet(on=True)
    folder.quiet(on=False)
    run = tmp_path / "train"
    assert not list(run.glob("[!.]*.gz"))  # the first is still being compressed
    assert sorted(each.name for each in run.glob("[!.]*")) == sorted(
        ["stallscope.json", *(name.removesuffix(".gz") for name in finals)]
    )
    go.set()
    folder.close()
    assert sorted(each.name for each in run.iterdir()) == sorted([*finals[:2], "stallscope.json"])


def test_nothing_is_compressed_while_times_are_taken(tmp_path, monkeypatch):
    """A quiet time holds the next job until it ends, or for as long as is allowed at most."""
    going = threading.Event()
    original = gzip.GzipFile
    monkeypatch.setattr(gzip, "GzipFile", lambda *args, **kwargs: going.set() or original(*args, **kwargs))
    for at_most, ends in ((60, True), (0.3, False)):
        monkeypatch.setattr("stallscope.profiling.folder.export.QUIET_AT_MOST", at_most)
        going.clear()
        folder = run_folder(tmp_path)
        folder.quiet(on=True)
        plain = folder.new_trace()
        plain.write_bytes(b"{}")
        folder.finished(plain, None)
        assert not going.wait(0.1)
        if ends:
            folder.quiet(on=False)
        assert going.wait(30)
        folder.close()
