"""What cannot be read ends in one sentence that names the file, the place and what to do."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from stallscope.traces.model.errors import BadInput
from stallscope.traces.read.read import read
from tests.builders import TraceBuilder

TEXT = TraceBuilder().step(0, 100).launch(5, 2, kernel=("gemm", 9, 50)).json().encode()
PACKED = gzip.compress(TEXT, mtime=0)


def refusal(path: Path) -> str:
    """The sentence with which reading ``path`` is refused, without the path that it starts with."""
    with pytest.raises(BadInput) as error:
        read(path)
    sentence = str(error.value)
    assert error.value.exit_code == 2
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    return sentence.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        pytest.param(b"", "empty file", id="empty"),
        pytest.param(gzip.compress(b""), "no data inside", id="empty gzip"),
        pytest.param(PACKED[:12], "damaged gzip data: nothing of it inflates", id="hardly any gzip"),
        pytest.param(b"\x1f\x8b" + b"garbage" * 9, "damaged gzip data: nothing of it inflates", id="gzip by name only"),
        pytest.param(
            b'{"traceEvents": [', "holds no events (truncated_json): the file is damaged", id="only the start"
        ),
        pytest.param(
            b'{"schemaVersion": 1, "dev', "truncated JSON: the text ends in the middle", id="before the events"
        ),
        pytest.param(b"hello\n", "not valid JSON at byte 0", id="text"),
        pytest.param(TEXT + TEXT, f"a whole JSON document that goes on with another at byte {len(TEXT)}", id="two"),
        pytest.param(b"{}", "valid JSON, but without a list of traceEvents", id="no traceEvents"),
        pytest.param(b"12", "valid JSON, but a single int", id="a number"),
        pytest.param(b"null", "valid JSON, but a single NoneType", id="null"),
        pytest.param(b'{"traceEvents": null}', "valid JSON, but without a list of traceEvents", id="null events"),
        pytest.param(b'{"traceEvents": {"a": 1}}', "valid JSON, but its traceEvents is a dict", id="dict events"),
        pytest.param(b'{"traceEvents": []}', "holds no events: nothing was recorded", id="no events"),
        pytest.param(b"[]", "holds no events", id="empty list"),
        pytest.param(b'[{"ph": "M", "name": "x"}]', "none of its 1 entries is a complete event", id="only metadata"),
        pytest.param(b"[1, 2]", "none of its 2 entries is a complete event", id="a list of numbers"),
        pytest.param(
            b'{"schema": "1", "nodes": []}', "valid JSON, but a PyTorch execution trace", id="execution trace"
        ),
        pytest.param(b"PK\x03\x04" + b"0" * 99, "not a trace: it is a zip archive", id="zip"),
        pytest.param(b"\x28\xb5\x2f\xfd" + b"0" * 99, "not a trace: it is compressed by zstd", id="zstd"),
        pytest.param(b"SQLite format 3\0" + b"0" * 99, "not a trace: it is an SQLite database", id="sqlite"),
        pytest.param(b"\x80\x04\x95" + b"0" * 99, "not a trace: it is a Python pickle", id="pickle"),
    ],
)
def test_unusable_bytes(tmp_path: Path, data: bytes, sentence: str):
    """Bytes that are no trace are refused with a sentence that says what they are instead."""
    path = tmp_path / "trace.json.gz"
    path.write_bytes(data)
    assert refusal(path).startswith(sentence)


def test_a_missing_file(tmp_path: Path):
    """A file that is not there is named."""
    assert refusal(tmp_path / "absent.json") == "no such file; give the path of a trace file"


def test_a_folder(tmp_path: Path):
    """A folder is no trace file."""
    assert refusal(tmp_path).startswith("is a folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_block(tmp_path: Path):
    """A named pipe is refused at once instead of waiting for a writer."""
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe").startswith("is not a regular file")


def test_one_bad_name_in_a_large_file_is_the_only_thing_that_is_noted(tmp_path: Path):
    """Several blocks behind it are read as if nothing had been: no comma too many is seen where a block was resumed."""
    path = tmp_path / "t.json"
    row = '{"ph": "X", "cat": "cpu_op", "name": "op%d", "ts": %d.250, "dur": 1, "pid": 1, "tid": 1}'
    rows = [row % (at, at) for at in range(40_000)]
    rows[5_000] = rows[5_000].replace("op5000", 'op"5000"')
    path.write_text('{"traceEvents": [\n' + ",\n".join(rows) + "\n]}", encoding="utf-8")
    assert path.stat().st_size > 3 << 20
    trace = read(path)
    assert trace.event_count == 40_000
    assert [(each.name, each.count) for each in trace.issues if each.name != "no_steps"] == [("unescaped_quote", 1)]
