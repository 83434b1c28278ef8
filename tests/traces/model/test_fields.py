"""Which names are launches, graph launches, waits, annotations and steps."""

from __future__ import annotations

import pytest

from stallscope.traces.model import fields


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("cudaLaunchKernel", ["kernel"]),
        ("cudaLaunchKernel_ptsz", ["kernel"]),
        ("cudaLaunchKernelExC", ["kernel"]),
        ("cuLaunchKernel", ["kernel"]),
        ("cuLaunchKernelEx", ["kernel"]),
        ("cudaLaunchCooperativeKernel", ["kernel"]),
        ("cudaLaunchCooperativeKernelMultiDevice", ["kernel"]),
        ("cuLaunchCooperativeKernel", ["kernel"]),
        ("hipLaunchKernel", ["kernel"]),
        ("hipExtLaunchKernel", ["kernel"]),
        ("hipModuleLaunchKernel", ["kernel"]),
        ("hipExtModuleLaunchKernel", ["kernel"]),
        ("hipLaunchCooperativeKernel", ["kernel"]),
        ("cudaGraphLaunch", ["graph"]),
        ("cudaGraphLaunch_ptsz", ["graph"]),
        ("cuGraphLaunch", ["graph"]),
        ("hipGraphLaunch", ["graph"]),
        ("cudaDeviceSynchronize", ["sync"]),
        ("cudaStreamSynchronize_ptsz", ["sync"]),
        ("cuCtxSynchronize", ["sync"]),
        ("hipEventSynchronize", ["sync"]),
        ("cudaStreamWaitEvent", []),
        ("cudaEventQuery", []),
        ("cudaMemcpyAsync", []),
        ("cudaLaunchHostFunc", []),
        ("cudaGraphInstantiate", []),
        ("cudaFuncGetAttributes", []),
        ("synchronize", []),
    ],
)
def test_calls(name: str, kinds: list[str]):
    """Each call is a kernel launch, a graph launch, a wait, or none of them; never two."""
    tests = {"kernel": fields.is_kernel_launch, "graph": fields.is_graph_launch, "sync": fields.is_sync_call}
    assert [kind for kind, test in tests.items() if test(name)] == kinds


def test_step_numbers():
    """Only ``ProfilerStep#N`` is a step."""
    assert fields.step_number("ProfilerStep#12") == 12
    assert fields.step_number("ProfilerStep*") is None
    assert fields.step_number("my ProfilerStep#12") is None


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("stallscope.site#0", 0),
        ("stallscope.site#417", 417),
        ("stallscope.site#", None),
        ("stallscope.site#-1", None),
        ("stallscope.site#1_0", None),
        ("stallscope.module#4", None),
        ("aten::mm", None),
    ],
)
def test_the_number_of_a_mark(name, number):
    """What follows the prefix, where it is a plain number."""
    assert fields.mark_number(name, fields.SITE_MARK) == number
