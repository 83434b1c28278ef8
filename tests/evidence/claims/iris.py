"""Rules of the claims about the Iris training: reading, keeping and printing the loss, and CPU against GPU."""

from __future__ import annotations

from math import inf

from stallscope.analysis.units import microseconds
from stallscope.demo import iris_mlp
from stallscope.demo.judging import Judgement, Word, judge
from stallscope.demo.results import Result
from tests.evidence.claims.answers import (
    LITTLE,
    NOT_RUN,
    Answer,
    between,
    by_word,
    no_gpu,
    not_measured,
    on_best,
    percent,
    sides,
    where,
)

# Of 120 rows: two matrix products forward, at most twice as much backward; an addition and a multiplication each.
IRIS_FLOPS = 3 * 2 * 120 * (4 * 10 + 10 * 3)
PEAK = "peak_gflops"


def read_seldom(result: Result) -> Judgement | None:
    """The GPU's epoch when the loss is read every 100 epochs, against every epoch."""
    found = sides(result, "cuda-record-1", "cuda-record-100")
    return None if found is None else judge(*map(iris_mlp.us, found))


def item_on_gpu(result: Result) -> Answer:
    """(1): a third of an epoch gone with the reads is why it is slow, a tenth is not, between it is one cause of it."""
    judged = read_seldom(result)
    if judged is None:
        return no_gpu(result)
    figure = f"recording every 100 instead of every epoch: {judged.shown} of an epoch on the GPU"
    if between(judged, -1, -1 / 3):
        return Answer("confirmed", figure)
    if between(judged, -0.1, inf):
        return Answer("wrong", figure)
    return Answer("depends" if judged.word is Word.LESS else "cannot tell", figure)


def hidden(result: Result) -> Answer:
    """(7): hidden means that an epoch without the reads is at most 2 % shorter."""
    judged = read_seldom(result)
    if judged is None:
        return no_gpu(result)
    figure = f"recording every 100 instead of every epoch: {judged.shown} of an epoch on the GPU"
    if between(judged, -0.02, inf):
        return Answer("confirmed", figure)
    return Answer("wrong" if between(judged, -1, -0.02) else "cannot tell", figure)


def launches(result: Result) -> Answer:
    """(2): what `profile` calls the run."""
    gpu = result.get("cuda-record-1")
    if gpu is None:
        return no_gpu(result)
    recorded = gpu.repeats[0].recorded
    if recorded is None or recorded.launches is None:
        return not_measured("the GPU run was not recorded")
    figure = f"{recorded.launches:.0f} launches a step of {microseconds(recorded.step_us)}, {recorded.verdict}"
    if recorded.verdict == "launch-bound":
        return Answer("confirmed", figure)
    partly = "host" in recorded.verdict or recorded.verdict == "balanced"
    return Answer("depends" if partly else "wrong", figure)


def idle_units(result: Result) -> Answer:
    """(3): units idle while kernels run are the reason only where kernels fill most of the step."""
    gpu = result.get("cuda-record-1")
    if gpu is None:
        return no_gpu(result)
    filled, busy, wall = (gpu.recorded(name).median for name in ("sm_efficiency", "busy_us", "wall_us"))
    if filled is None or busy is None or not wall:
        return not_measured("the recording does not tell how the units were used")
    figure = f"{percent(filled)} of the units at work (estimated), the GPU busy for {percent(busy / wall)} of a step"
    if filled > 0.5:
        return Answer("wrong", figure)
    if busy / wall > 0.5:
        return Answer("confirmed" if filled < 0.1 else "depends", figure)
    return Answer("depends", f"{figure}: they are idle, mostly because nothing was launched yet")


def eight_percent(result: Result) -> Answer:
    """(4): the interval holds -8 % and is no wider than -12 to -4 %; another saving, for sure, is not that one."""
    found = on_best(result, "print-1", "print-200")
    if found is None:
        return NOT_RUN
    judged = judge(*map(iris_mlp.us, found))
    figure = f"{where(found[0])}, printing to a pipe: {judged.shown}"
    if judged.interval is None:
        return Answer("cannot tell", figure)
    low, high = judged.interval
    if not low <= -0.08 <= high:
        return Answer("depends" if high < 0 else "wrong", figure)
    return Answer("confirmed" if between(judged, -0.12, -0.04) else "cannot tell", figure)


def not_linear(result: Result) -> Answer:
    """(5): the reads fall as 1/k; only what falls further from k = 100 on would be a wait that shapes the curve."""
    found = sides(result, "cuda-record-100", "cuda-record-2000")
    if found is not None:
        judged = judge(*map(iris_mlp.us, found))
        figure = f"on the GPU, k = 2000 against k = 100, where 1/k leaves a hundredth of the reads: {judged.shown}"
        if between(judged, -1, -LITTLE):
            return Answer("confirmed", figure)
        return Answer("wrong" if between(judged, -LITTLE, inf) else "cannot tell", figure)
    base = result.get("cpu-record-1")
    epoch = None if base is None else iris_mlp.us(base).median
    if not epoch:
        return NOT_RUN
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


