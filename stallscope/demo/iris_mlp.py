"""iris-mlp: what it costs to record and to print the loss, how that depends on how often, and CPU against GPU."""

from __future__ import annotations

from stallscope.analysis.units import count, microseconds
from stallscope.demo.judging import Sample, judge, times
from stallscope.demo.results import Result, VariantResult
from stallscope.demo.story import (
    ONE_THREAD,
    ONE_THREAD_NOTE,
    Dots,
    Line,
    Panel,
    Story,
    Table,
    Variant,
    Workload,
    on_both,
    points,
)

EPOCHS, QUICK_EPOCHS = 20_000, 1_000
INTERVALS = (1, 100, 200, 1000, 2000)
DEVICES = {"cpu": "CPU", "cuda": "GPU"}


def variants(quick: bool) -> list[Variant]:
    """Recording every 1 to 2000 epochs, never, and printing every epoch or every 200th; on each device."""
    epochs = ("--epochs", str(QUICK_EPOCHS if quick else EPOCHS), "--timing", *ONE_THREAD)
    intervals = (1, 100) if quick else INTERVALS

    def options(record: int, printing: int) -> tuple[str, ...]:
        return (*epochs, "--record-every", str(record), "--print-every", str(printing))

    def on(device: str) -> list[Variant]:
        where = DEVICES[device]
        found = [
            Variant(f"{device}-record-{k}", f"{where}, record every {k}", options(k, 0), device) for k in intervals
        ]
        if not quick:
            found += [
                Variant(f"{device}-never", f"{where}, record never", options(0, 0), device),
                Variant(f"{device}-print-200", f"{where}, record every 1, print every 200", options(1, 200), device),
                Variant(f"{device}-print-1", f"{where}, record every 1, print every 1", options(1, 1), device),
            ]
        return found

    return on_both(on)


def tell(result: Result) -> Story:
    """Times of all variants, the price of each part, and why recording seldom does not help in proportion."""
    return Story(
        tables=(time_table(result), price_table(result)),
        panels=(time_panel(result), curve_panel(result)),
        sentences=tuple(sentence for device in result.devices for sentence in sentences(result, device)),
    )


def us(variant: VariantResult) -> Sample:
    """Time of an epoch, µs: the middle one of twenty laps of a run."""
    return variant.sample("us_per_epoch")


def time_table(result: Result) -> Table:
    """A row a variant, each against recording every epoch on the same device."""
    rows = []
    for variant in result.variants:
        base = result.get(f"{variant.device}-record-1")
        against = "" if base is None or base is variant else judge(us(base), us(variant)).shown
        median = us(variant).median
        rows.append(
            (
                variant.title,
                us(variant).shown(),
                "-" if median is None else f"{median * variant.repeats[0].figures['epochs'] / 1e6:.2f} s",
                against,
                microseconds(variant.recorded("step_us").median),
                count(variant.recorded("items").median),
            )
        )
    headers = ("variant", "an epoch", "all epochs", "against every 1", "unprofiled window", ".item() a step")
    note = (
        "An epoch: the middle one of 20 laps by the script's own clock, then median (range) over the runs. Against "
        "every 1: mean change within a round of runs, and its 95 % interval. Unprofiled window: the mean step of a "
        "short stretch early in a run, timed by `stallscope profile` while its profiler was off; `stallscope compare` "
        'calls it "without the profiler".'
    )
    return Table("Time of an epoch (= a step)", headers, rows, note)


def price_table(result: Result) -> Table:
    """What `.item()`, `append` and `print` cost by themselves, and as shares of an epoch."""
    rows = []
    for device in result.devices:
        base = result.get(f"{device}-record-1")
        if base is None:
            continue
        for name, shown in (("item_us", "loss.item()"), ("append_us", "list.append"), ("print_us", "print, to a file")):
            cost = price(result, device, name)
            rows.append((f"{DEVICES[device]}, {shown}", f"{cost:.3f} µs", share(cost, us(base).median)))
        item = base.recorded("item_us").median
        if item is not None:
            row = (f"{DEVICES[device]}, loss.item() in the training, recorded", f"{item:.3f} µs")
            rows.append((*row, share(item, base.recorded("wall_us").median)))
    note = (
        "By itself: 5000 times in a row after the training, less the loop around them; the tensor was ready, nothing "
        "waits. Recorded: under the profiler, which makes it longer, as a share of the step under the profiler."
    )
    return Table("One call by itself", ("call", "takes", "of an epoch"), rows, note)


def all_runs(result: Result, device: str, name: str) -> Sample:
    """A figure over the runs of all variants of a device."""
    return Sample(tuple(value for variant in result.on(device) for value in variant.sample(name).values))


def time_panel(result: Result) -> Panel:
    """A row of dots a variant."""
    rows = tuple(Dots(variant.title, us(variant).values) for variant in result.variants)
    return Panel("Time of one epoch", "µs per epoch", dots=rows)


def curve_panel(result: Result) -> Panel:
    """The loss, as the runs that recorded every epoch have it."""
    lines = []
    for device in result.devices:
        base = result.get(f"{device}-record-1")
        if base is not None:
            lines.append(Line(DEVICES[device], points(base.series("curve")[0])))
    return Panel("Loss while it learns", "epoch", "cross-entropy", lines=tuple(lines), marks=False)


