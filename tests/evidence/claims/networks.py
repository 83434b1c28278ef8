"""Rules of the claims about the call path, the convolutional network and the DataLoader."""

from __future__ import annotations

from math import inf

from stallscope.demo import dataloader, mnist_cnn
from stallscope.demo.judging import Sample, Word, judge, times
from stallscope.demo.results import Result, VariantResult
from tests.evidence.claims.answers import NOT_RUN, Answer, between, no_gpu, not_measured, percent, sides

GAIN = 0.01  # of accuracy: less is no better
# W that a core at work draws: bounds for want of a measurement, from the frugal to the fast
CORE_WATTS = (1, 15)


def hooks(result: Result) -> Answer:
    """(10): which hooks `model.forward(x)` leaves out, and what the call costs."""
    variant = result.get("cpu-hooks-0")
    if variant is None:
        return NOT_RUN
    ran: dict[str, list[int]] = variant.repeats[0].figures["hooks"]
    lost = [kind for kind, (by_call, by_forward) in ran.items() if by_forward < by_call]
    judged = judge(variant.sample("forward_us"), variant.sample("call_us"))
    figure = f"{len(lost)} of {len(ran)} kinds of hook run only by model(x); it costs {judged.shown}"
    return Answer("confirmed" if lost else "wrong", figure)


def pairs(result: Result) -> list[tuple[VariantResult, VariantResult]]:
    """The generated images, (CPU, GPU) at each model and batch measured on both."""
    sized = [v for v in result.on("cpu") if not mnist_cnn.learns(v)]
    found = [(v, result.get(v.key.replace("cpu-", "cuda-", 1))) for v in sized]
    return [(cpu, gpu) for cpu, gpu in found if gpu is not None]


def cnn_on_gpu(result: Result) -> Answer:
    """(11): every factor from 4 to 5, none in 4 to 50, or some."""
    both = pairs(result)
    factors = [times(cpu.sample("us_per_step"), gpu.sample("us_per_step")) for cpu, gpu in both]
    known = [factor for factor in factors if factor is not None]
    if not known:
        return no_gpu(result)
    low, high = min(known), max(known)
    figure = f"{low:.2g} to {high:.2g} times, over {len(known)} pairs of model and batch"
    if low >= 4 and high <= 5:
        return Answer("confirmed", figure)
    return Answer("wrong" if high < 4 or low > 50 else "depends", figure)


def accuracy_on_gpu(result: Result) -> Answer:
    """(14): the digits, at the rate that is best on the CPU, round by round; each round has another seed."""
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    for optimizer in mnist_cnn.OPTIMIZERS:
        cpu = mnist_cnn.best_rate(result, "cpu", optimizer)
        gpu = None if cpu is None else result.get(cpu.key.replace("cpu-", "cuda-", 1))
        if cpu is not None and gpu is not None:
            rounds = min(len(cpu.repeats), len(gpu.repeats))
            before += cpu.sample("accuracy").values[:rounds]
            after += gpu.sample("accuracy").values[:rounds]
    if not before:
        return no_gpu(result)
    judged = judge(Sample(before), Sample(after))
    middle = [percent(Sample(values).median or 0) for values in (before, after)]
    figure = f"digits, {len(before)} pairs of runs: {middle[0]} on the CPU, {middle[1]} on the GPU; {judged.shown}"
    if between(judged, GAIN, inf):
        return Answer("confirmed", figure)
    return Answer("wrong" if between(judged, -1, GAIN) else "cannot tell", figure)


def prediction(result: Result) -> Answer:
    """(15): a model trained on the GPU, predicting on the CPU and on the GPU, against one trained on the CPU."""
    found = sides(result, "cpu-large-512", "cuda-large-512")
    if found is None:
        return no_gpu(result)
    cpu, gpu = found
    if not cpu.sample("predict_us").values:
        return not_measured("these runs did not time prediction")
    moved, there = (judge(cpu.sample("predict_us"), gpu.sample(f"predict_{on}us")) for on in ("on_cpu_", ""))
    figure = (
        f"512 images, trained on the GPU against trained on the CPU: predicted on the CPU {moved.shown}, predicted on "
        f"the GPU {there.shown}"
    )
    if moved.word is Word.LESS:
        return Answer("confirmed", figure)
    if there.word is Word.LESS:
        return Answer("depends", f"{figure}: on where it predicts, not on where it was trained")
    return Answer("wrong" if there.word is Word.MORE else "cannot tell", figure)


