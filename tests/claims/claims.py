"""The claims about GPU training that this project was asked to check, and how measured figures decide each.

Every verdict is computed from the results of `stallscope demo` in ``docs/workloads/*.json``; what they do not hold is
not measured, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stallscope.analysis.units import microseconds
from stallscope.demo import dataloader, iris_mlp, matmul, minibatch_sgd
from stallscope.demo.judging import Word, judge, times
from stallscope.demo.results import Result, VariantResult

NO_GPU = "not measured, because there was no GPU"
VERDICTS = ("confirmed", "wrong", "depends", "cannot tell")
LITTLE = 0.01  # share of an epoch
FAR = 10  # times

Results = Mapping[str, Result]


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict with the figure behind it, or the reason why there is none."""

    verdict: str  # one of VERDICTS, or "not measured, because …"
    figure: str = "-"


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim, and the workload whose figures decide it."""

    text: str
    workload: str | None
    decide: Callable[[Result], Answer] | None = None  # None: ``reason`` says why not
    reason: str = ""

    def answer(self, results: Results) -> Answer:
        """The verdict by the figures there are."""
        if self.decide is None or self.workload is None:
            return Answer(f"not measured, because {self.reason}")
        result = results.get(self.workload)
        if result is None:
            return Answer(f"not measured, because docs/workloads/{self.workload}.json is not there")
        return self.decide(result)


def sides(result: Result, before: str, after: str) -> tuple[VariantResult, VariantResult] | None:
    """Two variants, if both were run."""
    found = result.get(before), result.get(after)
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def percent(share: float) -> str:
    """``0.052 %``."""
    return f"{100 * share:.3g} %"


# --- iris-mlp ---------------------------------------------------------------------------------------


def item_on_gpu(result: Result) -> Answer:
    """(1), (7): what the GPU run gains when the loss is read every 100 epochs."""
    found = sides(result, "cuda-record-1", "cuda-record-100")
    if found is None:
        return Answer(NO_GPU)
    judged = judge(*map(iris_mlp.us, found))
    figure = f"recording every 100 instead of every epoch: {judged.shown} of an epoch"
    if judged.word is Word.UNKNOWN or judged.change is None:
        return Answer("cannot tell", figure)
    return Answer("confirmed" if judged.change < -1 / 3 else "wrong", figure)


def hidden(result: Result) -> Answer:
    """(7): hidden would mean no difference."""
    found = item_on_gpu(result)
    swapped = {"confirmed": "wrong", "wrong": "depends", "cannot tell": "cannot tell"}
    return Answer(swapped.get(found.verdict, found.verdict), found.figure)


def launches(result: Result) -> Answer:
    """(2), (3): kernels a step and what `profile` calls the run."""
    gpu = result.get("cuda-record-1")
    if gpu is None:
        return Answer(NO_GPU)
    recorded = gpu.repeats[0].recorded
    if recorded is None or recorded.launches is None:
        return Answer("not measured, because the GPU run was not recorded")
    figure = f"{recorded.launches:.0f} launches a step of {microseconds(recorded.step_us)}, {recorded.verdict}"
    return Answer("confirmed" if recorded.verdict == "launch-bound" else "depends", figure)


def eight_percent(result: Result) -> Answer:
    """(4): whether the interval of the change holds -8 %."""
    found = sides(result, "cpu-print-1", "cpu-print-200")
    if found is None:
        return Answer("not measured, because the variants were not run")
    judged = judge(*map(iris_mlp.us, found))
    figure = f"on the CPU, printing to a pipe: {judged.shown}"
    if judged.interval is None:
        return Answer("cannot tell", figure)
    low, high = judged.interval
    if low <= -0.08 <= high:
        return Answer("confirmed" if judged.word is Word.LESS else "cannot tell", figure)
    return Answer("wrong", figure)


def not_linear(result: Result) -> Answer:
    """(5): whether the same shape is there without a GPU, where nothing waits: nothing is left to save from 100 on."""
    base = result.get("cpu-record-1")
    epoch = None if base is None else iris_mlp.us(base).median
    if not epoch:
        return Answer("not measured, because the variant was not run")
    left = iris_mlp.price(result, "cpu", "item_us") / 100
    saved = f"from k = 100 on at most {1000 * left:.1f} ns of {microseconds(epoch)} are left to save"
    figure = f"reads fall as 1/k: on the CPU, where nothing waits, {saved}"
    return Answer("wrong" if left / epoch < LITTLE / 10 else "depends", figure)


def shares(result: Result) -> tuple[float, float, float] | None:
    """(`.item()`, append, print) as shares of an epoch on the CPU."""
    base = result.get("cpu-record-1")
    epoch = None if base is None else iris_mlp.us(base).median
    if not epoch:
        return None
    item, append, printing = (
        iris_mlp.price(result, "cpu", name) / epoch for name in ("item_us", "append_us", "print_us")
    )
    return item, append, printing


def below_one_percent(result: Result) -> Answer:
    """(6): `.item()` and append together."""
    found = shares(result)
    if found is None:
        return Answer("not measured, because the variant was not run")
    figure = f"on the CPU .item() and append take {percent(found[0] + found[1])} of an epoch"
    return Answer("confirmed" if found[0] + found[1] < LITTLE else "wrong", figure)


def cheap(result: Result) -> Answer:
    """(8): append and print."""
    found = shares(result)
    if found is None:
        return Answer("not measured, because the variant was not run")
    figure = (
        f"append {percent(found[1])}, a print to a file {percent(found[2])} of an epoch; a slow terminal costs more"
    )
    return Answer("confirmed" if max(found[1:]) < LITTLE else "wrong", figure)


def noisy(result: Result) -> Answer:
    """(9): the effect of recording seldom, against the spread of runs."""
    found, spread = sides(result, "cpu-record-1", "cpu-record-100"), iris_mlp.base_spread(result, "cpu")
    if found is None or spread is None:
        return Answer("not measured, because the runs were not repeated")
    judged = judge(*map(iris_mlp.us, found))
    figure = f"on the CPU {judged.shown}; runs of one variant differ by up to {microseconds(spread)}"
    return Answer("confirmed" if judged.word is Word.UNKNOWN else "wrong", figure)


def accuracy_on_gpu(result: Result) -> Answer:
    """(14): the same training on both."""
    found = sides(result, "cpu-record-1", "cuda-record-1")
    if found is None:
        return Answer(NO_GPU)
    cpu, gpu = (variant.sample("accuracy").median for variant in found)
    verdict = "wrong" if cpu == gpu else "depends"
    return Answer(verdict, f"Iris, same seed: {percent(cpu or 0)} on the CPU, {percent(gpu or 0)} on the GPU")


def profiled(result: Result) -> Answer:
    """(25): what the profiler shows, and what it changes."""
    base = result.get("cpu-record-1")
    inflation = None if base is None else base.recorded("inflation").median
    if inflation is None:
        return Answer("not measured, because nothing was recorded")
    figure = f"it names the costs, and makes an Iris step {inflation:.2f} times as long while it looks"
    return Answer("depends" if inflation > 1.1 else "confirmed", figure)


# --- the others -------------------------------------------------------------------------------------


def hooks(result: Result) -> Answer:
    """(10): which hooks `model.forward(x)` leaves out, and what the call costs."""
    ran: dict[str, list[int]] = result.variants[0].repeats[0].figures["hooks"]
    lost = [kind for kind, (by_call, by_forward) in ran.items() if by_forward < by_call]
    judged = judge(result.variants[0].sample("forward_us"), result.variants[0].sample("call_us"))
    figure = f"{len(lost)} of {len(ran)} kinds of hook run only by model(x); it costs {judged.shown}"
    return Answer("confirmed" if lost else "wrong", figure)


def cnn_on_gpu(result: Result) -> Answer:
    """(11): the factors over batch and model."""
    pairs = [
        (v, result.get(v.key.replace("cpu-", "cuda-", 1)))
        for v in result.on("cpu")
        if "-small-" in v.key or "-large-" in v.key
    ]
    factors = [times(cpu.sample("us_per_step"), gpu.sample("us_per_step")) for cpu, gpu in pairs if gpu is not None]
    known = [factor for factor in factors if factor is not None]
    if not known:
        return Answer(NO_GPU)
    return Answer("depends", f"{min(known):.2g} to {max(known):.2g} times, by batch and model")


def adam(result: Result) -> Answer:
    """(18): steps until 95 % of the digits, at two usual rates."""
    found = sides(result, "cpu-sgd", "cpu-adam")
    if found is None:
        return Answer("not measured, because the variants were not run")
    steps = [variant.sample("steps_to_95") for variant in found]
    if not all(each.values for each in steps):
        return Answer("cannot tell", "not both reached 95 % of the digits at these rates")
    shown = f"95 % of the digits after {steps[0].median:.0f} steps with SGD, {steps[1].median:.0f} with Adam"
    return Answer("depends", f"{shown}, at one learning rate each; another rate changes it")


def more_workers(result: Result) -> Answer:
    """(19): costly samples and cheap ones."""
    costly, free = sides(result, "cpu-workers-0", "cpu-workers-2"), sides(result, "cpu-free-0", "cpu-free-2")
    if costly is None or free is None:
        return Answer("not measured, because the variants were not run")
    found = [judge(*map(dataloader.speed, pair)) for pair in (costly, free)]
    figure = f"samples/s of 2 workers against none: {found[0].shown} if one costs 500 µs, {found[1].shown} if 0 µs"
    if Word.UNKNOWN in (found[0].word, found[1].word):
        return Answer("cannot tell", figure)
    if found[0].word is found[1].word:
        return Answer("confirmed" if found[0].word is Word.MORE else "wrong", figure)
    return Answer("depends", figure)


def best_number(result: Result) -> Answer:
    """(20): the number of workers with the most samples a second, if it stands out."""
    tried = [v for v in result.on("cpu") if v.key.startswith("cpu-workers-")]
    ranked = sorted(tried, key=lambda v: dataloader.speed(v).median or 0, reverse=True)
    cores = result.machine.cores
    figure = (
        ", ".join(f"{dataloader.count(v)}: {dataloader.speed(v).median or 0:.0f}/s" for v in tried) + f"; {cores} cores"
    )
    best, second = ranked[:2]
    if judge(dataloader.speed(second), dataloader.speed(best)).word is not Word.MORE:
        return Answer("cannot tell", f"samples by workers {figure}; the best two cannot be told apart")
    return Answer("confirmed" if dataloader.count(best) == str(cores) else "wrong", f"samples by workers {figure}")


def shared_gpu(result: Result) -> Answer:
    """(24): two trainings at once on one GPU against one."""
    found = sides(result, "cuda-many-1", "cuda-many-2")
    if found is None:
        return Answer(NO_GPU)
    judged = judge(*(variant.sample("rows_per_s") for variant in found))
    verdicts = {Word.MORE: "confirmed", Word.LESS: "wrong", Word.UNKNOWN: "cannot tell"}
    return Answer(verdicts[judged.word], f"rows/s of two trainings together against one: {judged.shown}")


def ddp_against_dp(result: Result) -> Answer:
    """(22): needs two GPUs."""
    found = sides(result, "cuda-dp", "cuda-ddp-2")
    if found is None:
        return Answer("not measured, because there were not two GPUs")
    judged = judge(*(variant.sample("rows_per_s") for variant in found))
    return Answer("depends", f"rows/s of DDP against DataParallel: {judged.shown}; bytes were not counted")


def by_element(result: Result) -> Answer:
    """(26): factors against the other three."""
    variant = result.variants[0]
    size = int(variant.sample("size").median or 0)
    slow = matmul.seconds(variant, "by_element", size)
    factors = [times(slow, matmul.seconds(variant, way, size)) or 0 for way in ("by_column", "in_blocks", "at_once")]
    figure = f"on the CPU, {size} × {size}: {factors[0]:,.0f}, {factors[1]:,.0f} and {factors[2]:,.0f} times as long"
    return Answer("confirmed" if min(factors) > FAR else "wrong", figure)


def submitted(result: Result) -> Answer:
    """(17): the clock with and without waiting."""
    gpu = next((variant for variant in result.variants if variant.device == "cuda"), None)
    if gpu is None:
        return Answer(NO_GPU)
    asked, done = (gpu.sample(f"{name}_us").median or 0 for name in ("unsynchronized", "synchronized"))
    figure = (
        f"a product: {microseconds(asked)} without waiting, {microseconds(done)} with: it waits until work is *done*"
    )
    return Answer("wrong" if done > 2 * asked else "cannot tell", figure)


def batching(result: Result) -> Answer:
    """(27): an epoch by rows of one against rows of a hundred."""
    found = sides(result, "cpu-batch-1", "cpu-batch-100")
    if found is None:
        return Answer("not measured, because the variants were not run")
    epochs = [variant.sample("epoch_ms") for variant in found]
    judged, factor = judge(*epochs), times(*epochs)
    verdicts = {Word.LESS: "confirmed", Word.MORE: "wrong", Word.UNKNOWN: "cannot tell"}
    return Answer(
        verdicts[judged.word],
        f"on the CPU an epoch with 1 row a step takes {factor or 0:.0f} times as long as with 100",
    )


def compromise(result: Result) -> Answer:
    """(28): whether a batch between is sooner at the goal than both one row and all rows."""
    ends = sides(result, f"cpu-batch-{minibatch_sgd.SIZES[0]}", f"cpu-batch-{minibatch_sgd.SIZES[-1]}")
    between = [result.get(f"cpu-batch-{size}") for size in minibatch_sgd.SIZES[1:-1]]
    known = [v for v in between if v is not None and v.sample("seconds_to_target").values]
    if ends is None or not known:
        return Answer("not measured, because the variants were not run")
    goals = [v.sample("seconds_to_target") for v in ends]
    best = min(known, key=lambda v: v.sample("seconds_to_target").median or 0)
    goal = best.sample("seconds_to_target")
    words = [judge(end, goal).word for end in goals]
    spent = [microseconds(1e6 * (each.median or 0)) for each in (goals[0], goal, goals[1])]
    middle = f"{spent[1]} with {best.sample('batch').median:.0f}"
    figure = f"to a thousandth of the loss: {spent[0]} with 1 row a step, {middle}, {spent[2]} with all"
    if words == [Word.LESS, Word.LESS]:
        return Answer("confirmed", figure)
    return Answer("wrong" if Word.MORE in words else "cannot tell", figure)


CLAIMS: dict[int, Claim] = {
    1: Claim("The GPU run is slow because data moves to the GPU and back at each `.item()`.", "iris-mlp", item_on_gpu),
    2: Claim("It is slow because each kernel launch has a fixed cost.", "iris-mlp", launches),
    3: Claim(
        "It is slow because a small model leaves compute units idle.",
        None,
        reason="there was no GPU; `stallscope summary` of a GPU run shows how much of it the kernels fill",
    ),
    4: Claim("Printing every 200 epochs instead of each saves 8 %.", "iris-mlp", eight_percent),
    5: Claim(
        "Recording interval and time are not linear since `.item()` makes the GPU wait for the CPU.",
        "iris-mlp",
        not_linear,
    ),
    6: Claim("Compute dominates, recording is below 1 %.", "iris-mlp", below_one_percent),
    7: Claim("Asynchrony hides `.item()`.", "iris-mlp", hidden),
    8: Claim("List append and print cost little.", "iris-mlp", cheap),
    9: Claim("At this size noise is as large as the effect.", "iris-mlp", noisy),
    10: Claim("`model(x)` is better than `model.forward(x)`, for its hooks.", "call-path", hooks),
    11: Claim("A GPU trains a CNN 4–5 × (elsewhere: 50 ×) faster than a CPU.", "mnist-cnn", cnn_on_gpu),
    12: Claim(
        "A GPU has low latency.",
        None,
        reason="there was no GPU; the launches that `summary` lists for a GPU run show it",
    ),
    13: Claim(
        "A GPU has more memory than the CPU.", None, reason="there was no GPU; `stallscope env` shows a GPU's memory"
    ),
    14: Claim("GPU training gives better accuracy and generalisation.", "iris-mlp", accuracy_on_gpu),
    15: Claim("Models trained on a GPU predict faster.", None, reason="there was no GPU, and no demo times prediction"),
    16: Claim(
        "A GPU needs less energy for the same work.", None, reason="there was no GPU, and nothing here reads energy"
    ),
    17: Claim("`cudaDeviceSynchronize` makes sure that work was submitted.", "matmul", submitted),
    18: Claim("SGD converges faster than Adam.", "mnist-cnn", adam),
    19: Claim("More DataLoader workers relieve the CPU.", "dataloader", more_workers),
    20: Claim("The best number of workers is the number of cores.", "dataloader", best_number),
    21: Claim(
        "DataParallel uses processes.",
        None,
        reason="DataParallel needs GPUs (its documentation: one process, a thread for each GPU)",
    ),
    22: Claim("DDP communicates less than DataParallel.", "data-parallel", ddp_against_dp),
    23: Claim(
        "More processes cure a shortage of memory.",
        None,
        reason="there was no GPU, and no demo counts memory by process",
    ),
    24: Claim("Sharing one GPU between processes speeds training up.", "data-parallel", shared_gpu),
    25: Claim("Profiling shows where the time goes.", "iris-mlp", profiled),
    26: Claim("Matrix product by element is far slower than by column, whole or in blocks.", "matmul", by_element),
    27: Claim("Framework overhead makes batching pay even on a CPU.", "minibatch-sgd", batching),
    28: Claim("A minibatch is the compromise between gradient descent and SGD.", "minibatch-sgd", compromise),
}
