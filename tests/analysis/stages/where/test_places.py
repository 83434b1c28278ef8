"""Where a call was made: chain of operators, module, function, line, and no line that the file does not hold."""

import pytest

from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.stages.where.frames import user_frame
from tests.builders import TraceBuilder
from tests.real import real


def place_of(builder):
    """The place of the only site."""
    (site,) = analyse(builder.trace()).syncs.sites
    return site.place


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train.py(6): helper", ("train.py", 6, "helper")),
        ("src/model.py(12): <lambda>", ("src/model.py", 12, "<lambda>")),
        ("/home/x/lib/python3.11/site-packages/transformers/a.py(5): f", ("transformers/a.py", 5, "f")),
        ("/home/x/lib/python3.11/site-packages/torch/_tensor.py(5): f", None),
        ("/home/x/lib/python3.11/threading.py(5): run", None),
        ("torch/nn/modules/module.py(1511): _call_impl", None),
        ("contextlib.py(141): __exit__", None),
        ("multiprocessing/queues.py(113): get", None),
        ("numpy/core/fromnumeric.py(9): prod", None),
        ("<built-in method item of Tensor object at 0x7f>", None),
        ("<frozen runpy>(88): _run_code", None),
        ("nn.Module: Linear_3", None),
        ("train.py(9): <stallscope>", None),
        ("/home/x/lib/python3.11/site-packages/stallscope/profiling/function_mode.py(114): __torch_function__", None),
        ("/home/x/src/stallscope/profiling/hooks.py(5): f", None),
        (
            "/home/x/lib/python3.11/site-packages/stallscope/profiling/workloads/matmul.py(5): f",
            ("stallscope/profiling/workloads/matmul.py", 5, "f"),
        ),
    ],
)
def test_frames_of_the_users_own_code(name, expected):
    """Neither PyTorch's, Python's nor a numeric library's; the folder of installed packages is left out."""
    assert user_frame(name) == expected


def test_a_frame_tells_the_function_and_never_the_line_of_the_call():
    """train.py(6) is where helper is defined: the innermost of the user's frames, and no call site."""
    builder = TraceBuilder().step(0, 100).python("train.py(1): <module>", 0, 90).python("train.py(6): helper", 5, 60)
    builder.python("torch/_tensor.py(9): __bool__", 8, 30).op("aten::item", 10, 20).sync(12, 5)
    place = place_of(builder)
    assert (place.function, place.call_site, place.operator) == ("helper (train.py:6)", None, "aten::item")


def test_a_call_stack_tells_the_line_of_the_call():
    """The stack of an operator around the call holds true lines: the innermost of the user's, here 50."""
    stack = "/opt/lib/python3.7/site-packages/torch/_tensor.py(255): backward;train.py(50): step;train.py(90): <module>"
    builder = TraceBuilder().step(0, 100).op("aten::to", 10, 20, **{"Call stack": stack}).op("aten::copy_", 11, 18)
    assert place_of(builder.sync(12, 5)).call_site == "train.py:50"


def test_equal_ranges_are_ordered_by_their_names():
    """Rounded to µs, aten::to and aten::_to_copy are equal: the one with the underscore is the inner."""
    builder = TraceBuilder().step(0, 100).op("aten::to", 10, 20).op("aten::_to_copy", 10, 20).op("aten::copy_", 11, 9)
    assert place_of(builder.sync(12, 5)).chain == "aten::to < aten::_to_copy < aten::copy_"


def test_frames_of_another_thread_are_not_the_callers():
    """A module on the main thread is not around a call on another."""
    builder = TraceBuilder().step(0, 100).python("nn.Module: Linear_0", 0, 90).sync(12, 5, tid=77)
    assert (place_of(builder).module, place_of(builder).thread) == (None, "thread 77")


def test_lines_of_a_real_script_of_2021(real_traces):
    """The two pageable copies of each step, and the waits after them, are in line 44 of resnet50_profiler_api.py."""
    sites = real(next(real_traces.glob("kineto-2021/resnet50_num_workers_0/*"))).stages.syncs.sites
    lines = {(site.place.call_site, site.calls) for site in sites if not site.by_profiler}
    assert lines == {("resnet50_profiler_api.py:44", 12), ("resnet50_profiler_api.py:44", 6)}
