"""data-parallel: two processes on one model, several trainings on one device, and a queue against a DataLoader."""

from __future__ import annotations

from stallscope.analysis.units import microseconds, quantity
from stallscope.demo.iris_mlp import DEVICES
from stallscope.demo.judging import Sample, judge
from stallscope.demo.results import Result, VariantResult
from stallscope.demo.story import Dots, Panel, Story, Table, Variant, Workload, on_both


def variants(quick: bool) -> list[Variant]:
    """One process, two with DDP, DataParallel, several at once, a queue, a DataLoader worker."""
    short = ("--steps", "40" if quick else "600", *(("--seconds", "0.5") if quick else ()))

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
            found.append(one("visible", "CUDA_VISIBLE_DEVICES", "--mode", "visible"))
        found += [one(f"many-{n}", f"{n} at once", "--mode", "many", "--processes", str(n)) for n in (1, 2, 4)]
        found.append(one("queue", "fed by a queue", "--mode", "queue"))
        return [*found, one("loader", "fed by a DataLoader worker", "--mode", "loader")]

    return on_both(on)


def speed(variant: VariantResult) -> Sample:
    """Rows a second, of all processes together."""
    return variant.sample("rows_per_s")


def tell(result: Result) -> Story:
    """Speeds of all, the share of the exchange of gradients, what sharing a device brings."""
    rows, trained = [], [variant for variant in result.variants if speed(variant).values]
    for variant in trained:
        share, base = variant.sample("exchange_share").median, result.get(f"{variant.device}-one")
        rows.append(
            (
                variant.title,
                variant.sample("us_per_step").shown(),
                f"{speed(variant).median or 0:.0f}",
                "" if base is None or base is variant else judge(speed(base), speed(variant)).shown,
                "-" if share is None else f"{share:.0%}".replace("%", " %"),
                quantity(variant.sample("memory_bytes").median),
            )
        )
    headers = ("variant", "a step", "rows/s, all together", "against one process", "exchange of gradients", "memory")
    dots = tuple(Dots(variant.title, speed(variant).values) for variant in trained)
    panel = Panel("Rows of all processes together", "rows/s", dots=dots)
    note = (
        "Exchange: 1 - (a step within no_sync()) ÷ (a step), in laps in turn. At once: steps made in the seconds in "
        "which all were at work. Memory: of all processes, what they share counted once; on a GPU, what is in use."
    )
    parts = (exchange, threads, sharing, memory, feeding, visible)
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


def threads(result: Result, device: str) -> list[str]:
    """Where DataParallel ran the model, and how fast."""
    found, two = result.get(f"{device}-dp"), result.get(f"{device}-ddp-2")
    if found is None:
        return []
    processes, threads = (found.sample(f"forward_{each}").median or 0 for each in ("processes", "threads"))
    ran = f"{DEVICES[device]}: DataParallel ran forward in {processes:.0f} process(es) and {threads:.0f} thread(s)"
    if two is None:
        return [f"{ran}."]
    judged = judge(speed(found), speed(two))
    words = judged.say("fewer rows a second", "more rows a second", "rows a second that cannot be told apart")
    return [f"{ran}; DDP with as many rows a step trains {words}: {judged.shown}."]


def memory(result: Result, device: str) -> list[str]:
    """What each further training adds."""
    found = [result.get(f"{device}-many-{number}") for number in (1, 2, 4)]
    held = [(v, v.sample("memory_bytes").median) for v in found if v is not None]
    shown = [f"{quantity(held)} by {v.title.partition(', ')[2]}" for v, held in held if held is not None]
    return [f"{DEVICES[device]}: memory held {', '.join(shown)}."] if len(shown) > 1 else []


def visible(result: Result, device: str) -> list[str]:
    """What CUDA_VISIBLE_DEVICES leaves a process."""
    found = result.get(f"{device}-visible")
    if found is None:
        return []
    all_of_them, first, none = (found.sample(name).median or 0 for name in ("seen", "seen_first", "seen_none"))
    sentence = (
        f"A process sees {all_of_them:.0f} GPU(s) here, {first:.0f} with CUDA_VISIBLE_DEVICES set to one of them, "
        f"{none:.0f} with it empty."
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
