"""The rules about the Iris training give each of their verdicts, for figures that ask for it."""

from typing import Any

import pytest

from stallscope.demo.results import VariantResult
from tests.demo_results import recording, result, variant
from tests.evidence.claims.asking import Runs, decided, shaky, steady, verdict

PRICES = {"item_us": (0.3,) * 3, "append_us": (0.11,) * 3, "print_us": (1.1,) * 3, "nothing_us": (0.1,) * 3}


def timed(key: str, runs: Runs, **more: Any) -> VariantResult:
    """An Iris variant with these times of an epoch; calls by themselves: .item() 0.2 µs, append 0.01, print 1."""
    return variant(key, more.pop("recorded", None), us_per_epoch=runs, **{**PRICES, **more})


@pytest.mark.parametrize(
    ("seldom", "slow", "hides"),
    [
        (steady(50), "confirmed", "wrong"),  # half the epoch was the reads
        (steady(80), "depends", "wrong"),  # a fifth
        (steady(95), "wrong", "wrong"),  # a twentieth is no reason, and not hidden
        (steady(100), "wrong", "confirmed"),
        (shaky(80), "cannot tell", "cannot tell"),
        ((50.0,), "cannot tell", "cannot tell"),  # one run
    ],
)
def test_item_on_a_gpu(seldom: Runs, slow: str, hides: str) -> None:
    """Claims 1 and 7, by what a GPU's epoch of 100 µs becomes when the loss is read every 100 epochs."""
    prices = {name: values[: len(seldom)] for name, values in PRICES.items()}
    found = result(
        timed("cuda-record-1", steady(100)[: len(seldom)], **prices), timed("cuda-record-100", seldom, **prices)
    )
    assert verdict(1, found) == slow
    assert verdict(7, found) == hides


@pytest.mark.parametrize(
    ("kind", "word"),
    [("launch-bound", "confirmed"), ("host-bound", "depends"), ("mixed(host, sync)", "depends"),
     ("compute-bound", "wrong"), ("sync-bound", "wrong")],
)  # fmt: skip
def test_launches(kind: str, word: str) -> None:
    """Claim 2, by what `profile` calls the GPU run."""
    recorded = recording(launches=16.0, step_us=400.0, verdict=kind)
    assert verdict(2, result(timed("cuda-record-1", steady(400), recorded=recorded))) == word


def test_launches_need_a_recording() -> None:
    """Claim 2 without one is not measured."""
    assert verdict(2, result(timed("cuda-record-1", steady(400)))).startswith("not measured, because the GPU run")


@pytest.mark.parametrize(
    ("filled", "busy", "word"),
    [(0.003, 350.0, "confirmed"), (0.003, 30.0, "depends"), (0.3, 350.0, "depends"), (0.8, 350.0, "wrong")],
)
def test_idle_units(filled: float, busy: float, word: str) -> None:
    """Claim 3: units idle while the GPU is busy 350 of 400 µs are the reason; a GPU that mostly waits is not small."""
    recorded = recording(sm_efficiency=filled, busy_us=busy, wall_us=400.0)
    assert verdict(3, result(timed("cuda-record-1", steady(400), recorded=recorded))) == word


@pytest.mark.parametrize(
    ("seldom", "word"),
    [
        (steady(92), "confirmed"),
        (steady(80), "depends"),  # a saving, of another size
        (steady(100), "wrong"),
        ((99.8, 84.0, 92.0), "cannot tell"),  # about 8 %, and anything else
        ((60.0, 140.0, 90.0), "cannot tell"),
    ],
)
def test_eight_percent(seldom: Runs, word: str) -> None:
    """Claim 4: the interval must hold 8 % and be narrow; the GPU's figures count where there are some."""
    cpu = timed("cpu-print-1", steady(100)), timed("cpu-print-200", seldom)
    assert verdict(4, result(*cpu)) == word
    gpu = timed("cuda-print-1", steady(100)), timed("cuda-print-200", steady(92))
    assert decided(4, result(*cpu, *gpu)).figure.startswith("on the GPU")
    assert verdict(4, result(*cpu, *gpu)) == "confirmed"


@pytest.mark.parametrize(
    ("later", "word"), [(steady(80), "confirmed"), (steady(100), "wrong"), (shaky(90), "cannot tell")]
)
def test_not_linear_on_a_gpu(later: Runs, word: str) -> None:
    """Claim 5: only an epoch that goes on falling from k = 100 to 2000 is more than 1/k."""
    gpu = timed("cuda-record-100", steady(100)), timed("cuda-record-2000", later)
    assert verdict(5, result(timed("cpu-record-1", steady(200)), *gpu)) == word


