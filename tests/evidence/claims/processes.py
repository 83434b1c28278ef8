"""Rules of the claims about several processes, products of matrices and minibatches."""

from __future__ import annotations

from stallscope.analysis.units import microseconds, quantity
from stallscope.demo import data_parallel, matmul, minibatch_sgd
from stallscope.demo.judging import Sample, Word, judge, times
from stallscope.demo.results import Result, VariantResult
from tests.evidence.claims.answers import NOT_RUN, Answer, by_word, no_gpu, not_measured, on_best, sides, where

FAR = 10  # times


def submitted(result: Result) -> Answer:
    """(17): the clock with and without waiting."""
    gpu = next(iter(result.on("cuda")), None)
    if gpu is None:
        return no_gpu(result)
    asked, done = (gpu.sample(f"{name}_us").median or 0 for name in ("unsynchronized", "synchronized"))
    figure = (
        f"a product: {microseconds(asked)} without waiting, {microseconds(done)} with: it waits until work is *done*"
    )
    return Answer("wrong" if done > 2 * asked else "cannot tell", figure)


def uses_processes(result: Result) -> Answer:
    """(21): the processes and threads in which DataParallel ran forward."""
    found = result.get("cuda-dp")
    if found is None:
        return not_measured("there were not two GPUs; on a CPU DataParallel only calls the model")
    ran = [found.sample(f"forward_{each}").median or 0 for each in ("processes", "threads")]
    figure = f"forward ran in {ran[0]:.0f} process(es), {ran[1]:.0f} thread(s)"
    return Answer("confirmed" if ran[0] > 1 else "wrong", figure)


def communicated(variant: VariantResult) -> Sample:
    """The GPU's time in collectives and copies a step, µs."""
    found = [each.recorded for each in variant.repeats if each.recorded is not None]
    told = [(each.communication_us, each.copy_us) for each in found]
    return Sample(tuple(a + b for a, b in told if a is not None and b is not None))


def ddp_against_dp(result: Result) -> Answer:
    """(22): the time that a GPU spends in collectives and copies; bytes are not in the traces."""
    found = sides(result, "cuda-dp", "cuda-ddp-2")
    if found is None:
        return not_measured("there were not two GPUs")
    samples = [communicated(variant) for variant in found]
    if not all(sample.values for sample in samples):
        return not_measured("the recordings hold no communication")
    judged, spent = judge(*samples), [microseconds(sample.median) for sample in samples]
    figure = (
        f"a GPU is {spent[1]} a step in collectives and copies with DDP, {spent[0]} with DataParallel: {judged.shown}"
    )
    return Answer(by_word(judged, less="confirmed", more="wrong"), figure)


def more_processes(result: Result) -> Answer:
    """(23): memory held by two trainings at once against one."""
    found = on_best(result, "many-1", "many-2")
    if found is None:
        return NOT_RUN
    held = [variant.sample("memory_bytes") for variant in found]
    if not all(sample.values for sample in held):
        return not_measured("the runs hold no memory of processes")
    judged, sizes = judge(*held), [quantity(sample.median) for sample in held]
    figure = f"{where(found[0])} one training holds {sizes[0]}, two at once {sizes[1]}: {judged.shown}"
    return Answer(by_word(judged, less="confirmed", more="wrong"), figure)


def shared_gpu(result: Result) -> Answer:
    """(24): two trainings at once on one GPU against one."""
    found = sides(result, "cuda-many-1", "cuda-many-2")
    if found is None:
        return no_gpu(result)
    judged = judge(*map(data_parallel.speed, found))
    figure = f"rows/s of two trainings together against one: {judged.shown}"
    return Answer(by_word(judged, less="wrong", more="confirmed"), figure)


def by_element(result: Result) -> Answer:
    """(26): factors against the other three."""
    variant = next(iter(result.on("cpu")), None)
    if variant is None:
        return NOT_RUN
    size = int(variant.sample("size").median or 0)
    slow = matmul.seconds(variant, "by_element", size)
    factors = [times(slow, matmul.seconds(variant, way, size)) or 0 for way in ("by_column", "in_blocks", "at_once")]
    figure = f"on the CPU, {size} × {size}: {factors[0]:,.0f}, {factors[1]:,.0f} and {factors[2]:,.0f} times as long"
    far = [factor > FAR for factor in factors]
    return Answer("confirmed" if all(far) else "depends" if any(far) else "wrong", figure)


def batching(result: Result) -> Answer:
    """(27): an epoch by rows of one against rows of a hundred."""
    found = sides(result, "cpu-batch-1", "cpu-batch-100")
    if found is None:
        return NOT_RUN
    epochs = [variant.sample("epoch_ms") for variant in found]
    judged, factor = judge(*epochs), times(*epochs)
    figure = f"on the CPU an epoch with 1 row a step takes {factor or 0:.2g} times as long as with 100"
    return Answer(by_word(judged, less="confirmed", more="wrong"), figure)


def goal(variant: VariantResult) -> Sample:
    """Seconds to a thousandth of the loss; empty unless every run came so far."""
    found = variant.sample("seconds_to_target")
    return found if len(found.values) == len(variant.repeats) else Sample(())


def goal_shown(sample: Sample) -> str:
    """``12.1 ms``, or that it was never reached."""
    return "never reached" if sample.median is None else microseconds(1e6 * sample.median)


def compromise(result: Result) -> Answer:
    """(28): whether a batch between is sooner at the goal than both one row and all rows."""
    ends = sides(result, f"cpu-batch-{minibatch_sgd.SIZES[0]}", f"cpu-batch-{minibatch_sgd.SIZES[-1]}")
    between = [result.get(f"cpu-batch-{size}") for size in minibatch_sgd.SIZES[1:-1]]
    known = [v for v in between if v is not None and goal(v).values]
    if ends is None or not any(between):
        return NOT_RUN
    if not known:
        return Answer("wrong", f"none of the {len(between)} sizes between came to a thousandth of the loss")
    best = min(known, key=lambda v: goal(v).median or 0)
    one, middle, full = goal(ends[0]), goal(best), goal(ends[1])
    words = [Word.LESS if not end.values else judge(end, middle).word for end in (one, full)]
    shown = [
        f"{goal_shown(spent)} with {which}"
        for spent, which in ((one, "1 row a step"), (middle, f"{best.sample('batch').median:.0f}"), (full, "all"))
    ]
    figure = f"to a thousandth of the loss: {', '.join(shown)}"
    if words == [Word.LESS, Word.LESS]:
        return Answer("confirmed", figure)
    return Answer("wrong" if Word.MORE in words else "cannot tell", figure)
