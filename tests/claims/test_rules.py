"""Each rule of docs/claims.md gives each of its verdicts, for figures that ask for it."""

from collections.abc import Sequence
from typing import Any

import pytest

from stallscope.demo.results import Result, VariantResult
from tests.claims.answers import Answer
from tests.claims.claims import CLAIMS
from tests.demo_results import recording, result, variant

Runs = tuple[float, ...]
# three rounds around a figure, steady or not
PRICES = {"item_us": (0.3,) * 3, "append_us": (0.11,) * 3, "print_us": (1.1,) * 3, "nothing_us": (0.1,) * 3}


def steady(value: float) -> Runs:
    """Three runs that differ by less than a percent."""
    return (value, 1.002 * value, 0.998 * value)


def shaky(value: float) -> Runs:
    """Three runs that say little."""
    return (value, 2.5 * value, 0.4 * value)


def decided(number: int, *results: Result) -> Answer:
    """The answer to a claim by the results of its workloads, in their order."""
    claim = CLAIMS[number]
    return claim.answer(dict(zip(claim.workloads, results, strict=True)))


def verdict(number: int, *results: Result) -> str:
    """Its word."""
    return decided(number, *results).verdict


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
        (steady(80), "wrong"),
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


@pytest.mark.parametrize(("by_forward", "word"), [(0, "confirmed"), (1, "wrong")])
def test_hooks(by_forward: int, word: str) -> None:
    """Claim 10: a kind of hook that model.forward(x) leaves out, or none."""
    calls = variant("cpu-hooks-0", hooks=({"forward hook": [1, by_forward]},), call_us=(20.0,), forward_us=(19.0,))
    assert verdict(10, result(calls)) == word


def step(key: str, us: float, **more: Any) -> VariantResult:
    """A variant of the network with this time of a step."""
    return variant(key, more.pop("recorded", None), us_per_step=steady(us), **more)


@pytest.mark.parametrize(
    ("small", "large", "word"),
    [(4.2, 4.9, "confirmed"), (0.3, 2.0, "wrong"), (60.0, 80.0, "wrong"), (0.3, 20.0, "depends")],
)
def test_times_faster(small: float, large: float, word: str) -> None:
    """Claim 11, by the factors of two models."""
    cpu = step("cpu-small-8", 1000 * small), step("cpu-large-8", 1000 * large)
    assert verdict(11, result(*cpu, step("cuda-small-8", 1000), step("cuda-large-8", 1000))) == word


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


def learned(key: str, steps: Sequence[float | None], accuracy: Runs = (0.97, 0.96, 0.98)) -> VariantResult:
    """An optimizer at a rate: steps to 95 % in each run, None where it never came so far, and accuracy at the end."""
    return variant(key, steps_to_95=tuple(steps), accuracy=accuracy)


@pytest.mark.parametrize(
    ("gpu", "word"),
    [((0.995, 0.985, 1.0), "confirmed"), ((0.971, 0.961, 0.979), "wrong"), ((0.90, 0.89, 0.91), "wrong"),
     ((0.99, 0.93, 1.0), "cannot tell")],
)  # fmt: skip
def test_accuracy(gpu: Runs, word: str) -> None:
    """Claim 14: two points more in each round, as good, worse, or now this and now that."""
    cpu = learned("cpu-sgd-0.1", steady(100))
    assert verdict(14, result(cpu, learned("cuda-sgd-0.1", steady(100), gpu))) == word


@pytest.mark.parametrize(
    ("moved", "there", "word"),
    [(steady(50), steady(50), "confirmed"), (steady(100), steady(10), "depends"), (steady(100), steady(300), "wrong"),
     (steady(100), shaky(100), "cannot tell")],
)  # fmt: skip
def test_prediction(moved: Runs, there: Runs, word: str) -> None:
    """Claim 15: trained on the CPU it takes 100 µs; trained on the GPU so much on the CPU, so much on the GPU."""
    cpu = variant("cpu-large-512", predict_us=steady(100), predict_on_cpu_us=steady(100))
    gpu = variant("cuda-large-512", predict_us=there, predict_on_cpu_us=moved)
    assert verdict(15, result(cpu, gpu)) == word


@pytest.mark.parametrize(
    ("small", "large", "word"),
    [
        (100_000.0, 200_000.0, "confirmed"),  # 1 W and 0.5 W for two cores
        (1_000.0, 2_000.0, "wrong"),  # 100 W and 50 W
        (1_000.0, 200_000.0, "depends"),
        (10_000.0, 20_000.0, "cannot tell"),  # 10 W and 5 W: a CPU may draw less or more
    ],
)
def test_energy(small: float, large: float, word: str) -> None:
    """Claim 16: the GPU draws 100 W for 1 ms a step; so long the two cores of the CPU take."""
    gpu = [step(f"cuda-{model}-8", 1000.0, recorded=recording(power_w=100.0)) for model in ("small", "large")]
    assert verdict(16, result(step("cpu-small-8", small), step("cpu-large-8", large), *gpu)) == word


