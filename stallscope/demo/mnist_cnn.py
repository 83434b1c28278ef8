"""mnist-cnn: a small CNN on digits and on images of MNIST's size: batch, model, device, memory, SGD and Adam."""

from __future__ import annotations

from stallscope.analysis.units import quantity
from stallscope.demo.iris_mlp import DEVICES
from stallscope.demo.judging import Sample, judge, times
from stallscope.demo.results import Result, VariantResult
from stallscope.demo.story import Line, Panel, Story, Table, Variant, Workload, on_both, points

BATCHES, QUICK_BATCHES = (8, 64, 512), (16,)
MODELS = {"small": "8", "large": "32"}  # channels of the first convolution
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
TOO_LARGE = "100000000"  # images; 314 GB of them


def variants(quick: bool) -> list[Variant]:
    """Generated images at several batch sizes and two models, then digits with SGD and with Adam; on each device."""

    def on(device: str) -> list[Variant]:
        where, found = DEVICES[device], []
        for model in ("small",) if quick else MODELS:
            for batch in QUICK_BATCHES if quick else BATCHES:
                options = ("--data", "generated", "--channels", MODELS[model], "--batch-size", str(batch))
                steps = ("--steps", "40" if quick or batch > BATCHES[1] else "60", "--try-batch", TOO_LARGE)
                title = f"{where}, {model} model, batch {batch}"
                found.append(Variant(f"{device}-{model}-{batch}", title, (*options, *steps), device))
        for optimizer in () if quick else OPTIMIZERS:
            learn = ("--optimizer", optimizer, "--steps", "400")
            found.append(Variant(f"{device}-{optimizer}", f"{where}, digits, {OPTIMIZERS[optimizer]}", learn, device))
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
            f"{variant.sample('steps_to_95').median:.0f}" if variant.sample("steps_to_95").values else "-",
        )
        for variant in result.variants
    ]
    headers = ("variant", "a step", "images/s", "peak GPU memory", "accuracy", "steps to 95 %")
    note = "Accuracy on 360 digits kept back; generated images have nothing to learn. Steps are looked at in 20ths."
    story = [*crossover(result), *against_adam(result), *limit(result)]
    return Story((Table("Training a small CNN", headers, rows, note),), tuple(panels(result)), tuple(story))


def accuracy(variant: VariantResult) -> str:
    """Of the digits; generated images have none."""
    found = Sample(tuple(100 * value for value in variant.sample("accuracy").values))
    digits = variant.key.endswith(("sgd", "adam"))
    return found.shown(lambda value: "-" if value is None else f"{value:.1f} %") if digits else "-"


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
    learned = [
        Line(v.title, points([[x, 100 * y] for x, y in v.series("curve")[0]]))
        for v in result.variants
        if v.key.endswith(("sgd", "adam"))
    ]
    learning = Panel("Digits: how fast it learns (first run)", "step", "% right", lines=tuple(learned), marks=False)
    return [speed, learning] if learned else [speed]


def crossover(result: Result) -> list[str]:
    """From which batch on the GPU is faster."""
    found = []
    for model in MODELS:
        for batch in BATCHES + QUICK_BATCHES:
            cpu, gpu = (result.get(f"{device}-{model}-{batch}") for device in ("cpu", "cuda"))
            if cpu is None or gpu is None:
                continue
            sides = cpu.sample("us_per_step"), gpu.sample("us_per_step")
            words = judge(*sides).say("the GPU is faster", "the CPU is faster", "cannot be told")
            found.append(f"{model} model, batch {batch}: {words} ({times(*sides) or 0:.2g} times)")
    return [f"CPU against GPU: {'; '.join(found)}."] if found else []


def against_adam(result: Result) -> list[str]:
    """Steps and time until 95 % of the unseen digits are right."""
    lines = []
    for device in result.devices:
        sgd, adam = result.get(f"{device}-sgd"), result.get(f"{device}-adam")
        if sgd is None or adam is None:
            continue
        steps = [v.sample("steps_to_95") for v in (sgd, adam)]
        step = judge(sgd.sample("us_per_step"), adam.sample("us_per_step"))
        if not all(each.values for each in steps):
            lines.append(
                f"{DEVICES[device]}: at these learning rates not both reached 95 % of the digits; no comparison."
            )
            continue
        words = step.say("a shorter step", "a longer step", "a step of no other length that these runs show")
        lines.append(
            f"{DEVICES[device]}: 95 % after {steps[0].median:.0f} steps with SGD (momentum 0.9, rate 0.1) and "
            f"{steps[1].median:.0f} with Adam (rate 0.002), of the same seed; Adam has {words} ({step.shown}). Other "
            "rates give another order: this says nothing of the two in general."
        )
    return lines


def limit(result: Result) -> list[str]:
    """What happened to a batch that does not fit."""
    said = {repeat.figures.get("limit") for variant in result.variants for repeat in variant.repeats} - {None}
    if not said:
        return []
    images = f"{int(TOO_LARGE):,} images"
    shown = "; ".join(sorted(str(each)[:160] for each in said))
    return [f"One step with {images}: {shown}. The training before it and its run are kept."]


WORKLOAD = Workload(
    name="mnist-cnn",
    script="mnist_cnn.py",
    about="a small convolutional network on scikit-learn's digits, and on generated images of MNIST's size",
    question="from which batch and model size on is a GPU faster, and what happens at the limit of memory?",
    variants=variants,
    tell=tell,
)
