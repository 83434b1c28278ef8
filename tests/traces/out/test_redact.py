"""What a redacted trace no longer says, and that its figures are the same."""

import gzip
import json
import re

import msgspec
import pytest

from stallscope import api
from stallscope.analysis.report.document import document
from stallscope.traces.model.errors import BadInput
from stallscope.traces.out.redact import redact, without_folders
from tests.builders import TraceBuilder
from tests.real import every_real_trace

SECRETS = ("annika", "box7", "hunter2", "acme", "job-42", "10.0.0.5", "left-pad", "Bob", "deadbeef")


def telling():
    """A trace that says a secret in every place known to hold them."""
    builder = TraceBuilder(rank=0, world_size=2).step(0, 100).python("/home/annika/acme work/net.py(6): forward", 0, 90)
    builder.op("aten::add", 10, 20, **{"Input Dims": [[2, 3]], "Concrete Inputs": ["hunter2"], "Sequence number": 4})
    builder.op(
        "aten::mul", 40, 20, **{"Call stack": "/home/annika/net.py(9): forward;run.py(3): main", "path": "acme.bob"}
    )
    builder.launch(12, 5, kernel=("gemm", 30, 7)).annotation("## Call /tmp/annika/x.py ##", 5, 2)
    builder.event(ph="M", name="process_name", pid=1, tid=0, ts=0, args={"name": "python /home/annika/train.py"})
    builder.event(ph="M", name="process_labels", pid=1, tid=0, ts=0, args={"labels": "annika on box7"})
    builder.event(ph="i", cat="x", name="Iteration Start: job-42", pid="Traces", tid="t", ts=1, s="g")
    builder.complete("Trace", "PyTorch Profiler (job-42)", 0, 100, **{"Trace name": "job-42"})
    builder.key(
        host_name="box7", traceName="/home/annika/trace.json", trace_id="deadbeef", PT_PROFILER_JOB_NAME="job-42"
    )
    builder.key(metadata={"pip": ["left-pad==1"], "user": "Bob"}, INFO=["10.0.0.5 said"], note="hunter2")
    builder.keys["distributedInfo"] |= {"pg_config": [{"pg_name": "acme"}], "master": "10.0.0.5"}
    builder.keys["deviceProperties"][0]["uuid"] = "GPU-deadbeef"
    return builder


def redacted(path, **options):
    """The redacted text of a trace file."""
    return b"".join(redact(path, **options))


def report(path):
    """The JSON summary of a trace but for its path."""
    (run,) = api.load(path)
    return document(msgspec.structs.replace(run.summary, trace=msgspec.structs.replace(run.summary.trace, path="")))


def test_nothing_tells_of_person_machine_or_folder(tmp_path):
    """None of the secrets is left; names of operators, kernels, files and functions are."""
    text = redacted(telling().write(tmp_path)).decode()
    assert [secret for secret in SECRETS if secret in text] == []
    for kept in ("aten::add", "gemm", "net.py(6): forward", "run.py(3): main", "NVIDIA H100", "Iteration Start"):
        assert kept in text
    document = json.loads(text)
    assert document["distributedInfo"] == {"backend": "nccl", "rank": 0, "world_size": 2}
    assert document["traceEvents"][2]["args"] == {"Input Dims": [[2, 3]], "Sequence number": 4}


@pytest.mark.parametrize(
    "event",
    [
        {"pid": "annika", "tid": 1},
        {"pid": 1, "tid": "annika"},
        {"pid": 1, "tid": 1, "id": "annika"},
        {"pid": 1, "tid": 1, "cat": "annika"},
        {"pid": 1, "tid": 1, "ph": "annika"},
        {"pid": 1, "tid": 1, "args": {"Input Dims": [["annika"]]}},
        {"pid": 1, "tid": 1, "args": {"Input type": ["annika", "float"]}},
        {"pid": 1, "tid": 1, "args": {"Input type": "annika"}},
        {"pid": 1, "tid": 1, "args": {"Call stack": "/home/annika/my work/net.py(9): forward"}},
        {"pid": 1, "tid": 1, "name": "load /home/annika/my work/a.bin"},
        {"pid": 1, "tid": 1, "name": "cd /home/annika"},
        {"pid": 1, "tid": 1, "name": r"C:\\Users\\annika\\my work\\a.bin"},
        {"pid": 1, "tid": 1, "ph": "M", "name": "thread_name", "args": {"name": "thread 7 (annika)"}},
        {"pid": 1, "tid": 1, "ph": "M", "name": "thread_name", "args": {"name": "annika"}},
    ],
    ids=str,
)
def test_what_is_not_known_to_be_harmless_goes(event, tmp_path):
    """A text where a number is expected, a category, a type, a size, a thread or a folder of somebody's own."""
    builder = TraceBuilder().step(0, 100)
    builder.event(**{"ph": "X", "cat": "cpu_op", "name": "aten::add", "ts": 1, "dur": 2, **event})
    builder.key(displayTimeUnit="annika is a name too long for a unit, however one looks at it, and so it goes")
    assert "annika" not in redacted(builder.write(tmp_path)).decode()


def test_what_a_convolution_computes_stays(tmp_path):
    """Strides and flags tell its arithmetic; any other text among its values is emptied."""
    builder = TraceBuilder().step(0, 100)
    builder.op("aten::convolution", 1, 5, **{"Concrete Inputs": ["hunter2", "[1, 2]", "True", "3", "[True, False]"]})
    document = json.loads(redacted(builder.write(tmp_path)))
    assert document["traceEvents"][1]["args"] == {"Concrete Inputs": ["", "[1, 2]", "True", "3", "[True, False]"]}


