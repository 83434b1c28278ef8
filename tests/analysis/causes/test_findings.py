"""Findings: what costs time, by name, with evidence and advice; hidden waits by the operators around the call."""

import pytest

from stallscope.analysis.report.style import Style
from stallscope.analysis.report.summary import text
from stallscope.analysis.summary import summarize
from tests.analysis.synthetic import three_steps
from tests.builders import TraceBuilder
from tests.real import every_real_trace, real

TO_HOST = "Memcpy DtoH (Device -> Pageable)"
TO_DEVICE = "Memcpy HtoD (Pageable -> Device)"


def waiting(chain=(), *, copy=None, frame=None, blocked=400) -> TraceBuilder:
    """A step of 1 ms: a kernel, and, in the operators of ``chain``, a copy and a wait of ``blocked`` µs for both."""
    builder = TraceBuilder().step(0, 1000).op("aten::mm", 1, 12).launch(5, 5, kernel=("k", 15, blocked + 20))
    if frame:
        builder.python(frame, 20, blocked + 40)
    for depth, name in enumerate(chain):
        builder.op(name, 30 + depth, blocked + 20 - 2 * depth)
    if copy:
        builder.memcpy(38, 1, copy=(copy.replace("Pageable", "Pinned"), blocked + 36, 2))
    return builder.sync(40, blocked, name="cudaStreamSynchronize")


def found(builder) -> dict[str, tuple[float, str, str]]:
    """(cost, evidence, advice) by name."""
    summary = summarize(builder.trace())
    return {each.name: (each.cost_us_per_step, each.evidence, each.advice) for each in summary.advice_findings}


COPY = ("aten::to", "aten::_to_copy", "aten::copy_")
ITEM = ("aten::item", "aten::_local_scalar_dense")


@pytest.mark.parametrize(
    ("chain", "copy", "frame", "name", "code"),
    [
        (ITEM, TO_HOST, None, "wait_item", "loss.detach()"),
        (("aten::is_nonzero", *ITEM), TO_HOST, None, "wait_if_tensor", "torch.where(value > limit, a, b)"),
        (("aten::index", "aten::nonzero"), TO_HOST, None, "wait_boolean_mask", "torch.where(mask, values, 0.0)"),
        (("aten::nonzero",), TO_HOST, None, "wait_nonzero", "torch.where(condition, x, y)"),
        (("aten::masked_select",), None, None, "wait_nonzero", "torch.where"),
        (("aten::_unique2",), TO_HOST, None, "wait_nonzero", "torch.where"),
        (ITEM, TO_HOST, "torch/_tensor.py(1109): __format__", "wait_print", "every 100 steps"),
        (COPY, TO_HOST, "torch/_tensor_str.py(350): _tensor_str", "wait_print", "every 100 steps"),
        (COPY, TO_HOST, "<built-in method tolist of Tensor object at 0x7f>", "wait_tolist", "torch.stack(kept)"),
        (COPY, TO_HOST, None, "wait_to_host", "Bring results back less often"),
        (COPY, TO_DEVICE, None, "wait_to_device", "pin_memory=True"),
        (COPY, TO_DEVICE, "<built-in method tensor of type object at 0x7f>", "wait_tensor_to_device", "before"),
        (("aten::cudnn_convolution",), None, None, "wait_cudnn", "benchmark"),
        ((), None, None, "wait_synchronize", "torch.cuda.Event(enable_timing=True)"),
        (("my::op",), None, None, "wait_other_wait", "less often"),
    ],
)  # fmt: skip
def test_waits_by_the_name_people_know(chain, copy, frame, name, code):
    """One wait of 400 µs each; what the code did is told by operators, by the copy, by frames where there are any."""
    waits = {key: value for key, value in found(waiting(chain, copy=copy, frame=frame)).items() if key[:5] == "wait_"}
    assert list(waits) == [name]
    cost, evidence, told = waits[name]
    assert cost == 400.0
    assert evidence.startswith("1 call blocks the CPU for 400 µs")
    title = next(each.title for each in summarize(waiting(chain, copy=copy, frame=frame).trace()).advice_findings
                 if each.name == name)  # fmt: skip
    assert code in told or code in title
    assert told.endswith("The wait may only move to the next place that waits.")


def test_the_evidence_says_where_most_of_it_is_and_how_long_the_gpu_idles():
    """The GPU's work ends at 435 µs, in the wait; nothing more is launched until the step ends at 1000."""
    _, evidence, _ = found(waiting(ITEM, frame="train.py(6): helper"))["wait_item"]
    assert evidence == (
        "1 call blocks the CPU for 400 µs, in helper (train.py:6); the GPU then idles 565 µs. Most of the blocking is "
        "waiting for work that the GPU still had to do."
    )


