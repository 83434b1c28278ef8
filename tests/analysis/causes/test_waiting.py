"""Waits by the name people know, with evidence and advice; hidden ones by the operators around the call."""

import pytest

from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder

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
    return {each.name: (each.cost_us, each.evidence, each.advice) for each in summary.causes}


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
    title = next(each.title for each in summarize(waiting(chain, copy=copy, frame=frame).trace()).causes
                 if each.name == name)  # fmt: skip
    assert code in told or code in title
    assert told.endswith("The CPU may then wait at its next read instead.")


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


def test_nothing_below_one_percent_is_a_cause():
    """A bare wait whose absence saves 8 µs of 1 ms (its 7, and the call after it) is none; one of 12 µs is."""
    assert "wait_synchronize" not in found(waiting(blocked=7))
    assert "wait_synchronize" in found(waiting(blocked=11))


def test_a_read_that_goes_takes_its_operators_with_it():
    """A wait of 9 µs in .item() of 29: without the read its 29 µs are saved too, 1 % and more."""
    causes = {cause.name: cause for cause in summarize(waiting(ITEM, blocked=9).trace()).causes}
    assert causes["wait_item"].cost_us == 9.0
    assert causes["wait_item"].saves_us > 9.0


def uploading(memory):
    """Four steps: 24 MB copied in 4 ms, the call waits from pageable memory; then a kernel of 1 ms."""
    builder = TraceBuilder()
    for at in range(0, 24_000, 6000):
        builder.step(at, 5900)
        for depth, name in enumerate(COPY):
            builder.op(name, at + 10 + depth, (4050 if memory == "Pageable" else 60) - 2 * depth)
        took = 4030 if memory == "Pageable" else 20
        copy = (f"Memcpy HtoD ({memory} -> Device)", at + 30, 4000)
        builder.memcpy(at + 20, took, copy=copy, nbytes=24_000_000)
        builder.op("aten::mm", at + 4100, 20).launch(at + 4105, 5, kernel=("gemm", at + 4112, 1000))
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


def test_an_upload_that_waits_is_not_blamed_again_as_a_copy():
    """From pinned memory 24 MB take about 2 ms and nobody waits: of the copy's 4 ms at least two are saved."""
    found = uploading("Pageable")
    assert next(iter(found)) == "wait_to_device"
    assert found["wait_to_device"].saves_us > 1900
    assert "copy" not in found


def test_a_copy_that_nobody_waits_for_is_a_copy():
    """The same from pinned memory, without a wait."""
    assert "wait_to_device" not in uploading("Pinned")
