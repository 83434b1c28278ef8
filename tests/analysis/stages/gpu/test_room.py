"""The GPU's memory at its peak: what holds it, and the room for a larger batch."""

import pytest

from stallscope.analysis.report import header
from stallscope.analysis.stages.gpu.room import Room
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from tests.analysis.test_summary import manifest_of
from tests.builders import TraceBuilder
from tests.real import every_real_trace, real

GB = 10**9


def training(weights: int = 2 * GB, activations: int = 10 * GB) -> TraceBuilder:
    """Two launch-bound steps: on top of the weights each holds activations, of two operators, until it ends."""
    builder = TraceBuilder()
    for number in range(2):
        at, part, reserved = 1000 * number, activations // 5, weights + activations + 2 * GB
        builder.step(at, 1000).op("aten::conv2d", at + 10, 300).op("aten::empty", at + 15, 20)
        builder.memory(at + 20, weights + 4 * part, reserved, address=1, size=4 * part)
        builder.op("aten::relu", at + 320, 300).memory(at + 330, weights + 5 * part, reserved, address=2, size=part)
        for place in range(10):
            builder.launch(at + 30 + 60 * place, 20, kernel=("gemm", at + 60 + 60 * place, 5))
        builder.memory(at + 900, weights + part, reserved, address=1, size=-4 * part)
        builder.memory(at + 910, weights, reserved, address=2, size=-part)
    return builder


def test_what_holds_the_memory_at_its_peak():
    """8 GB by aten::conv2d, 2 by aten::relu, and 2 since before the recording: the whole."""
    peak = analyse(training().trace()).room.peak
    assert (peak.allocated, peak.before) == (12 * GB, 2 * GB)
    assert peak.holders == (("aten::conv2d", 8 * GB), ("aten::relu", 2 * GB))
    assert peak.conserved()


def test_how_much_larger_a_batch_fits():
    """Of 85 GB 90 %: 5.5 × the 14 reserved, if all grows; (76.5 − 2) ÷ 10 if the weights stay."""
    summary = summarize(training().trace())
    assert summary.memory.lowest_allocated == 2 * GB
    assert summary.memory.larger_batch_low == pytest.approx(0.9 * 85018279936 / (14 * GB))
    assert summary.memory.larger_batch_high == pytest.approx((0.9 * 85018279936 - 2 * GB) / (10 * GB))
    lines = " ".join(header.extras(summary))
    assert "a batch 5.5 to 7.5 times as large would fit" in lines
    assert "2.00 GB held since before the recording, 8.00 GB by aten::conv2d" in lines


def test_the_room_stands_beside_the_advice_of_a_larger_batch():
    """A launch-bound step: the advice says how much larger, and ``memory_room`` says why."""
    summary = summarize(training().trace())
    assert summary.verdict.kind == "launch-bound"
    assert any("5.5 to 7.5 times as large would fit" in advice for advice in summary.verdict.advice)
    (cause,) = [cause for cause in summary.causes if cause.name == "memory_room"]
    assert "12.0 GB in use" in cause.evidence
    assert cause.fix == "larger_batch"


def test_a_full_memory_has_no_room():
    """72 of 85 GB are held: no larger batch, and the forecast of one is barred."""
    summary = summarize(training(weights=12 * GB, activations=60 * GB).trace())
    (cause,) = [cause for cause in summary.causes if cause.name == "memory_room"]
    assert "No larger batch fits" in cause.advice
    assert cause.bars == ["larger_batch"]
    assert any("no larger batch fits" in line for line in header.extras(summary))
    assert not any("as large would fit" in advice for advice in summary.verdict.advice)


def test_without_samples_all_of_the_memory_is_taken_to_grow():
    """A manifest knows the peak alone: 76.5 ÷ 14 is a lower bound, and the only one."""
    builder = TraceBuilder().step(0, 100).launch(0, 1, kernel=("k", 5, 15))
    manifest = manifest_of(peak_allocated_bytes=12 * GB, peak_reserved_bytes=14 * GB)
    memory = summarize(builder.trace(), manifest).memory
    assert memory.larger_batch_low == memory.larger_batch_high == pytest.approx(0.9 * 85018279936 / (14 * GB))
    assert memory.held_at_peak == []


def test_nothing_follows_where_nothing_was_recorded():
    """No peak, no total, or the sums of several GPUs: no room is told, and no cause."""
    summary = summarize(TraceBuilder().step(0, 100).launch(0, 1, kernel=("k", 5, 15)).trace())
    assert (summary.memory.larger_batch_low, summary.memory.held_at_peak) == (None, [])
    assert Room(5, 5, None, 1, None).times is None
    assert Room(5, 5, 10, 1, None, several=True).times is None


@every_real_trace
def test_the_parts_are_the_whole(path):
    """On each real trace what held the memory at its peak sums to it."""
    room = real(path).stages.room
    assert room.peak is None or room.peak.conserved()