# --- sentences ---------------------------------------------------------------------------------------


def sentences(result: Result, device: str) -> list[str]:
    """What the figures say on one device; nothing where they are missing."""
    base, seldom = result.get(f"{device}-record-1"), result.get(f"{device}-record-100")
    if base is None or seldom is None:
        return []
    return [
        ledger(result, device, base, seldom),
        linearity(result, device, base),
        *printing(result, device),
        *(versus_cpu(result) if device == "cuda" else []),
    ]


def ledger(result: Result, device: str, base: VariantResult, seldom: VariantResult) -> str:
    """Every epoch against every 100th: the difference, and which part of it which call explains."""
    found, epoch = judge(us(base), us(seldom)), us(base).median
    words = found.say("less time", "more time", "a time that these runs cannot tell apart")
    reading, keeping = 0.99 * price(result, device, "item_us"), 0.99 * price(result, device, "append_us")
    return (
        f"{DEVICES[device]}: with the loss recorded every 100 epochs instead of every epoch, an epoch takes {words}: "
        f"{found.shown}. By themselves the 0.99 reads an epoch that fall away cost {microseconds(reading)} in .item() "
        f"and {microseconds(keeping)} in append: together {share(reading + keeping, epoch)} of {microseconds(epoch)}."
        f"{in_training(base)}"
    )


def in_training(base: VariantResult) -> str:
    """What `.item()` takes where it stands, with whatever it waits for; the profiler makes it longer."""
    item = base.recorded("item_us").median
    if item is None:
        return ""
    wait = "; nothing is waited for on a CPU" if base.device == "cpu" else ", with its wait for the GPU"
    return f" Recorded in the training, .item() takes {microseconds(item)} a step (lengthened by the profiler{wait})."


def linearity(result: Result, device: str, base: VariantResult) -> str:
    """What is left to save from each interval on: why time does not fall in proportion to the interval."""
    spread, left = base_spread(result, device), price(result, device, "item_us") / 100
    noise = "the runs were not repeated, so noise is not known"
    if spread is not None:
        larger = "more" if spread > left else "less"
        noise = f"runs of one variant differ by up to {microseconds(spread)}, which is {larger}"
    return (
        f"{DEVICES[device]}: time can be linear only in reads per epoch, 1/k, not in the interval k: k = 100 leaves a "
        f"hundredth of the cost of reading, so from there on at most {1000 * left:.1f} ns of "
        f"{microseconds(us(base).median)} an epoch remain to be saved; {noise}."
    )


def base_spread(result: Result, device: str) -> float | None:
    """Largest difference between two runs of one variant, µs; None where nothing was repeated."""
    found = [max(us(v).values) - min(us(v).values) for v in result.on(device) if len(us(v).values) > 1]
    return max(found, default=None)


def printing(result: Result, device: str) -> list[str]:
    """Printing each epoch against every 200th."""
    often, seldom = result.get(f"{device}-print-1"), result.get(f"{device}-print-200")
    if often is None or seldom is None:
        return []
    found = judge(us(often), us(seldom))
    words = found.say("saves time", "takes more time", "makes no difference that these runs show")
    sentence = f"{DEVICES[device]}: printing every 200 epochs instead of each {words}: {found.shown}"
    return [f"{sentence} (printing reads the loss once more; it went to a pipe, and a slow terminal costs more)."]


def versus_cpu(result: Result) -> list[str]:
    """The GPU against the CPU, both recording every epoch."""
    cpu, gpu = result.get("cpu-record-1"), result.get("cuda-record-1")
    if cpu is None or gpu is None:
        return []
    found, factor = judge(us(cpu), us(gpu)), times(us(gpu), us(cpu))
    words = found.say("less time than", "more time than", "a time that cannot be told from that")
    recorded = gpu.repeats[0].recorded
    verdict = "nothing was recorded" if recorded is None else f"`stallscope profile` calls the run {recorded.verdict}"
    sentence = (
        f"On the GPU an epoch takes {words} on the CPU: {microseconds(us(gpu).median)} against "
        f"{microseconds(us(cpu).median)}, {factor or 0:.2f} times; it starts {count(gpu.recorded('launches').median)} "
        f"kernels, and {verdict}."
    )
    return [sentence]


def price(result: Result, device: str, name: str) -> float:
    """What one call costs by itself, µs, less the loop that timed it."""
    timed, loop = (all_runs(result, device, each).median or 0.0 for each in (name, "nothing_us"))
    return max(0.0, timed - loop)


def share(part: float, whole: float | None) -> str:
    """``0.4 %``."""
    return "-" if not whole else f"{100 * part / whole:.2g} %"


WORKLOAD = Workload(
    name="iris-mlp",
    script="iris_mlp.py",
    about="a 4-10-3 network on 120 Iris flowers, all of them in every step",
    question="what do recording (loss.item()) and printing the loss cost, and why does it not fall with the interval?",
    variants=variants,
    tell=tell,
    repeats=5,
    summaries=("cpu-record-1", "cuda-record-1"),
    compared=("cpu-record-1", "cpu-record-100"),
    sample="iris_mlp_",
    notes=(ONE_THREAD_NOTE,),
)
