"""Work by the line or function that asked for it."""

from stallscope.analysis.stages.call_sites import CallSiteTotals
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder
from tests.real import real

SEQUENCE, FORWARD, STACK = "Sequence number", "Fwd thread id", "Call stack"
MODEL = "torch/nn/functional.py(9): linear;net.py(12): forward;train.py(47): <module>"


def sites_of(builder) -> tuple[bool, tuple[CallSiteTotals, ...]]:
    """(whether lines are those of calls, the totals), the laws checked."""
    stages = analyse(builder.trace())
    assert stages.broken_laws() == []
    return stages.call_sites.are_calls, stages.call_sites.totals


def test_lines_of_calls_from_the_stacks_of_operators():
    """The innermost line that is not PyTorch's; operators inside inherit it, and so does the backward node."""
    builder = TraceBuilder().step(0, 1000)
    builder.op("aten::linear", 10, 50, **{STACK: MODEL, SEQUENCE: 5, FORWARD: 0}).op("aten::addmm", 20, 30)
    builder.launch(25, 5, kernel=("gemm", 40, 100))
    builder.op("AddmmBackward0", 200, 60, tid=2, **{SEQUENCE: 5, FORWARD: 1}).launch(
        210, 5, tid=2, kernel=("g", 300, 7)
    )
    builder.launch(500, 5, kernel=("stray", 520, 9))
    assert sites_of(builder) == (
        True,
        (
            CallSiteTotals("net.py:12", 110_000, 100_000, 7_000, 2),
            CallSiteTotals("(no call site)", 0, 9_000, 0, 1),
        ),
    )


def test_functions_from_python_frames():
    """Without stacks the innermost function of the user's, with the line of its definition."""
    builder = TraceBuilder().step(0, 1000).python("train.py(6): helper", 5, 300).python("torch/x.py(1): f", 8, 100)
    builder.op("aten::mm", 10, 50).launch(25, 5, kernel=("gemm", 40, 100)).op("aten::add", 400, 10)
    assert sites_of(builder) == (
        False,
        (
            CallSiteTotals("helper (train.py:6)", 50_000, 100_000, 0, 1),
            CallSiteTotals("(no call site)", 10_000, 0, 0, 0),
        ),
    )


def test_a_trace_that_tells_neither_has_no_places():
    """Null in the contract."""
    assert summarize(TraceBuilder().step(0, 100).op("a", 1, 2).trace()).call_sites is None


def test_the_lines_of_the_resnet_training(real_traces):
    """2021: line 128 (conv2), forward and backward; joining kernels to operators by ``External id`` gives the same."""
    path = next(real_traces.glob("kineto-2021/resnet50_num_workers_0/*.gz"))
    rows = {row.call_site: row for row in real(path).summary.call_sites}
    assert all(row.is_call for row in rows.values())
    convolution = rows["torchvision/models/resnet.py:128"]
    assert round(convolution.device_forward_us_per_step) == 6120
    assert round(convolution.device_backward_us_per_step) == 13752
