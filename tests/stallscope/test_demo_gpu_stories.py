"""What the demos say of a GPU and of their full form, for figures made here: no machine of the tests has measured them.

The figures are set so that each sentence has one right answer, and then the other way round.
"""

from pathlib import Path
from typing import Any

import pytest

from stallscope.demo import (
    call_path,
    data_parallel,
    dataloader,
    iris_mlp,
    matmul,
    minibatch_sgd,
    mnist_cnn,
    page,
    plot,
)
from stallscope.demo.catalog import WORKLOADS
from stallscope.demo.judging import judge
from stallscope.demo.results import Result, VariantResult
from stallscope.demo.story import Variant
from tests.demo_results import recording, result, variant

Runs = tuple[Any, ...]
HOOKS = {"forward hook": [1, 0], "backward hook": [1, 1]}


def steady(value: float) -> Runs:
    """Three runs that differ by less than a percent."""
    return (value, 1.002 * value, 0.998 * value)


def same(value: Any) -> Runs:
    """Three runs that agree."""
    return (value,) * 3


def figures(workload: str, planned: Variant) -> dict[str, Runs]:
    """Figures such as the workload's script writes, of one variant; the GPU takes a tenth of the CPU's time."""
    us = 100.0 if planned.device == "cuda" else 1000.0
    last = planned.key.rpartition("-")[2]
    size = float(last) if last not in ("", "0") and last[0].isdigit() else 1.0
    known: dict[str, dict[str, Runs]] = {
        "iris-mlp": {"us_per_epoch": steady(us), "epochs": same(20_000), "item_us": steady(0.3),
                     "append_us": steady(0.2), "print_us": steady(1.1), "nothing_us": steady(0.1),
                     "curve": same([[1, 1.1], [20_000, 0.1]])},
        "call-path": {"call_us": steady(us), "forward_us": steady(0.9 * us), "extra_us": steady(0.1 * us),
                      "hooks": same(HOOKS), "global_hooks": same(0), "profiler": same(0)},
        "mnist-cnn": {"us_per_step": steady(us), "images_per_s": steady(1e6 * size / us), "batch": same(size),
                      "peak_bytes": same(5e8), "accuracy": steady(0.97), "curve": same([[0, 0.1], [400, 0.97]]),
                      "steps_to_95": steady(100), "predict_us": steady(us / 3), "predict_on_cpu_us": steady(300),
                      "limit": same("OutOfMemoryError: too large")},
        "dataloader": {"samples_per_s": steady(1e6 / us), "waiting_share": same(0.3), "first_batch_s": same(0.01),
                       "own_cpu_s": steady(1), "workers_cpu_s": steady(1), "copy_ms": steady(us / 100),
                       "batch_bytes": same(25_690_112)},
        "data-parallel": {"us_per_step": steady(us), "rows_per_s": steady(64e6 / us), "gradient_bytes": same(800_000),
                          "exchange_share": same(0.2), "backend": same("nccl"), "memory_bytes": steady(4e8 * size),
                          "forward_processes": same(1), "forward_threads": same(2)},
        "minibatch-sgd": {"us_per_step": steady(us), "epoch_ms": steady(10 * us / size), "batch": same(size),
                          "excess": same(1e-4), "seconds_to_target": steady(us * size / 1e6),
                          "curve": same([[0.0, 1.0], [0.1, 0.01], [0.2, 0.001]])},
        "matmul": {**{f"curve_{way}": same([[128, speed], [256, speed]]) for way, speed in
                      zip(matmul.WAYS, (0.01, 1.0, 50.0, 60.0), strict=True)},
                   **{f"mean_us_{way}": steady(us) for way in matmul.WAYS},
                   "size": same(256), "peak_gflops": steady(1e5 / us), "bandwidth_gb_s": steady(1e4 / us),
                   "call_us": steady(1), "unsynchronized_us": steady(10), "synchronized_us": steady(us)},
    }  # fmt: skip
    return known[workload]


def full(workload: str, change: dict[str, dict[str, Runs]] | None = None) -> Result:
    """A result of all variants of the full form, on CPU and GPUs; ``change`` replaces figures of some, by key."""
    quick = False
    planned = WORKLOADS[workload].variants(quick)
    recorded = recording(step_us=90.0, launches=16.0, items=1.0, item_us=3.0, wall_us=120.0, verdict="launch-bound")
    return result(
        *(remade(each, recorded, figures(workload, each) | (change or {}).get(each.key, {})) for each in planned)
    )