def test_shapes_go_where_asked(tmp_path):
    """``drop_shapes`` leaves the sequence number alone."""
    document = json.loads(redacted(telling().write(tmp_path), drop_shapes=True))
    assert document["traceEvents"][2]["args"] == {"Sequence number": 4}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.py(3): main", "train.py(3): main"),
        ("torch/nn/modules/module.py(1501): _call_impl", "torch/nn/modules/module.py(1501): _call_impl"),
        ("threading.py(637): wait", "threading.py(637): wait"),
        ("/v/lib/python3.11/site-packages/torch/a.py(1): f", "/site-packages/torch/a.py(1): f"),
        ("/v/lib/python3.11/threading.py(1): f", "/lib/python3.11/threading.py(1): f"),
        ("model/encoder/layer 1", "model/encoder/layer 1"),
        ("Torch-Compiled Region: 0/0", "Torch-Compiled Region: 0/0"),
        ("void at::native::k<(A)0, B>(C const*)", "void at::native::k<(A)0, B>(C const*)"),
    ],
)
def test_what_tells_nothing_stays(text, expected):
    """Files without a folder, Python's library and well-known packages, slashes that are no paths."""
    assert without_folders(text) == expected


def test_folders_become_tokens_that_are_equal_for_equal_folders():
    """One folder with two files; another folder; a private package; a folder of Windows."""
    texts = ["/home/annika/a.py(1): f", "/home/annika/b.py(1): f", "src/a.py(1): f", "/v/site-packages/acme/a.py(1): f"]
    found = [without_folders(text).rpartition("/") for text in [*texts, r"C:\Users\annika\a.py(1): f"]]
    folders, files = [folder for folder, _, _ in found], [file for *_, file in found]
    assert files == ["a.py(1): f", "b.py(1): f", "a.py(1): f", "a.py(1): f", "a.py(1): f"]
    assert folders[0] == folders[1]
    assert len(set(folders)) == 4
    assert not any(word in folder for folder in folders for word in ("home", "annika", "src", "acme", "Users"))


@every_real_trace
def test_figures_of_real_traces_stay(path, tmp_path):
    """The JSON summary of the redacted copy is that of the original but for paths."""
    copy = tmp_path / "copy.json"
    copy.write_bytes(redacted(path))
    expected = json.loads(report(path), object_hook=without_paths)
    assert json.loads(report(copy), object_hook=without_thread) == expected


FUNCTION = re.compile(r"(.+) \((.+):(\d+)\)$")  # as the summary shows a frame: helper (src/train.py:6)
SITE = re.compile(r"(.+):(\d+)$")  # src/train.py:47
TOLD = re.compile(r"\w+ \([^\s()]+:\d+\)")  # a frame within a sentence


def without_thread(values):
    """An object of a summary without the name of the program in that of a thread: some stay, some do not."""
    thread = values.get("thread")
    return values | {"thread": thread.partition(" (")[0]} if isinstance(thread, str) else values


def without_paths(values):
    """An object of a summary as that of a trace whose frames lack their folders."""
    values = without_thread(values)
    values = {key: without_path(each) if isinstance(each, str) else each for key, each in values.items()}
    if "evidence" in values:  # of a cause, with the places that it names
        values["evidence"] = TOLD.sub(lambda found: without_path(found[0]), values["evidence"])
        values["where"] = [without_path(place) for place in values["where"]]
    return values


def without_path(text):
    """A text of a summary likewise: a place as the summary shows it is turned into a frame and back."""
    for pattern, path, frame in ((FUNCTION, 2, r"\2(\3): \1"), (SITE, 1, r"\1(\2): f")):
        found = pattern.match(text)
        if found and not text.startswith("/"):
            return text.replace(found[path], without_folders(found.expand(frame)).rpartition("(")[0])
    return without_folders(text)


def test_the_text_of_numbers_is_copied(tmp_path):
    """An absolute time that a double cannot hold, and a zero at the end of a fraction, stay as they are written."""
    path = tmp_path / "t.json"
    event = '{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":1712195495519689.047,"dur":1.50,"args":{"a":1e3}}'
    path.write_text('{"traceEvents": [' + event + "]}")
    assert event in redacted(path).decode()


def test_a_damaged_trace_is_refused(tmp_path):
    """What cannot be read to its end cannot be vouched for."""
    path = tmp_path / "t.json"
    path.write_text(telling().json()[:-400])
    with pytest.raises(BadInput, match="only a whole trace"):
        redacted(path)


def test_an_empty_list_and_a_list_alone(tmp_path):
    """No events; a document that is the list of events itself, in which an entry is none."""
    path = tmp_path / "t.json"
    path.write_text('{"traceEvents": [], "host_name": "box7"}')
    assert json.loads(redacted(path)) == {"traceEvents": [], "redacted": 1}
    path.write_text('[5, {"ph": "X", "name": "/a/b.py(1): f", "ts": 1, "dur": 2}]')
    assert [event["ts"] for event in json.loads(redacted(path))["traceEvents"]] == [1]


@pytest.mark.parametrize("name", ["copy.json", "copy.json.gz"])
def test_the_command_writes_a_file_and_replaces_none(name, tmp_path, capfd):
    """Compressed by its name; the original is as before; a second time is refused."""
    from stallscope.cli import _execute

    path, copy = telling().write(tmp_path), tmp_path / name
    before = path.read_bytes()
    assert _execute(["redact", str(path), "-o", str(copy)]) == 0
    data = copy.read_bytes()
    text = gzip.decompress(data) if name.endswith(".gz") else data
    assert json.loads(text)["traceEvents"]
    assert _execute(["redact", str(path), "-o", str(copy)]) == 2
    assert "exists already" in capfd.readouterr().err
    assert (copy.read_bytes(), path.read_bytes()) == (data, before)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([path.name, name])
