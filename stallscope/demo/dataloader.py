"""dataloader: how many workers help, by what a sample costs; persistent workers; pinned memory and copies."""

from __future__ import annotations

import itertools

from stallscope.analysis.units import microseconds, quantity
from stallscope.demo.iris_mlp import DEVICES
from stallscope.demo.judging import Sample, judge, times
from stallscope.demo.results import Result, VariantResult
from stallscope.demo.story import Dots, Panel, Story, Table, Variant, Workload
from stallscope.profiling.machine.cpu import usable_cores

WORKERS, QUICK_WORKERS = (0, 1, 2, 4, 8), (0, 2)
COST_US = 500
COPIES = ("cuda-pageable", "cuda-pinned", "cuda-non-blocking")  # the first is their base


def variants(quick: bool) -> list[Variant]:
    """Workers at two costs of a sample; kept workers; on a GPU also how large batches get there."""
    short = ("--samples", "256", "--epochs", "2") if quick else ()
    large = ("--sample-us", "0", "--workers", "2", "--persistent", "--pixels", "224", "--batch-size", "128")

    def one(key: str, title: str, *options: str, device: str = "cpu") -> Variant:
        return Variant(f"{device}-{key}", f"{DEVICES[device]}, {title}", (*options, *short), device)

    def costly(workers: int, device: str = "cpu") -> Variant:
        title = f"{COST_US} µs a sample, {workers} workers"
        return one(f"workers-{workers}", title, "--workers", str(workers), device=device)

    found = [costly(workers) for workers in (QUICK_WORKERS if quick else sorted({*WORKERS, usable_cores()}))]
    if not quick:
        keep = ("--workers", "2", "--persistent")
        found.append(one("persistent-2", f"{COST_US} µs a sample, 2 kept workers", *keep))
        found += [
            one(f"free-{n}", f"0 µs a sample, {n} workers", "--sample-us", "0", "--workers", str(n)) for n in (0, 2)
        ]
    found += [costly(workers, "cuda") for workers in (0, 2)]
    found += [
        one("pageable", "large batches, pageable memory", *large, device="cuda"),
        one("pinned", "large batches, pinned memory", *large, "--pin", device="cuda"),
        one("non-blocking", "large batches, pinned, non-blocking", *large, "--pin", "--non-blocking", device="cuda"),
    ]
    return found


def speed(variant: VariantResult) -> Sample:
    """Samples a second in a later epoch."""
    return variant.sample("samples_per_s")


def tell(result: Result) -> Story:
    """Speed and waiting of all variants, where workers stop helping."""
    rows = []
    for variant in result.variants:
        base = base_of(result, variant)
        against = "" if base is None or base is variant else judge(speed(base), speed(variant)).shown
        waiting = variant.sample("waiting_share").median
        rows.append(
            (
                variant.title,
                speed(variant).shown(lambda value: "-" if value is None else f"{value:.0f}"),
                against,
                "-" if waiting is None else f"{waiting:.0%}".replace("%", " %"),
                f"{1000 * (variant.sample('first_batch_s').median or 0):.1f} ms",
                cpu_time(variant),
                copying(variant),
            )
        )
    headers = (
        "variant", "samples/s", "against its base", "waiting for data", "first batch of an epoch",
        "CPU time (with its workers)", "in .to(), a batch",
    )  # fmt: skip
    groups = (
        (f"{COST_US} µs of work a sample", [v for v in result.variants if str(COST_US) in v.title]),
        ("Samples that cost nothing", [v for v in result.variants if "-free-" in v.key]),
        ("Large batches to a GPU", [v for v in result.variants if v.key in COPIES]),
    )
    panels = tuple(
        Panel(title, "samples/s", dots=tuple(Dots(v.title, speed(v).values) for v in group))
        for title, group in groups
        if group
    )
    note = (
        "Base: no workers at the same cost of a sample; of large batches, pageable memory. CPU time: of the training "
        "process over all epochs, and with the workers that have ended. In .to(): the host's time, waiting or not."
    )
    return Story((Table("Training from a DataLoader", headers, rows, note),), panels, tuple(sentences(result)))


def base_of(result: Result, variant: VariantResult) -> VariantResult | None:
    """What a variant is set against: the same samples and device, and nothing done about it."""
    if variant.key in COPIES:
        return result.get(COPIES[0])
    return result.get(f"{variant.device}-{'free' if '-free-' in variant.key else 'workers'}-0")


def cpu_s(variant: VariantResult) -> tuple[Sample, Sample]:
    """CPU time of the training process, and of all processes, s; the latter is empty where it is not known."""
    own, others = variant.sample("own_cpu_s"), variant.sample("workers_cpu_s")
    together = tuple(a + b for a, b in zip(own.values, others.values, strict=False))
    return own, Sample(together)


def cpu_time(variant: VariantResult) -> str:
    """``1.20 s (2.61 s)``."""
    own, together = (sample.median for sample in cpu_s(variant))
    if own is None:
        return "-"
    return f"{own:.2f} s" + ("" if together is None else f" ({together:.2f} s)")


def copying(variant: VariantResult) -> str:
    """The host's time in the copies of a batch; nothing is copied on a CPU."""
    spent = variant.sample("copy_ms").median
    return "-" if spent is None or variant.device == "cpu" else microseconds(1000 * spent)


def sentences(result: Result) -> list[str]:
    """From how many workers on more do not help; what keeping them saves; cheap samples."""
    found = []
    costly = [v for v in result.on("cpu") if v.key.startswith("cpu-workers-")]
    for fewer, more in itertools.pairwise(costly):
        word = judge(speed(fewer), speed(more)).say("slower", "faster", "not to be told apart in speed")
        factor = times(speed(more), speed(fewer)) or 0.0
        found.append(f"{count(more)} against {count(fewer)} workers: {word} ({factor:.2f} times)")
    work = f"With {COST_US} µs of work a sample on {result.machine.cores} cores"
    lines = [f"{work}: {'; '.join(found)}."] if found else []
    pairs = (
        ("cpu-workers-2", "cpu-persistent-2", "workers kept from epoch to epoch, against new ones each epoch"),
        ("cpu-free-0", "cpu-free-2", "with samples that cost nothing, two workers against none"),
        ("cuda-workers-0", "cuda-workers-2", "on the GPU, two workers against none"),
        ("cuda-pageable", "cuda-pinned", "large batches in pinned memory, against pageable memory"),
        ("cuda-pageable", "cuda-non-blocking", "large batches pinned and non-blocking, against pageable memory"),
    )
    for before, after, title in pairs:
        one, other = result.get(before), result.get(after)
        if one is not None and other is not None:
            judged = judge(speed(one), speed(other))
            words = judged.say("fewer samples a second", "more samples a second", "no difference that these runs show")
            lines.append(f"{title[0].upper()}{title[1:]}: {words}, {judged.shown}{copies(one, other)}.")
    return lines


def copies(before: VariantResult, after: VariantResult) -> str:
    """How long the host is in the copies of a large batch, before and after."""
    if after.key not in COPIES:
        return ""
    size = quantity(after.sample("batch_bytes").median)
    return f"; the host is {copying(after)} in the copy of a batch ({size}) instead of {copying(before)}"


def count(variant: VariantResult) -> str:
    """The number of workers."""
    return variant.key.rpartition("-")[2]


WORKLOAD = Workload(
    name="dataloader",
    script="dataloader.py",
    about="a small network fed by a DataLoader whose samples take the processor time to make",
    question="how many workers help on this machine, and when?",
    variants=variants,
    tell=tell,
    notes=("A sample's cost is processor time, so workers beyond the number of cores share what there is.",),
)
