"""The same trace, written in other ways: indented, on one line, compressed, its events in any order. One report."""

import gzip
import random

import msgspec
import pytest

from stallscope import api
from stallscope.analysis.report.document import document
from tests.builders import TraceBuilder

REAL = (
    "a100/alexnet.json.gz",  # cuda_sync rows
    "amd/mi300_graph_decode.json.gz",  # many kernels under one correlation
    "h100/bert_small.json.gz",  # Python stacks
    "kineto-2021/inference_rank_1.json.gz",  # the spellings of 2021
    "mtia/inference_rank_0.json.gz",  # ranges that do not nest
    "v100/ns_resolution_rank0.pt.trace.json.gz",  # absolute times that a double cannot hold
)


def forms(text):
    """By name (file name, bytes) of the JSON ``text`` in other forms; numbers keep their digits."""
    one_line = msgspec.json.format(text, indent=-1)
    yield "one line", "trace.json", one_line
    yield "indented", "trace.json", msgspec.json.format(text, indent=3)
    yield "compressed", "trace.json.gz", gzip.compress(one_line, 1)
    for seed in (1, 2):
        yield f"shuffled {seed}", "trace.json", shuffled(text, seed)


def shuffled(text, seed):
    """The events in another order."""
    keys = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    events = msgspec.json.decode(keys["traceEvents"], type=list[msgspec.Raw])
    random.Random(seed).shuffle(events)  # noqa: S311 - an order, not a secret
    return msgspec.json.encode({**keys, "traceEvents": events})


def report(path):
    """The JSON summary of a trace but for its path."""
    (run,) = api.load(path)
    return document(msgspec.structs.replace(run.summary, trace=msgspec.structs.replace(run.summary.trace, path="")))


def check(text, folder):
    """Every form of ``text`` gives the same bytes."""
    original = folder / "trace.json"
    original.write_bytes(text)
    expected = report(original)
    for name, file, data in forms(text):
        path = folder / file
        path.write_bytes(data)
        assert report(path) == expected, name


def test_a_built_trace(tmp_path):
    """Three steps in which rows tie: two equal kernels, two operators at one instant, a copy and a wait."""
    builder = TraceBuilder(rank=1, world_size=2)
    for at in (0, 1000, 2000):
        builder.step(at, 900).dataloader(at + 5, 50).op("aten::linear", at + 100, 300).op("aten::addmm", at + 100, 200)
        builder.launch(at + 110, 5, kernel=("gemm", at + 150, 100)).launch(at + 120, 5, kernel=("gemm", at + 150, 100))
        builder.memcpy(at + 410, 9, copy=("Memcpy DtoH (Device -> Pageable)", at + 415, 3), nbytes=at + 4)
        builder.sync(at + 420, 80.125, name="cudaStreamSynchronize").memory(at + 430, at + 1024, at + 4096)
    check(builder.json().encode(), tmp_path)


@pytest.mark.parametrize("name", REAL)
def test_a_real_trace(name, real_traces, tmp_path):
    """Traces of several makers and years."""
    with gzip.open(real_traces / name) as file:
        check(file.read(), tmp_path)