def test_energy_needs_the_power() -> None:
    """Claim 16 where the driver tells no power."""
    found = verdict(16, result(step("cpu-small-8", 1000), step("cuda-small-8", 10, recorded=recording())))
    assert found == "not measured, because no GPU's driver told its power"


@pytest.mark.parametrize(("done", "word"), [(5000.0, "wrong"), (12.0, "cannot tell")])
def test_synchronize(done: float, word: str) -> None:
    """Claim 17: asking takes 10 µs; waiting for the product shows that more than submission is waited for."""
    gpu = variant("cuda", unsynchronized_us=(10.0,), synchronized_us=(done,))
    assert verdict(17, result(gpu)) == word


NEVER = (None, None, None)


@pytest.mark.parametrize(
    ("sgd", "adam", "word"),
    [
        (((100, 108, 96), (80, 88, 72)), ((200, 224, 192),), "confirmed"),
        (((100, 108, 96), NEVER), ((200, 224, 192),), "depends"),  # at its other rate SGD never comes so far
        (((200, 224, 192),), ((100, 108, 96), (80, 88, 72)), "wrong"),
        (((200, 224, 192),), ((100, 108, 96), (400, 416, 392)), "depends"),
        (((100, 160, 96),), ((120, 100, 136),), "cannot tell"),
        ((NEVER,), ((100, 108, 96),), "cannot tell"),
    ],
)
def test_sgd_against_adam(
    sgd: Sequence[Sequence[float | None]], adam: Sequence[Sequence[float | None]], word: str
) -> None:
    """Claim 18: steps of three runs at some rates of each; the best rates are compared, a worse one may turn it."""
    tried = [learned(f"cpu-sgd-{rate}", steps) for rate, steps in zip(("0.1", "0.3"), sgd, strict=False)]
    tried += [learned(f"cpu-adam-{rate}", steps) for rate, steps in zip(("0.01", "0.05"), adam, strict=False)]
    assert verdict(18, result(*tried)) == word


@pytest.mark.parametrize(
    ("own", "workers", "word"),
    [
        (steady(0.2), steady(0.3), "confirmed"),  # 0.5 s instead of 1 s
        (steady(0.2), steady(1.2), "depends"),  # the work has moved
        (steady(1.4), steady(1.2), "wrong"),
        (shaky(1.0), shaky(0.1), "cannot tell"),
    ],
)
def test_relief(own: Runs, workers: Runs, word: str) -> None:
    """Claim 19: without workers the training process takes 1 s of CPU time; with two it and they take so much."""
    none = variant("cpu-workers-0", own_cpu_s=steady(1.0), workers_cpu_s=(0.0,) * 3)
    assert verdict(19, result(none, variant("cpu-workers-2", own_cpu_s=own, workers_cpu_s=workers))) == word


@pytest.mark.parametrize(
    ("four", "word"),
    [(steady(150), "confirmed"), (steady(250), "wrong"), ((201.0, 199.0, 200.5), "cannot tell")],
)
def test_best_number_of_workers(four: Runs, word: str) -> None:
    """Claim 20, on two cores: 100 samples a second without workers, 200 with 2, so many with 4."""
    speeds = {0: steady(100), 2: steady(200), 4: four}
    tried = [variant(f"cpu-workers-{workers}", samples_per_s=runs) for workers, runs in speeds.items()]
    assert verdict(20, result(*tried)) == word
    assert verdict(20, result(tried[0], tried[2])).startswith("not measured, because as many workers as cores")


@pytest.mark.parametrize(("processes", "word"), [(1, "wrong"), (2, "confirmed")])
def test_processes_of_data_parallel(processes: int, word: str) -> None:
    """Claim 21, by the processes in which forward was seen."""
    assert verdict(21, result(variant("cuda-dp", forward_processes=(processes,), forward_threads=(2,)))) == word


@pytest.mark.parametrize(("ddp", "word"), [(50.0, "confirmed"), (900.0, "wrong")])
def test_communication(ddp: float, word: str) -> None:
    """Claim 22: collectives and copies take 400 µs a step with DataParallel."""
    one = variant("cuda-dp", recording(communication_us=300.0, copy_us=100.0), x=(1, 1))
    assert (
        verdict(22, result(one, variant("cuda-ddp-2", recording(communication_us=ddp, copy_us=0.0), x=(1, 1)))) == word
    )


def test_communication_that_was_not_told_apart() -> None:
    """Claim 22, one run each: no interval, no verdict; without a recording it is not measured."""
    recorded = recording(communication_us=300.0, copy_us=100.0)
    runs = variant("cuda-dp", recorded, x=(1,)), variant("cuda-ddp-2", recorded, x=(1,))
    assert verdict(22, result(*runs)) == "cannot tell"
    bare = variant("cuda-dp", x=(1,)), variant("cuda-ddp-2", x=(1,))
    assert verdict(22, result(*bare)) == "not measured, because the recordings hold no communication"