def test_a_line_is_named_where_the_trace_holds_it():
    """A call stack of 2021 gives the line of the call."""
    builder = TraceBuilder().step(0, 1000).launch(5, 5, kernel=("k", 15, 420))
    builder.op("aten::item", 30, 420, **{"Call stack": "torch/_tensor.py(1): item;train.py(47): main"})
    _, evidence, _ = found(builder.sync(40, 400, name="cudaStreamSynchronize"))["wait_item"]
    assert ", at train.py:47;" in evidence


def test_nothing_below_one_percent_is_a_finding():
    """A wait of 9 µs in a step of 1 ms is none; one of 11 µs is."""
    assert "wait_item" not in found(waiting(ITEM, blocked=9))
    assert "wait_item" in found(waiting(ITEM, blocked=11))


def test_where_the_gpu_is_the_limit_a_wait_costs_what_the_gpu_idles_after_it():
    """The host waits 900 of 1000 µs for a kernel that ends at 940: what it costs is the GPU's idling from then on."""
    builder = TraceBuilder().step(0, 1000).op("aten::mm", 1, 12).launch(5, 5, kernel=("k", 10, 930))
    builder.op("aten::item", 50, 910).sync(55, 900, name="cudaStreamSynchronize")
    costs = {name: cost for name, (cost, *_) in found(builder).items()}
    assert costs == {"compute": 930.0, "wait_item": 60.0}


def test_findings_are_in_order_of_cost():
    """DataLoader 300 µs, waiting 200: the dearer first; each at least 1 % of the step."""
    builder = TraceBuilder().step(0, 1000).dataloader(500, 300).op("aten::mm", 1, 12)
    builder.launch(5, 5, kernel=("k", 15, 300)).op("aten::item", 50, 210).sync(55, 200, name="cudaStreamSynchronize")
    summary = summarize(builder.trace())
    costs = [each.cost_us_per_step for each in summary.advice_findings]
    assert costs == sorted(costs, reverse=True)
    assert {"input", "wait_item"} <= {each.name for each in summary.advice_findings}
    assert all(each.share == each.cost_us_per_step / 1000 >= 0.01 for each in summary.advice_findings)


def test_optimizer_and_zero_grad_by_the_idle_time_in_them():
    """Adam starts 4 of 6 kernels of 1 µs in 200 µs, zero_grad two in 100 µs: the GPU idles 196 and 98 µs meanwhile."""
    builder = TraceBuilder().step(0, 1000).annotation("Optimizer.step#Adam.step", 100, 200)
    builder.annotation("Optimizer.zero_grad#Adam.zero_grad", 400, 100)
    for start in (110, 130, 150, 170, 410, 430):
        builder.launch(start, 2, kernel=("k", start + 5, 1))
    costs = found(builder)
    assert (costs["optimizer"][0], costs["zero_grad"][0]) == (196.0, 98.0)
    assert "torch.optim.Adam(model.parameters(), ..., fused=True)" in costs["optimizer"][2]
    assert "set_to_none=True" in costs["zero_grad"][2]


def test_a_verdict_that_abstains_names_no_costs():
    """Launches without kernels: nothing is known of the GPU, so nothing is blamed."""
    builder = TraceBuilder().step(0, 100).launch(10, 5).launch(20, 5).sync(30, 40)
    assert summarize(builder.trace()).advice_findings == []


def test_the_text_says_each_advice_once():
    """A finding whose advice stands under "What would help" already gives its cost and evidence only."""
    summary = summarize(three_steps().trace())
    page = " ".join(text.page(summary, Style(width=200)).split())
    assert "What costs time" in page
    assert "243 µs (24 %): .item(), float() or int() of a GPU tensor." in page
    assert page.count("torch.stack(losses)") == 1


@every_real_trace
def test_findings_of_real_traces_are_large_ordered_and_complete(path):
    """Each costs 1 % of the step or more and no more than the step has on all its threads, with evidence and advice."""
    summary = real(path).summary
    costs = [each.cost_us_per_step for each in summary.advice_findings]
    assert costs == sorted(costs, reverse=True)
    assert all(each.share >= 0.01 and each.evidence and each.advice for each in summary.advice_findings)
    assert len({each.name for each in summary.advice_findings}) == len(costs)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("h100/owlv2_large", ["input", "wait_to_device", "wait_to_host", "copy"]),
        ("kineto-2021/resnet50_num_workers_0/worker0.1623143089861", ["input", "host", "zero_grad", "copy"]),
        ("kineto-2021/resnet50_num_workers_4/worker0.1623212756351", ["host", "zero_grad", "copy"]),
        ("h100/bert_small", ["launching"]),
        ("v100/ns_resolution_rank0", ["compute"]),
    ],
)
def test_what_costs_time_in_real_traces(name, expected, real_traces):
    """80 pageable copies to the device, 55 to the host, zero_grad of 2021 that fills: known from reading the traces."""
    path = next(real_traces.glob(f"{name}*.json.gz"))
    assert [each.name for each in real(path).summary.advice_findings] == expected