def remade(planned: Variant, recorded: Any, runs: dict[str, Runs]) -> VariantResult:
    """A planned variant, measured; the one that only counts GPUs has no other figures."""
    if planned.key == "cuda-visible":
        runs = {"seen": same(2), "seen_first": same(1), "seen_none": same(0)}
    found = variant(planned.key, recorded, **runs)
    return VariantResult(
        key=found.key, title=planned.title, device=planned.device, options=list(planned.options), repeats=found.repeats
    )


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_full_story_of_a_gpu_is_told(name: str, tmp_path: Path) -> None:
    """All variants on both devices: each has its row or its sentence, and text, page and plot can be made."""
    found, workload = full(name), WORKLOADS[name]
    story = workload.tell(found)
    rows = " ".join(row[0] for row in story.tables[0].rows)
    assert all(v.title in rows for v in found.variants if v.key != "cuda-visible")
    assert any("GPU" in sentence for sentence in story.sentences)
    assert all(file.stat().st_size > 5000 for file in plot.draw(story.panels, tmp_path / name))
    for sentence in story.sentences:
        assert sentence in page.as_markdown(workload, story, found, plot=True)
        assert "None" not in sentence


@pytest.mark.parametrize(
    ("gpu", "words"), [(steady(100), "an epoch takes less time than on the CPU"), (steady(4000), "more time than")]
)
def test_iris_on_the_gpu_against_the_cpu(gpu: Runs, words: str) -> None:
    """The word follows the times, 1000 µs on the CPU; launches and verdict are the recording's."""
    (sentence,) = iris_mlp.versus_cpu(full("iris-mlp", {"cuda-record-1": {"us_per_epoch": gpu}}))
    assert words in sentence
    assert "it starts 16 kernels, and `stallscope profile` calls the run launch-bound" in sentence


def test_iris_ledger_holds_what_was_recorded() -> None:
    """By itself .item() costs 0.2 µs; in the training, with its wait, 3 µs: sentence and table hold both."""
    story = iris_mlp.tell(full("iris-mlp"))
    (ledger,) = [sentence for sentence in story.sentences if sentence.startswith("GPU: with the loss recorded")]
    assert "cost 0.20 µs in .item()" in ledger
    assert "Recorded in the training, .item() takes 3.00 µs a step" in ledger
    assert ("GPU, loss.item() in the training, recorded", "3.000 µs", "2.5 %") in story.tables[1].rows
    assert any(sentence.startswith("GPU: time can be linear only") for sentence in story.sentences)


@pytest.mark.parametrize(("seldom", "words"), [(steady(90), "saves time"), (steady(110), "takes more time")])
def test_iris_printing(seldom: Runs, words: str) -> None:
    """Printing every 200 epochs, where every epoch takes 100 µs."""
    found = full("iris-mlp", {"cuda-print-200": {"us_per_epoch": seldom}})
    (sentence,) = iris_mlp.printing(found, "cuda")
    assert f"GPU: printing every 200 epochs instead of each {words}" in sentence


def test_calls_that_were_watched_are_named() -> None:
    """Hooks for all modules during the laps of one variant: the sentence names it; without any there is none."""
    assert call_path.disturbed(full("call-path")) == []
    (sentence,) = call_path.disturbed(full("call-path", {"cuda-hooks-1": {"global_hooks": same(2)}}))
    assert "GPU, a hook on each module" in sentence
    assert "no hooks" not in sentence


def test_hooks_that_are_lost() -> None:
    """The forward hook ran only by model(x), the backward hook by both."""
    sentence = call_path.lost_sentence(full("call-path"))
    assert sentence.startswith("model.forward(x) leaves out: forward hook; it runs: backward hook.")


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ((10, 10, 10, 10), "The crossover lies below batch 1, the smallest that was tried."),
        ((5000, 5000, 10, 10), "The crossover lies above batch 8 and at or below 64."),
        ((10, 5000, 10, 5000), "No crossover was found"),
        ((5000, 5000, 5000, 10), "The crossover lies above batch 64 and at or below 512."),
    ],
)
def test_the_crossover_batch(times: tuple[float, ...], words: str) -> None:
    """Steps of the small model on the GPU at batch 1, 8, 64 and 512, where the CPU takes 1000 µs each."""
    steps = {f"cuda-small-{b}": {"us_per_step": steady(us)} for b, us in zip(mnist_cnn.BATCHES, times, strict=True)}
    small, large = mnist_cnn.crossover(full("mnist-cnn", steps))
    assert words in small
    assert "The crossover lies below batch 1" in large