@pytest.mark.parametrize(
    ("held", "word"), [(steady(5e8), "wrong"), (steady(1e8), "confirmed"), (shaky(2.6e8), "cannot tell")]
)
def test_memory_of_processes(held: Runs, word: str) -> None:
    """Claim 23: one training holds 260 MB, two at once so much; a GPU's figures count before a CPU's."""
    one, two = variant("cpu-many-1", memory_bytes=steady(2.6e8)), variant("cpu-many-2", memory_bytes=held)
    assert verdict(23, result(one, two)) == word
    gpu = variant("cuda-many-1", memory_bytes=steady(4e8)), variant("cuda-many-2", memory_bytes=steady(8e8))
    assert decided(23, result(one, two, *gpu)).figure.startswith(
        "on the GPU one training holds 400 MB, two at once 800 MB"
    )


@pytest.mark.parametrize(
    ("together", "word"), [(steady(150), "confirmed"), (steady(60), "wrong"), (shaky(100), "cannot tell")]
)
def test_sharing_a_gpu(together: Runs, word: str) -> None:
    """Claim 24: 100 rows a second alone, so many of two together."""
    found = variant("cuda-many-1", rows_per_s=steady(100)), variant("cuda-many-2", rows_per_s=together)
    assert verdict(24, result(*found)) == word


@pytest.mark.parametrize(("operators", "word"), [(380.0, "confirmed"), (260.0, "depends"), (100.0, "wrong")])
def test_what_profiling_shows(operators: float, word: str) -> None:
    """Claim 25: so much of a recorded step of 400 µs lies in named operators, however long recording made it."""
    recorded = recording(wall_us=400.0, operator_us=operators, inflation=1.45)
    assert verdict(25, result(timed("cpu-record-1", steady(275), recorded=recorded))) == word


@pytest.mark.parametrize(("unexplained", "word"), [(0.0, "confirmed"), (0.3, "depends"), (0.8, "wrong")])
def test_what_profiling_shows_of_a_gpu(unexplained: float, word: str) -> None:
    """Claim 25 on a GPU: all but the waits that nothing explains."""
    recorded = recording(wall_us=400.0, unexplained_share=unexplained)
    assert verdict(25, result(timed("cuda-record-1", steady(275), recorded=recorded))) == word


@pytest.mark.parametrize(("by_element", "word"), [(0.01, "confirmed"), (0.2, "depends"), (5.0, "wrong")])
def test_by_element(by_element: float, word: str) -> None:
    """Claim 26: by column 1 Gflop/s, in blocks and whole 10; so many by element."""
    speeds = {"by_element": by_element, "by_column": 1.0, "in_blocks": 10.0, "at_once": 10.0}
    curves = {f"curve_{way}": ([[64, speed]],) for way, speed in speeds.items()}
    assert verdict(26, result(variant("cpu", size=(64,), **curves))) == word


@pytest.mark.parametrize(
    ("hundred", "word"), [(steady(10), "confirmed"), (steady(900), "wrong"), (shaky(400), "cannot tell")]
)
def test_batching(hundred: Runs, word: str) -> None:
    """Claim 27: an epoch with 1 row a step takes 400 ms, with 100 rows so much."""
    found = variant("cpu-batch-1", epoch_ms=steady(400)), variant("cpu-batch-100", epoch_ms=hundred)
    assert verdict(27, result(*found)) == word


def fitted(size: int, seconds: Sequence[float | None]) -> VariantResult:
    """A batch size and its time to the goal in each run; None: never."""
    return variant(f"cpu-batch-{size}", batch=(size,) * len(seconds), seconds_to_target=tuple(seconds))


@pytest.mark.parametrize(
    ("one", "middle", "full", "word"),
    [
        (steady(0.1), steady(0.01), steady(0.05), "confirmed"),
        (steady(0.1), steady(0.01), NEVER, "confirmed"),
        (steady(0.1), steady(0.01), steady(0.002), "wrong"),
        (steady(0.1), NEVER, steady(0.002), "wrong"),
        (steady(0.1), steady(0.01), shaky(0.01), "cannot tell"),
    ],
)
def test_compromise(
    one: Sequence[float | None], middle: Sequence[float | None], full: Sequence[float | None], word: str
) -> None:
    """Claim 28: seconds to the goal with 1 row, with 100 and with all; an end that never came there is later."""
    found = result(fitted(1, one), fitted(100, middle), fitted(10_000, full))
    assert verdict(28, found) == word
    if full is NEVER:
        assert "never reached with all" in decided(28, found).figure


def test_without_figures_there_is_a_reason() -> None:
    """Without the variants every claim is not measured, and says why in words that name what is missing."""
    for number, claim in CLAIMS.items():
        answer = decided(number, *(result() for _ in claim.workloads))
        assert answer.verdict.startswith("not measured, because "), number
        assert answer.figure == "-"