@pytest.mark.parametrize(("epoch", "word"), [(200.0, "wrong"), (1.0, "depends")])
def test_not_linear_on_a_cpu(epoch: float, word: str) -> None:
    """Claim 5 without a GPU: of reads of 0.2 µs a hundredth is left, of an epoch of 200 µs or of 1 µs."""
    assert verdict(5, result(timed("cpu-record-1", steady(epoch)))) == word


@pytest.mark.parametrize(
    ("epoch", "peak", "word"),
    [(200.0, 100.0, "depends"), (200.0, 0.3, "confirmed"), (5.0, 100.0, "wrong"), (5.0, 12.0, "depends")],
)
def test_compute_dominates(epoch: float, peak: float, word: str) -> None:
    """Claim 6: 50 400 operations at 100 Gflop/s are 0.5 µs, at 0.3 Gflop/s 168 µs; reads and append 0.21 µs."""
    product = variant("cpu", peak_gflops=steady(peak))
    assert verdict(6, result(timed("cpu-record-1", steady(epoch))), result(product)) == word


@pytest.mark.parametrize(("epoch", "word"), [(200.0, "confirmed"), (50.0, "depends"), (0.5, "wrong")])
def test_append_and_print(epoch: float, word: str) -> None:
    """Claim 8: append takes 0.01 µs, print 1 µs, of an epoch."""
    assert verdict(8, result(timed("cpu-record-1", steady(epoch)))) == word


@pytest.mark.parametrize(
    ("every", "seldom", "word"),
    [
        (steady(100), shaky(100), "confirmed"),
        (steady(100), steady(80), "wrong"),  # 20 µs, where runs differ by 0.4
        ((100.0, 150.0, 200.0), (99.0, 148.0, 197.0), "depends"),  # 1 %, told apart in rounds, in runs that differ
        ((100.0, 100.0, 100.0), (100.0, 99.0, 100.1), "confirmed"),
        (steady(100), (51.0, 50.0, 135.0), "confirmed"),
        (steady(100), (78.0, 105.0, 79.0), "confirmed"),
    ],
)
def test_noise(every: Runs, seldom: Runs, word: str) -> None:
    """Claim 9: the effect against the largest difference of two runs of one variant, and against its own interval."""
    assert verdict(9, result(timed("cpu-record-1", every), timed("cpu-record-100", seldom))) == word


def test_noise_that_is_smaller_and_still_hides() -> None:
    """Claim 9, two rounds: -6 and -16 µs of 100 within 10 µs of spread, and an interval that holds 0."""
    runs = {name: values[:2] for name, values in PRICES.items()}
    found = result(timed("cpu-record-1", (100.0, 100.0), **runs), timed("cpu-record-100", (94.0, 84.0), **runs))
    assert verdict(9, found) == "cannot tell"


@pytest.mark.parametrize(
    ("gpu", "word"), [(steady(100), "confirmed"), (steady(900), "wrong"), (shaky(200), "cannot tell")]
)
def test_latency(gpu: Runs, word: str) -> None:
    """Claim 12: a step of the Iris network, 200 µs on the CPU."""
    found = result(
        timed("cpu-record-1", steady(200)), timed("cuda-record-1", gpu, recorded=recording(queue_delay_us=5))
    )
    assert verdict(12, found) == word
    assert "5.00 µs after their launch call ended" in decided(12, found).figure


@pytest.mark.parametrize(
    ("gpu", "ram", "word"),
    [(80, 64, "confirmed"), (80, 128, "wrong"), (80, None, "not measured, because the machine's memory is not known"),
     (None, 64, "not measured, because there was no GPU")],
)  # fmt: skip
def test_memory_of_a_gpu(gpu: int | None, ram: int | None, word: str) -> None:
    """Claim 13, by the sizes of both."""
    assert verdict(13, result(gpu_bytes=gpu, ram_bytes=ram)) == word


@pytest.mark.parametrize(("operators", "word"), [(380.0, "confirmed"), (160.0, "depends"), (80.0, "wrong")])
def test_what_profiling_shows(operators: float, word: str) -> None:
    """Claim 25: so much of a recorded step of 400 µs lies in named operators, however long recording made it."""
    recorded = recording(wall_us=400.0, operator_us=operators, inflation=1.45)
    assert verdict(25, result(timed("cpu-record-1", steady(275), recorded=recorded))) == word


@pytest.mark.parametrize(("unexplained", "word"), [(0.0, "confirmed"), (0.3, "depends"), (0.8, "wrong")])
def test_what_profiling_shows_of_a_gpu(unexplained: float, word: str) -> None:
    """Claim 25 on a GPU: all but the waits that nothing explains."""
    recorded = recording(wall_us=400.0, unexplained_share=unexplained)
    assert verdict(25, result(timed("cuda-record-1", steady(275), recorded=recorded))) == word
