"""mnist-cnn: a small CNN on digits and on images of MNIST's size: batch, model, device, memory, SGD and Adam."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from stallscope.analysis.units import microseconds, quantity
from stallscope.demo.iris_mlp import DEVICES
from stallscope.demo.judging import Judgement, Sample, Word, judge, times
from stallscope.demo.results import Result, VariantResult
from stallscope.demo.story import Line, Panel, Story, Table, Variant, Workload, on_both, points

BATCHES, QUICK_BATCHES = (1, 8, 64, 512), (16,)
MODELS = {"small": "8", "large": "32"}  # channels of the first convolution
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
RATES = {"sgd": ("0.03", "0.1", "0.3"), "adam": ("0.002", "0.01", "0.05")}
# More than the 128 TB a process can address: even where the system grants memory it does not have, this is refused.
TOO_LARGE = "100000000000"  # images


STEPS = {("large", 512): "20"}  # else 60


def learning(device: str, optimizer: str, rate: str) -> Variant:
    """One optimizer at one learning rate on the digits; each round has a seed of its own, the same for all."""
    options = ("--optimizer", optimizer, "--lr", rate, "--steps", "400")
    title = f"{DEVICES[device]}, digits, {OPTIMIZERS[optimizer]}, rate {rate}"
    return Variant(f"{device}-{optimizer}-{rate}", title, options, device, seeded=True)


def variants(quick: bool) -> list[Variant]:
    """Generated images at several batch sizes and two models, then digits with SGD and with Adam; on each device."""

    def on(device: str) -> list[Variant]:
        where, found = DEVICES[device], []
        for model in ("small",) if quick else MODELS:
            for batch in QUICK_BATCHES if quick else BATCHES:
                options = ("--data", "generated", "--channels", MODELS[model], "--batch-size", str(batch))
                steps = ("--steps", "40" if quick else STEPS.get((model, batch), "60"), "--try-batch", TOO_LARGE)
                title = f"{where}, {model} model, batch {batch}"
                found.append(Variant(f"{device}-{model}-{batch}", title, (*options, *steps), device))
        for optimizer in () if quick else OPTIMIZERS:
            found += [learning(device, optimizer, rate) for rate in RATES[optimizer]]
        return found

    return on_both(on)


def tell(result: Result) -> Story:
    """Speed over batch size, SGD against Adam, memory and its limit."""
    rows = [
        (
            variant.title,
            variant.sample("us_per_step").shown(),
            f"{variant.sample('images_per_s').median or 0:.0f}",
            quantity(variant.sample("peak_bytes").median),
            accuracy(variant),
            steps_shown(variant),
            microseconds(variant.sample("predict_us").median),
        )
        for variant in result.variants
    ]
    headers = ("variant", "a step", "images/s", "peak memory", "accuracy", "steps to 95 %", "to predict a batch")
    note = (
        "Peak memory: on a GPU of tensors, on a CPU of the whole process. Accuracy on 360 digits kept back; generated "
        "images have nothing to learn. Steps to 95 %: looked at every 8 steps; each round has another seed."
    )
    story = [*crossover(result), *against_adam(result), *predicting(result), *limit(result)]
    return Story((Table("Training a small CNN", headers, rows, note),), tuple(panels(result)), tuple(story))


def learns(variant: VariantResult) -> bool:
    """Whether it is one on the digits."""
    return variant.key.split("-")[1] in OPTIMIZERS


def steps_shown(variant: VariantResult) -> str:
    """The middle, and how many of the runs came so far where not all did."""
    found = variant.sample("steps_to_95")
    if not found.values or found.median is None:
        return "never" if learns(variant) else "-"
    all_of_them = len(found.values) == len(variant.repeats)
    return f"{found.median:.0f}" + ("" if all_of_them else f" ({len(found.values)} of {len(variant.repeats)} runs)")


def accuracy(variant: VariantResult) -> str:
    """Of the digits; generated images have none."""
    found = Sample(tuple(100 * value for value in variant.sample("accuracy").values))
    return found.shown(lambda value: "-" if value is None else f"{value:.1f} %") if learns(variant) else "-"


def panels(result: Result) -> list[Panel]:
    """Images a second over batch size; accuracy over steps."""
    lines = []
    for device in result.devices:
        for model in MODELS:
            sized = [v for v in result.on(device) if v.key.startswith(f"{device}-{model}-")]
            found = [(v.sample("batch").median, v.sample("images_per_s").median) for v in sized]
            line = tuple((x, y) for x, y in found if x is not None and y is not None)
            if line:
                lines.append(Line(f"{DEVICES[device]}, {model} model", line))
    speed = Panel("Images of 28 × 28 a second", "images a step", "images/s", lines=tuple(lines), log_x=True, log_y=True)
    best = (best_rate(result, device, optimizer) for device in result.devices for optimizer in OPTIMIZERS)
    learned = [Line(v.title, points([[x, 100 * y] for x, y in v.series("curve")[0]])) for v in best if v is not None]
    learning = Panel(
        "Digits: how fast it learns at the best rate (first run)", "step", "% right", lines=tuple(learned), marks=False
    )
    return [speed, learning] if learned else [speed]


def crossover(result: Result) -> list[str]:
    """From which batch on the GPU is faster."""
    lines = []
    for model in MODELS:
        pairs = pairs_of(result, model)
        if not pairs:
            continue
        judged = [(batch, judge(*steps), times(*steps) or 0) for batch, steps in pairs]
        parts = [
            f"batch {batch} {found.say('the GPU', 'the CPU', 'cannot be told')} ({factor:.2g} times)"
            for batch, found, factor in judged
        ]
        lines.append(f"{model.capitalize()} model, which is faster: {', '.join(parts)}. {turning(judged)}")
    return lines


def pairs_of(result: Result, model: str) -> list[tuple[int, tuple[Sample, Sample]]]:
    """``(batch, (a step on the CPU, on the GPU))`` of the batches measured on both, smallest first."""
    found = []
    for batch in sorted(BATCHES + QUICK_BATCHES):
        cpu, gpu = (result.get(f"{device}-{model}-{batch}") for device in ("cpu", "cuda"))
        if cpu is not None and gpu is not None:
            found.append((batch, (cpu.sample("us_per_step"), gpu.sample("us_per_step"))))
    return found


def turning(judged: Sequence[tuple[int, Judgement, float]]) -> str:
    """The crossover batch: the smallest from which on the GPU is faster with every one that was tried."""
    faster = list(itertools.takewhile(lambda each: each[1].word is Word.LESS, reversed(judged)))
    if not faster:
        return "No crossover was found: with the largest batch the GPU is not shown to be faster."
    first, smaller = faster[-1][0], [batch for batch, _, _ in judged if batch < faster[-1][0]]
    if not smaller:
        return f"The crossover lies below batch {first}, the smallest that was tried."
    return f"The crossover lies above batch {smaller[-1]} and at or below {first}."


def best_rate(result: Result, device: str, optimizer: str) -> VariantResult | None:
    """The learning rate that needs the fewest steps, of those with which every run came to 95 %."""
    tried = [result.get(f"{device}-{optimizer}-{rate}") for rate in RATES[optimizer]]
    came = [v for v in tried if v is not None and len(v.sample("steps_to_95").values) == len(v.repeats)]
    return min(came, key=lambda v: v.sample("steps_to_95").median or 0, default=None)


def rate_of(variant: VariantResult) -> str:
    """The learning rate."""
    return variant.key.rpartition("-")[2]


def against_adam(result: Result) -> list[str]:
    """Steps until 95 % of the unseen digits are right, at the best of three rates each."""
    lines = []
    for device in result.devices:
        if not any(learns(variant) for variant in result.on(device)):
            continue
        sgd, adam = (best_rate(result, device, optimizer) for optimizer in OPTIMIZERS)
        if sgd is None or adam is None:
            lines.append(f"{DEVICES[device]}: not both optimizers reached 95 % of the digits in all runs.")
            continue
        steps, spent = (
            judge(steps_of(sgd), steps_of(adam)),
            judge(sgd.sample("us_per_step"), adam.sample("us_per_step")),
        )
        words = steps.say("fewer steps than", "more steps than", "steps that these runs cannot tell from those of")
        length = spent.say("a shorter step", "a longer step", "a step of no other length that these runs show")
        lines.append(
            f"{DEVICES[device]}: to 95 % of the digits Adam (rate {rate_of(adam)}) takes {words} SGD (momentum "
            f"0.9, rate {rate_of(sgd)}), each at the best of three rates: {steps_shown(adam)} against "
            f"{steps_shown(sgd)} ({steps.shown}); Adam has {length} ({spent.shown})."
        )
    return lines


def steps_of(variant: VariantResult) -> Sample:
    """Steps to 95 % of the digits."""
    return variant.sample("steps_to_95")


def predicting(result: Result) -> list[str]:
    """What a model trained on the GPU takes to predict, there and on the CPU, against one trained on the CPU."""
    lines = []
    for model in MODELS:
        batch = BATCHES[-1]
        cpu, gpu = (result.get(f"{device}-{model}-{batch}") for device in ("cpu", "cuda"))
        if cpu is None or gpu is None:
            continue
        there, moved = (judge(cpu.sample("predict_us"), gpu.sample(f"predict_{where}us")) for where in ("", "on_cpu_"))
        lines.append(
            f"To predict {batch} images with the {model} model, trained on the GPU against trained on the CPU: on the "
            f"CPU {moved.say('less time', 'more time', 'no difference that these runs show')} ({moved.shown}), on the "
            f"GPU {there.say('less time', 'more time', 'no difference that these runs show')} ({there.shown})."
        )
    return lines


def limit(result: Result) -> list[str]:
    """What happened to a batch that does not fit."""
    said = {repeat.figures.get("limit") for variant in result.variants for repeat in variant.repeats} - {None}
    if not said:
        return []
    images = f"{int(TOO_LARGE):,} images"
    shown = "; ".join(sorted(str(each)[:200] for each in said))
    return [f"One step with {images}: {shown}. The training before it and its run are kept."]


WORKLOAD = Workload(
    name="mnist-cnn",
    script="mnist_cnn.py",
    about="a small convolutional network on scikit-learn's digits, and on generated images of MNIST's size",
    question="from which batch and model size on is a GPU faster, and what happens at the limit of memory?",
    variants=variants,
    tell=tell,
)