def below_one_percent(result: Result, matmul: Result) -> Answer:
    """(6): recording (`.item()` and append), and the arithmetic at the speed that this CPU reached in a product."""
    found, base = shares(result), result.get("cpu-record-1")
    fast = [v.sample(PEAK).median for v in matmul.on("cpu")]
    if found is None or base is None or not fast or not fast[0]:
        return NOT_RUN
    recording, compute = found[0] + found[1], IRIS_FLOPS / fast[0] / 1e3 / (iris_mlp.us(base).median or inf)
    figure = (
        f"on the CPU recording takes {percent(recording)} of an epoch; its arithmetic, at the {fast[0]:.3g} Gflop/s of "
        f"the best product, {percent(compute)}"
    )
    dominates, little = compute > 0.5, recording < LITTLE
    if dominates is little:
        return Answer("confirmed" if little else "wrong", figure)
    return Answer("depends", f"{figure}: " + ("the rest is the framework's calls" if little else "both count"))


def cheap(result: Result) -> Answer:
    """(8): append and print."""
    found = shares(result)
    if found is None:
        return NOT_RUN
    figure = (
        f"append {percent(found[1])}, a print to a file {percent(found[2])} of an epoch; a slow terminal costs more"
    )
    cheap = [each < LITTLE for each in found[1:]]
    return Answer("confirmed" if all(cheap) else "depends" if any(cheap) else "wrong", figure)


def noisy(result: Result) -> Answer:
    """(9): the effect of recording seldom, against the largest difference between runs of one variant."""
    found = on_best(result, "record-1", "record-100")
    if found is None:
        return NOT_RUN
    judged, spread = judge(*map(iris_mlp.us, found)), iris_mlp.base_spread(result, found[0].device)
    if spread is None or judged.change is None:
        return not_measured("the runs were not repeated")
    effect = abs(judged.change) * (iris_mlp.us(found[0]).median or 0)
    figure = (
        f"{where(found[0])} {judged.shown}, so {microseconds(effect)}; runs of one variant differ by up to "
        f"{microseconds(spread)}"
    )
    if judged.word is Word.UNKNOWN:
        return Answer("confirmed" if spread >= effect else "cannot tell", figure)
    return Answer("wrong" if spread < effect else "depends", figure)


def latency(result: Result) -> Answer:
    """(12): a step of a few small kernels, against the same step on the CPU."""
    found = sides(result, "cpu-record-1", "cuda-record-1")
    if found is None:
        return no_gpu(result)
    judged, delay = judge(*map(iris_mlp.us, found)), found[1].recorded("queue_delay_us").median
    spent = [microseconds(iris_mlp.us(variant).median) for variant in found]
    figure = (
        f"an Iris step takes {spent[1]} on the GPU and {spent[0]} on the CPU ({judged.shown}); half of the kernels "
        f"start more than {microseconds(delay)} after their launch call ended"
    )
    return Answer(by_word(judged, less="confirmed", more="wrong"), figure)


def more_memory(result: Result) -> Answer:
    """(13): the largest GPU of the machine against its memory."""
    sizes = [gpu.memory_bytes for gpu in result.machine.gpus if gpu.memory_bytes is not None]
    if not sizes:
        return no_gpu(result) if not result.machine.gpus else not_measured("the GPU's memory is not known")
    if result.ram_bytes is None:
        return not_measured("the machine's memory is not known")
    figure = f"{max(sizes) / 1e9:.1f} GB on the GPU, {result.ram_bytes / 1e9:.1f} GB of memory beside this CPU"
    return Answer("confirmed" if max(sizes) > result.ram_bytes else "wrong", figure)


def profiled(result: Result) -> Answer:
    """(25): the share of a recorded step that has a name: operators on a CPU, all but unexplained waits on a GPU."""
    base = result.get("cuda-record-1") or result.get("cpu-record-1")
    if base is None:
        return NOT_RUN
    wall, operators, unexplained = (base.recorded(n).median for n in ("wall_us", "operator_us", "unexplained_share"))
    if base.device == "cuda" and unexplained is not None:
        named, what = 1 - unexplained, "is explained"
    elif operators is not None and wall:
        named, what = operators / wall, "is in named operators, the rest in Python between them"
    else:
        return not_measured("the recording does not tell")
    inflation = base.recorded("inflation").median
    figure = f"{percent(named)} of an Iris step {where(base)} {what}"
    if inflation is not None:
        figure += f"; the step is {inflation:.2f} times as long while it is recorded"
    return Answer("confirmed" if named >= 0.9 else "depends" if named >= 0.25 else "wrong", figure)
