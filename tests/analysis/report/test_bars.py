"""The bar of the CPU's time: each part is what it is called."""

from stallscope.analysis.report.bars import PROFILER, REST, cpu_parts
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder


def parts(builder):
    """µs by part."""
    return dict(cpu_parts(summarize(builder.trace())))


def test_the_profilers_closing_wait_is_nobodys_operators_or_python():
    """One kernel of 8 ms in a file without steps: the synchronize of 7.9 ms that closes it has a part of its own."""
    builder = TraceBuilder().op("aten::mm", 0, 100).launch(50, 10, kernel=("gemm", 70, 8000))
    found = parts(builder.call("cudaDeviceSynchronize", 170, 7900))
    assert found[PROFILER] == 7900.0
    assert found[REST] < 200


def test_without_such_a_wait_there_is_no_such_part():
    """The same kernel in a step that ends without a wait."""
    assert PROFILER not in parts(
        TraceBuilder().step(0, 100).op("aten::mm", 0, 90).launch(50, 10, kernel=("gemm", 70, 8))
    )
