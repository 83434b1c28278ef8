"""The rules about the other trainings give each of their verdicts, for figures that ask for it."""

from collections.abc import Sequence
from typing import Any

import pytest

from stallscope.demo.results import VariantResult
from tests.demo_results import recording, result, variant
from tests.evidence.claims.asking import Runs, decided, shaky, steady, verdict
from tests.evidence.claims.claims import CLAIMS


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