@pytest.mark.parametrize(
    ("adam", "words"), [(steady(50), "takes fewer steps than SGD"), (steady(400), "takes more steps than SGD")]
)
def test_optimizers_at_their_best(adam: Runs, words: str) -> None:
    """Of the rates with which every run came to 95 %, the one with the fewest steps is compared."""
    changed = {
        "cuda-adam-0.01": {"steps_to_95": adam},
        "cuda-adam-0.002": {"steps_to_95": steady(900)},
        "cuda-adam-0.05": {"steps_to_95": (10, None, None)},  # fastest once, and then never
        "cuda-sgd-0.3": {"steps_to_95": same(None)},
    }
    found = full("mnist-cnn", changed)
    (sentence,) = [each for each in mnist_cnn.against_adam(found) if each.startswith("GPU")]
    assert f"Adam (rate 0.01) {words}" in sentence
    rows = {row[0]: row[5] for row in mnist_cnn.tell(found).tables[0].rows}
    assert rows["GPU, digits, Adam, rate 0.05"] == "10 (1 of 3 runs)"
    assert rows["GPU, digits, SGD, rate 0.3"] == "never"


def test_no_rate_came_so_far() -> None:
    """Where one optimizer never reached 95 % in all runs, nothing is compared."""
    never = {f"cuda-sgd-{rate}": {"steps_to_95": same(None)} for rate in mnist_cnn.RATES["sgd"]}
    (sentence,) = [s for s in mnist_cnn.against_adam(full("mnist-cnn", never)) if s.startswith("GPU")]
    assert sentence == "GPU: not both optimizers reached 95 % of the digits in all runs."


def test_prediction_of_a_moved_model() -> None:
    """Trained on the GPU: on the CPU twice as slow as one trained there, on the GPU ten times as fast."""
    changed = {"cuda-small-512": {"predict_on_cpu_us": steady(666)}}
    sentence = mnist_cnn.predicting(full("mnist-cnn", changed))[0]
    assert "on the CPU more time" in sentence
    assert "on the GPU less time" in sentence


@pytest.mark.parametrize(
    ("pinned", "words"), [(steady(20_000), "more samples a second"), (steady(5_000), "fewer samples a second")]
)
def test_copies_have_their_own_base(pinned: Runs, words: str) -> None:
    """Pinned against pageable memory with the same large batches, 10 000 samples/s; never against costly samples."""
    changed = {
        "cuda-pinned": {"samples_per_s": pinned, "copy_ms": steady(0.5)},
        "cuda-workers-0": {"samples_per_s": steady(7)},
    }
    found = full("dataloader", changed)
    (sentence,) = [s for s in dataloader.sentences(found) if s.startswith("Large batches in pinned memory")]
    assert words in sentence
    assert "the host is 500 µs in the copy of a batch (25.7 MB) instead of 1.00 ms" in sentence
    rows = {row[0]: row for row in dataloader.tell(found).tables[0].rows}
    change = judge(steady_sample(10_000), steady_sample(pinned[0])).shown
    assert rows["GPU, large batches, pinned memory"][2] == change
    assert rows["GPU, large batches, pageable memory"][2] == ""


def steady_sample(value: float) -> Any:
    """Three steady runs as a sample."""
    return variant("cpu-x", x=steady(value)).sample("x")


@pytest.mark.parametrize(("two", "words"), [(steady(30_000), "more samples"), (steady(5_000), "fewer samples")])
def test_workers_beside_a_gpu(two: Runs, words: str) -> None:
    """Two workers against none, which make 10 000 samples/s."""
    found = full("dataloader", {"cuda-workers-2": {"samples_per_s": two}})
    (sentence,) = [s for s in dataloader.sentences(found) if s.startswith("On the GPU, two workers against none")]
    assert words in sentence


@pytest.mark.parametrize(("kept", "words"), [(steady(2000), "more samples"), (steady(500), "fewer samples")])
def test_kept_workers(kept: Runs, words: str) -> None:
    """Workers kept from epoch to epoch against new ones, which make 1000 samples/s."""
    found = full("dataloader", {"cpu-persistent-2": {"samples_per_s": kept}})
    (sentence,) = [s for s in dataloader.sentences(found) if s.startswith("Workers kept")]
    assert words in sentence


def test_as_many_workers_as_cores_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """On six cores 6 stands among the numbers of workers, in its place."""
    monkeypatch.setattr(dataloader, "usable_cores", lambda: 6)
    quick = False
    tried = [v.key for v in dataloader.variants(quick) if v.key.startswith("cpu-workers-")]
    assert tried == [f"cpu-workers-{workers}" for workers in (0, 1, 2, 4, 6, 8)]


