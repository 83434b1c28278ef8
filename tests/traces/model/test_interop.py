"""Events by category, and a trace as a table of another library."""

import sys

import numpy as np
import pytest

from stallscope.traces.model.errors import BadInput
from stallscope.traces.model.fields import Category
from tests.builders import TraceBuilder


def built():
    """A step with an operator, a launch with its kernel, and a copy of 64 bytes."""
    builder = TraceBuilder().step(0, 100).op("aten::add", 10, 20).launch(12, 5, kernel=("gemm", 30, 7))
    return builder.memcpy(40, 5, copy=("Memcpy HtoD (Pinned -> Device)", 50, 3), nbytes=64).trace()


@pytest.mark.parametrize("wanted", ["kernel", "Kernel", Category.KERNEL])
def test_events_of_one_category(wanted):
    """Our name, the spelling of 2021 and the enumeration give the one kernel; all events are still there as columns."""
    trace = built()
    kernels = trace.events(category=wanted)
    assert (kernels.ts_ns.tolist(), kernels.dur_ns.tolist(), len(kernels)) == ([30_000], [7_000], 1)
    assert len(trace.events.ts_ns) == 6
    assert kernels.correlation.values.tolist() == [1]


def test_a_category_as_the_file_spells_it():
    """``cuda_runtime`` means the runtime calls: the launch and the copy."""
    assert built().events(category="cuda_runtime").ts_ns.tolist() == [12_000, 40_000]


def test_a_category_that_does_not_exist():
    """One sentence lists those that do."""
    with pytest.raises(BadInput, match="kernels: no category of events; known are cpu_op, annotation, python, runtime"):
        built().events(category="kernels")


def check(table):
    """The rows of ``built`` in either library's table."""
    rows = {name: list(table[name]) for name in table.columns}
    assert rows["ts_ns"] == [0, 10_000, 12_000, 30_000, 40_000, 50_000]
    assert rows["dur_ns"] == [100_000, 20_000, 5_000, 7_000, 5_000, 3_000]
    assert rows["category"] == ["annotation", "cpu_op", "runtime", "kernel", "runtime", "memcpy"]
    assert rows["name"][1:4] == ["aten::add", "cudaLaunchKernel", "gemm"]
    assert rows["tid"] == ["4242", "4242", "4242", "7", "4242", "7"]
    assert rows["correlation"][2:] == [1, 1, 2, 2]
    assert rows["stream"][3] == 7
    assert rows["bytes"][5] == 64
    return rows


def test_a_table_of_pandas():
    """One row an event, in order, with what the host's rows lack missing."""
    pandas = pytest.importorskip("pandas")
    table = built().to_pandas()
    check(table)
    assert table["bytes"].isna().tolist() == [True, True, True, True, True, False]
    assert table.dtypes["ts_ns"] == np.int64
    assert table.dtypes["device"] == pandas.Int64Dtype()


def test_a_table_of_polars():
    """The same rows as of pandas; missing values are nulls."""
    pytest.importorskip("polars")
    assert check(built().to_polars())["bytes"] == [None, None, None, None, None, 64]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_library_that_is_not_installed(library, monkeypatch):
    """The sentence names the package and how to get it."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(BadInput, match=f"Trace.to_{library} needs {library}.*pip install {library}"):
        getattr(built(), f"to_{library}")()
