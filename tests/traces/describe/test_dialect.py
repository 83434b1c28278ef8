"""What a file is: the years of its spelling, its writer, its way to tell the time."""

import gzip
import json

import msgspec
import pytest

from stallscope.traces.describe.details import read_details
from stallscope.traces.describe.dialect import find_dialect
from stallscope.traces.out.redact import redact
from stallscope.traces.read.read import read
from tests.builders import TraceBuilder


def dialect(path):
    """The dialect of a file."""
    return find_dialect(read(path), read_details(path))


@pytest.mark.parametrize(
    ("name", "years", "writer", "times"),
    [
        ("kineto-2021/resnet50_autograd_api/worker0.pt.trace", "2021", "Kineto", "whole microseconds"),
        ("a100/recommender_rank0_of_16", "2022 to 2024", "Kineto", "whole microseconds"),
        ("v100/ns_resolution_rank0.pt.trace", "2022 to 2024", "Kineto", "fractions, absolute"),
        ("amd/mi250_minitoy_train", "2024 and later", "Kineto", "fractions after a base time"),
        (
            "h100/bert_small",
            "2024 and later",
            "another tool, or saved again",
            "fractions after a base time",
        ),
    ],
)
def test_real_traces(name, years, writer, times, real_traces):
    """One of each dialect."""
    found = dialect(real_traces / f"{name}.json.gz")
    assert (found.years, found.writer, found.times) == (years, writer, times)


@pytest.mark.slow
def test_what_the_installed_torch_writes_is_kinetos(tmp_path):
    """A trace exported this minute is not taken for another tool's."""
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        torch.ones(3).sum()
    profiler.export_chrome_trace(str(tmp_path / "t.json"))
    assert dialect(tmp_path / "t.json").writer == "Kineto"


def test_a_redacted_copy_says_so(tmp_path):
    """And keeps the rest of its dialect."""
    path, copy = TraceBuilder().op("aten::add", 0.5, 5).write(tmp_path), tmp_path / "copy.json"
    copy.write_bytes(b"".join(redact(path)))
    found = dialect(copy)
    assert (found.writer, found.years, found.times) == (
        "stallscope redact",
        "2024 and later",
        "fractions after a base time",
    )


def test_a_list_of_events_is_a_legacy_file(tmp_path):
    """Torch's profiler without Kineto writes the events alone."""
    path = tmp_path / "t.json"
    path.write_text(json.dumps(TraceBuilder().op("aten::add", 0, 5).events))
    assert dialect(path).writer == "torch's profiler without Kineto"


def test_the_features_that_told(tmp_path):
    """Waits, driver calls, stacks and memory samples are named where they are there."""
    builder = TraceBuilder().op("aten::add", 0, 5, **{"Call stack": "a.py(1): f"}).memory(3, 1, 2)
    builder.call("cuLaunchKernel", 1, 2, cat="cuda_driver")
    assert dialect(builder.write(tmp_path)).features == (
        "a base time",
        "call stacks",
        "driver calls",
        "memory samples",
    )


@pytest.mark.slow
def test_torchs_python_exporter(tmp_path):
    """A profile written by torch itself with ``use_python_export``; a compact copy of it was saved by a tool."""
    torch = pytest.importorskip("torch")
    from torch.profiler import ProfilerActivity, profile

    path = tmp_path / "t.json"
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        torch.ones(3).add(1)
    try:
        prof.export_chrome_trace(str(path), use_python_export=True)
    except TypeError:
        pytest.skip("this torch has no Python exporter")
    assert dialect(path).writer == "torch's Python exporter"
    compact = tmp_path / "compact.json.gz"
    compact.write_bytes(gzip.compress(msgspec.json.format(path.read_bytes(), indent=-1)))
    assert dialect(compact).writer == "another tool, or saved again"
