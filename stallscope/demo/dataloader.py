"""dataloader: how many workers help, by what a sample costs; persistent workers; pinned memory and copies."""

from __future__ import annotations

import itertools

from stallscope.demo.iris_mlp import DEVICES
from stallscope.demo.judging import Sample, judge, times
from stallscope.demo.results import Result, VariantResult
from stallscope.demo.story import Dots, Panel, Story, Table, Variant, Workload

WORKERS, QUICK_WORKERS = (0, 1, 2, 4, 8), (0, 2)
COST_US = 500


def variants(quick: bool) -> list[Variant]:
    """Workers at two costs of a sample; kept workers; on a GPU also how batches get there."""
    short = ("--samples", "256", "--epochs", "2") if quick else ()

    def one(key: str, title: str, *options: str, device: str = "cpu") -> Variant:
        return Variant(f"{device}-{key}", f"{DEVICES[device]}, {title}", (*options, *short), device)

    def costly(workers: int, device: str = "cpu") -> Variant:
        title = f"{COST_US} µs a sample, {workers} workers"
        return one(f"workers-{workers}", title, "--workers", str(workers), device=device)

    found = [costly(workers) for workers in (QUICK_WORKERS if quick else WORKERS)]
    if not quick:
        keep = ("--workers", "2", "--persistent")
        found.append(one("persistent-2", f"{COST_US} µs a sample, 2 kept workers", *keep))
        found += [
            one(f"free-{n}", f"0 µs a sample, {n} workers", "--sample-us", "0", "--workers", str(n)) for n in (0, 2)
        ]
    found += [costly(workers, "cuda") for workers in (0, 2)]
    found += [
        one("pageable", "pageable memory", "--sample-us", "0", device="cuda"),
        one("pinned", "pinned memory", "--sample-us", "0", "--pin", device="cuda"),
        one("non-blocking", "pinned, non-blocking", "--sample-us", "0", "--pin", "--non-blocking", device="cuda"),
    ]
    return found


def speed(variant: VariantResult) -> Sample:
    """Samples a second in a later epoch."""
    return variant.sample("samples_per_s")


def tell(result: Result) -> Story:
    """Speed and waiting of all variants, where workers stop helping."""
    rows = []
    for variant in result.variants:
        base = result.get(f"{variant.device}-{'free' if '-free-' in variant.key else 'workers'}-0")
        against = "" if base is None or base is variant else judge(speed(base), speed(variant)).shown
        waiting = variant.sample("waiting_share").median
        rows.append(
            (
                variant.title,
                speed(variant).shown(lambda value: "-" if value is None else f"{value:.0f}"),
                against,
                "-" if waiting is None else f"{waiting:.0%}".replace("%", " %"),
                f"{1000 * (variant.sample('first_batch_s').median or 0):.1f} ms",
            )
        )
    headers = ("variant", "samples/s", "against 0 workers", "waiting for data", "first batch of an epoch")
    groups = (
        (f"{COST_US} µs of work a sample", [v for v in result.variants if str(COST_US) in v.title]),
        ("Samples that cost nothing", [v for v in result.variants if str(COST_US) not in v.title]),
    )
    panels = tuple(
        Panel(title, "samples/s", dots=tuple(Dots(v.title, speed(v).values) for v in group))
        for title, group in groups
        if group
    )
    return Story((Table("Training from a DataLoader", headers, rows),), panels, tuple(sentences(result)))


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
        ("cuda-pageable", "cuda-non-blocking", "pinned memory, non-blocking copies, against pageable memory"),
    )
    for before, after, title in pairs:
        sides = result.get(before), result.get(after)
        if sides[0] is not None and sides[1] is not None:
            judged = judge(speed(sides[0]), speed(sides[1]))
            words = judged.say("fewer samples a second", "more samples a second", "no difference that these runs show")
            lines.append(f"{title[0].upper()}{title[1:]}: {words}, {judged.shown}.")
    return lines


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
