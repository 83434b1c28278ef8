"""The run folder: names, atomic writing, what goes wrong."""

import gzip
import re

import msgspec
import pytest

from stallscope.profiling.account import NO_MACHINE
from stallscope.profiling.export import RunFolder, manifest_name, what_is_wrong, worker_name
from stallscope.traces.manifest import Manifest, Steps


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
