"""data-parallel: two processes on one model, several trainings on one device, and a queue against a DataLoader."""

from __future__ import annotations

from stallscope.analysis.units import microseconds, quantity
from stallscope.demo.iris_mlp import DEVICES
from stallscope.demo.judging import Sample, judge
from stallscope.demo.results import Result, VariantResult
from stallscope.demo.story import Dots, Panel, Story, Table, Variant, Workload, on_both


def variants(quick: bool) -> list[Variant]:
    """One process, two with DDP, DataParallel, several at once, a queue, a DataLoader worker."""
    short = ("--steps", "40" if quick else "600")

    def on(device: str) -> list[Variant]:
        def one(key: str, title: str, *options: str, processes: int = 1, gpus: int = 0) -> Variant:
            name = f"{DEVICES[device]}, {title}"
            return Variant(f"{device}-{key}", name, (*options, *short), device, processes=processes, gpus=gpus)

        several = 2 if device == "cuda" else 0  # GPUs: one for each process
        found = [one("one", "one process"), one("ddp-2", "DDP, 2 processes", processes=2, gpus=several)]
        if quick:
            return found
        if device == "cuda":
            found.append(one("dp", "DataParallel, 2 GPUs", "--mode", "dp", gpus=2))
        found += [one(f"many-{n}", f"{n} at once", "--mode", "many", "--processes", str(n)) for n in (1, 2, 4)]
        found.append(one("queue", "fed by a queue", "--mode", "queue"))
        return [*found, one("loader", "fed by a DataLoader worker", "--mode", "loader")]

    return on_both(on)


def speed(variant: VariantResult) -> Sample:
    """Rows a second, of all processes together."""
    return variant.sample("rows_per_s")


def tell(result: Result) -> Story:
    """Speeds of all, the share of the exchange of gradients, what sharing a device brings."""
    rows = []
    for variant in result.variants:
        share, base = variant.sample("exchange_share").median, result.get(f"{variant.device}-one")
        rows.append(
            (
                variant.title,
                variant.sample("us_per_step").shown(),
                f"{speed(variant).median or 0:.0f}",
                "" if base is None or base is variant else judge(speed(base), speed(variant)).shown,
                "-" if share is None else f"{share:.0%}".replace("%", " %"),
            )
        )
    headers = ("variant", "a step", "rows/s, all together", "against one process", "exchange of gradients")
    dots = tuple(Dots(variant.title, speed(variant).values) for variant in result.variants)
    panel = Panel("Rows of all processes together", "rows/s", dots=dots)
    note = "Exchange: 1 - (a step within no_sync()) ÷ (a step), in laps in turn."
    parts = (exchange, sharing, feeding)
    sentences = [sentence for device in result.devices for part in parts for sentence in part(result, device)]
    return Story((Table("Several processes", headers, rows, note),), (panel,), tuple(sentences))


def exchange(result: Result, device: str) -> list[str]:
    """Two processes against one, and what the gradients take."""
    one, two = result.get(f"{device}-one"), result.get(f"{device}-ddp-2")
    if one is None or two is None:
        return []
    found, share = judge(speed(one), speed(two)), two.sample("exchange_share").median
    words = found.say("fewer rows a second than", "more rows a second than", "rows a second that cannot be told from")
    backend = two.repeats[0].figures["backend"]
    gradients, part = quantity(two.sample("gradient_bytes").median), f"{share or 0:.0%}".replace("%", " %")
    sentence = (
        f"{DEVICES[device]}: DDP with two processes ({backend}) trains {words} one: {found.shown}; the exchange of "
        f"{gradients} of gradients takes {part} of its step."
    )
    return [sentence]


def sharing(result: Result, device: str) -> list[str]:
    """Several trainings on one device: each, and together."""
    alone = result.get(f"{device}-many-1")
    lines = []
    for number in (2, 4):
        shared = result.get(f"{device}-many-{number}")
        if alone is None or shared is None:
            continue
        together = judge(speed(alone), speed(shared))
        each = judge(alone.sample("us_per_step"), shared.sample("us_per_step"))
        word = together.say("less", "more", "an amount that cannot be told from one's")
        longer = each.say("shorter", "longer", "of a length that cannot be told apart")
        lines.append(
            f"{number} trainings at once do {word} together ({together.shown}), each step is {longer} ({each.shown})"
        )
    return [f"{DEVICES[device]}, shared: {'; '.join(lines)}."] if lines else []


def feeding(result: Result, device: str) -> list[str]:
    """A queue of one's own against a DataLoader worker."""
    queue, loader = result.get(f"{device}-queue"), result.get(f"{device}-loader")
    if queue is None or loader is None:
        return []
    found = judge(loader.sample("us_per_step"), queue.sample("us_per_step"))
    words = found.say("a shorter step than", "a longer step than", "a step that cannot be told from that")
    spent = [microseconds(v.sample("us_per_step").median) for v in (queue, loader)]
    against = f"with one DataLoader worker: {spent[0]} against {spent[1]}."
    return [f"{DEVICES[device]}: fed by a queue and shared memory, {words} {against}"]


WORKLOAD = Workload(
    name="data-parallel",
    script="data_parallel.py",
    about="one network trained by two processes, several trainings on one device, and batches from another process",
    question="what do more processes bring, and what does it cost to keep them in step?",
    variants=variants,
    tell=tell,
    notes=("DataParallel needs GPUs; on a CPU it only calls the model.",),
)