@pytest.mark.parametrize(
    ("ddp", "words"), [(steady(1e6), "trains more rows a second"), (steady(1e5), "trains fewer rows a second")]
)
def test_data_parallel_on_gpus(ddp: Runs, words: str) -> None:
    """Where DataParallel ran forward, and DDP's rows a second against its 640 000."""
    (sentence,) = data_parallel.threads(full("data-parallel", {"cuda-ddp-2": {"rows_per_s": ddp}}), "cuda")
    assert "DataParallel ran forward in 1 process(es) and 2 thread(s)" in sentence
    assert words in sentence


def test_both_parallel_ways_have_the_same_work() -> None:
    """DataParallel has two GPUs and as many rows each as a process of DDP: 2 × 64."""
    quick = False
    planned = {v.key: v for v in data_parallel.variants(quick)}
    assert planned["cuda-dp"].gpus == planned["cuda-ddp-2"].gpus == planned["cuda-ddp-2"].processes == 2
    assert not {"--batch-size", "--processes"} & {*planned["cuda-dp"].options, *planned["cuda-ddp-2"].options}


def test_memory_and_visible_gpus() -> None:
    """Each further training holds 400 MB more; a process sees what CUDA_VISIBLE_DEVICES leaves it."""
    found = full("data-parallel")
    assert data_parallel.memory(found, "cuda") == [
        "GPU: memory held 400 MB by 1 at once, 800 MB by 2 at once, 1.60 GB by 4 at once."
    ]
    (sentence,) = data_parallel.visible(found, "cuda")
    assert sentence == (
        "A process sees 2 GPU(s) here, 1 with CUDA_VISIBLE_DEVICES set to one of them, 0 with it empty."
    )


@pytest.mark.parametrize(("queue", "words"), [(steady(50), "a shorter step than"), (steady(300), "a longer step than")])
def test_feeding(queue: Runs, words: str) -> None:
    """By a queue against a DataLoader worker, 100 µs a step."""
    (sentence,) = data_parallel.feeding(full("data-parallel", {"cuda-queue": {"us_per_step": queue}}), "cuda")
    assert words in sentence


@pytest.mark.parametrize(
    ("other", "words"), [(steady(0.5), "earlier with the former"), ((0.00005, 0.0002, 0.0001), "cannot tell")]
)
def test_which_batch_is_first_at_the_goal(other: Runs, words: str) -> None:
    """One row a step is there after 100 µs; ten rows later, or now sooner and now later."""
    later = {f"cuda-batch-{size}": {"seconds_to_target": steady(9)} for size in (100, 1000, 10_000)}
    found = full("minibatch-sgd", {"cuda-batch-10": {"seconds_to_target": other}, **later})
    assert words in minibatch_sgd.goal_of(found, "cuda")[0]


def test_too_few_came_to_the_goal() -> None:
    """With one batch size at the goal there is nothing to compare."""
    never = {f"cuda-batch-{size}": {"seconds_to_target": same(None)} for size in minibatch_sgd.SIZES[1:]}
    (sentence,) = minibatch_sgd.goal_of(full("minibatch-sgd", never), "cuda")
    assert "fewer than two batch sizes" in sentence


def test_the_trap_of_a_clock_that_does_not_wait() -> None:
    """Only a GPU has it: 10 µs to ask for a product that takes 100."""
    found = full("matmul")
    cpu, gpu = (found.get(device) for device in ("cpu", "cuda"))
    assert cpu is not None
    assert gpu is not None
    assert matmul.trap(cpu) == []
    (sentence,) = matmul.trap(gpu)
    assert "seems to take 10.0 µs, with it 100 µs" in sentence


def test_failed_variants_stand_on_the_page() -> None:
    """The page names them with the last line they said; the rest of the story is told without them."""
    whole = full("matmul")
    partly = result(*whole.on("cpu"), failed={"GPU": "exit code 1: CUDA error: out of memory"})
    shown = page.as_markdown(WORKLOADS["matmul"], matmul.tell(partly), partly, plot=False)
    assert "Failed: GPU: exit code 1: CUDA error: out of memory." in shown


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_story_of_the_gpu_alone(name: str) -> None:
    """`--device cuda`: without any figure of the CPU the story is told, and compares nothing with it."""
    found = full(name)
    story = WORKLOADS[name].tell(result(*found.on("cuda")))
    assert story.tables[0].rows
    assert not any("CPU," in row[0] for row in story.tables[0].rows)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_story_with_one_variant_missing(name: str) -> None:
    """Whichever variant failed, what is left is told."""
    found = full(name)
    for left_out in found.variants:
        rest = [each for each in found.variants if each is not left_out]
        assert WORKLOADS[name].tell(result(*rest)).tables