def energy(result: Result) -> Answer:
    """(16): the power at which the CPU would need as much: less than any core draws, or more."""
    cores, watts = result.machine.cores, []
    for cpu, gpu in pairs(result):
        power, factor = gpu.recorded("power_w").median, times(gpu.sample("us_per_step"), cpu.sample("us_per_step"))
        watts += [power * factor / cores] if power and factor else []
    if not watts:
        return not_measured("no GPU's driver told its power") if pairs(result) else no_gpu(result)
    least, most = CORE_WATTS
    figure = (
        f"the CPU would need as much at {min(watts):.2g} to {max(watts):.2g} W a core, by model and batch (its power "
        f"was not measured; {least} to {most} W a core taken as possible; the GPU's own host left out)"
    )
    better, worse = min(watts) < least, max(watts) > most
    if better and worse:
        return Answer("depends", figure)
    if max(watts) < least:
        return Answer("confirmed", figure)
    return Answer("wrong" if min(watts) > most else "cannot tell", figure)


def adam(result: Result) -> Answer:
    """(18): steps until 95 % of the digits, each at the best of three rates; *depends* if a worse rate turns it."""
    best = [mnist_cnn.best_rate(result, "cpu", optimizer) for optimizer in ("sgd", "adam")]
    if not any(mnist_cnn.learns(variant) for variant in result.on("cpu")):
        return NOT_RUN
    if best[0] is None or best[1] is None:
        return Answer("cannot tell", "not both reached 95 % of the digits at one of 3 rates")
    judged = judge(*(mnist_cnn.steps_of(variant) for variant in best if variant is not None))
    shown = [f"{mnist_cnn.steps_shown(each)} (rate {mnist_cnn.rate_of(each)})" for each in best if each is not None]
    figure = f"95 % of the digits after {shown[0]} steps with SGD, {shown[1]} with Adam: {judged.shown}"
    if judged.word is Word.UNKNOWN:
        return Answer("cannot tell", figure)
    sooner, later = ("sgd", best[1]) if judged.word is Word.MORE else ("adam", best[0])
    if turned_by_rate(result, sooner, mnist_cnn.steps_of(later).median or 0):
        return Answer("depends", f"{figure}; at another of its rates {mnist_cnn.OPTIMIZERS[sooner]} is the later one")
    return Answer("confirmed" if sooner == "sgd" else "wrong", figure)


def turned_by_rate(result: Result, optimizer: str, steps: float) -> bool:
    """Whether at one of its rates an optimizer takes more steps than that, or does not come so far."""
    tried = [result.get(f"cpu-{optimizer}-{rate}") for rate in mnist_cnn.RATES[optimizer]]
    found = [(v, mnist_cnn.steps_of(v)) for v in tried if v is not None]
    return any(len(each.values) < len(v.repeats) or (each.median or 0) > steps for v, each in found)


def more_workers(result: Result) -> Answer:
    """(19): CPU time of the training process, and of all processes, with two workers against none."""
    found = sides(result, "cpu-workers-0", "cpu-workers-2")
    if found is None:
        return NOT_RUN
    (own_before, before), (own_after, after) = (dataloader.cpu_s(variant) for variant in found)
    if not before.values or not after.values:
        return not_measured("the runs hold no CPU time of workers")
    own, together = judge(own_before, own_after), judge(before, after)
    figure = f"CPU time with 2 workers against none: the training process {own.shown}, all processes {together.shown}"
    if together.word is Word.LESS:
        return Answer("confirmed", figure)
    if own.word is Word.LESS:
        return Answer("depends", f"{figure}: the work moves, it does not shrink")
    return Answer("wrong" if Word.MORE in (own.word, together.word) else "cannot tell", figure)


def best_number(result: Result) -> Answer:
    """(20): as many workers as cores, against every other number that was tried."""
    tried = [v for v in result.on("cpu") if v.key.startswith("cpu-workers-")]
    cores = str(result.machine.cores)
    as_many = result.get(f"cpu-workers-{cores}")
    if as_many is None or len(tried) < 2:
        return not_measured("as many workers as cores were not tried")
    speeds = ", ".join(f"{dataloader.count(v)}: {dataloader.speed(v).median or 0:.0f}/s" for v in tried)
    figure = f"samples by workers {speeds}; {cores} cores"
    words = [judge(dataloader.speed(as_many), dataloader.speed(v)).word for v in tried if v is not as_many]
    if Word.MORE in words:
        return Answer("wrong", figure)
    if set(words) == {Word.LESS}:
        return Answer("confirmed", figure)
    return Answer("cannot tell", f"{figure}; not every other number can be told apart from it")
