"""matmul: the same product in four ways, beside what the machine's arithmetic and memory allow."""

from __future__ import annotations

from stallscope.analysis.units import microseconds
from stallscope.demo.iris_mlp import DEVICES
from stallscope.demo.judging import Sample, judge, times
from stallscope.demo.results import Result, VariantResult
from stallscope.demo.story import Line, Panel, Story, Table, Variant, Workload

WAYS = {
    "by_element": "element by element",
    "by_column": "by column",
    "in_blocks": "in blocks of 64",
    "at_once": "at once",
}
LIMITS = (
    "The dashed limits: the best arithmetic of any product here, and what memory would allow if every matrix came from "
    "it once (caches allow more)."
)
SHORT = ("--sizes", "16", "32", "64", "--large", "256")
LARGE = ("--large", "512", "1024", "2048", "4096", "8192")  # a GPU is not filled by less
BYTES = 4  # of a float32


def variants(quick: bool) -> list[Variant]:
    """One on each device; the script measures all ways and sizes."""
    options = {"cpu": (), "cuda": LARGE}
    return [Variant(device, DEVICES[device], SHORT if quick else options[device], device) for device in DEVICES]


def gflops(variant: VariantResult, way: str, size: int) -> Sample:
    """Gflop/s of a way at a size, over the runs."""
    curves = variant.series(f"curve_{way}")
    return Sample(tuple(y for curve in curves for x, y in curve if int(x) == size))


def seconds(variant: VariantResult, way: str, size: int) -> Sample:
    """The time of a product, s."""
    return Sample(tuple(2 * size**3 / value / 1e9 for value in gflops(variant, way, size).values))


def tell(result: Result) -> Story:
    """Times and Gflop/s at the largest size all ways were measured at, and over all sizes."""
    rows, panels, sentences = [], [], []
    for variant in result.variants:
        size = int(variant.sample("size").median or 0)
        whole = seconds(variant, "at_once", size)
        for way, title in WAYS.items():
            spent = seconds(variant, way, size)
            speed = gflops(variant, way, size).median or 0.0
            factor = times(spent, whole)
            rows.append(
                (
                    f"{variant.title}, {title}",
                    microseconds(None if spent.median is None else spent.median * 1e6),
                    microseconds(variant.sample(f"mean_us_{way}").median),
                    f"{speed:.3g}",
                    shown(factor),
                    f"{speed / (variant.sample('peak_gflops').median or 1):.2%}".replace("%", " %"),
                )
            )
        panels.append(panel(variant))
        sentences += [sentence(variant, size), *overhead(variant), *trap(variant)]
    sizes = {int(variant.sample("size").median or 0) for variant in result.variants}
    title = f"One product of two matrices of {' or '.join(f'{n} × {n}' for n in sorted(sizes))}"
    note = "Time: the shortest of a few; mean: of the same few."
    headers = ("way", "time", "mean", "Gflop/s", "against at once", "of the best arithmetic")
    return Story((Table(title, headers, rows, note),), tuple(panels), tuple(sentences))


def panel(variant: VariantResult) -> Panel:
    """Gflop/s over size, each way and both limits."""
    curves = {title: variant.series(f"curve_{way}")[0] for way, title in WAYS.items()}
    lines = [Line(title, tuple((x, y) for x, y in curve)) for title, curve in curves.items()]
    sizes = sorted({x for curve in curves.values() for x, _ in curve})
    peak, memory = (variant.sample(name).median or 0.0 for name in ("peak_gflops", "bandwidth_gb_s"))
    # three matrices go through memory once: 2 n^3 operations for 3 n^2 numbers
    limit = tuple((n, memory * 2 * n / (3 * BYTES)) for n in sizes if memory * 2 * n / (3 * BYTES) < peak)
    lines.append(Line("limit: best arithmetic", ((sizes[0], peak), (sizes[-1], peak)), "limit"))
    if len(limit) > 1:
        lines.append(Line("limit: memory, without caches", limit, "limit"))
    return Panel(
        f"{variant.title}: the same arithmetic in four ways", "n of n × n", "Gflop/s", lines=tuple(lines),
        log_x=True, log_y=True,
    )  # fmt: skip


def sentence(variant: VariantResult, size: int) -> str:
    """How the ways stand to each other."""
    ways = {way: seconds(variant, way, size) for way in WAYS}
    parts = []
    for way in ("by_element", "by_column", "in_blocks"):
        found, factor = judge(ways["at_once"], ways[way]), times(ways[way], ways["at_once"])
        words = found.say("less", "more", "that it is more than noise is not shown")
        parts.append(f"{WAYS[way]} {shown(factor)} ({words})")
    return f"{variant.title}, {size} × {size}, time against the product at once: {'; '.join(parts)}."


def shown(factor: float | None) -> str:
    """``4900 times``, ``1.6 times``."""
    if factor is None:
        return "-"
    return f"{factor:,.0f} times" if factor >= 99.5 else f"{factor:.3g} times"  # noqa: PLR2004 - three digits


def overhead(variant: VariantResult) -> list[str]:
    """What one call costs by itself, against what the elements cost."""
    call, peak = variant.sample("call_us").median, variant.sample("peak_gflops").median
    if call is None or peak is None:
        return []
    size = (call * 1e3 * peak / 2) ** (1 / 3)
    sentence = (
        f"A product of 2 × 2 takes {microseconds(call)}, nearly all of it the call itself; at {peak:.3g} Gflop/s that "
        f"is the arithmetic of {size:.0f} × {size:.0f}: below about that size the framework costs more than the work."
    )
    return [sentence]


def trap(variant: VariantResult) -> list[str]:
    """What a clock shows that does not wait for the GPU."""
    asked, done = variant.sample("unsynchronized_us").median, variant.sample("synchronized_us").median
    if variant.device == "cpu" or asked is None or done is None:
        return []
    seen = f"the largest product seems to take {microseconds(asked)}, with it {microseconds(done)}"
    return [f"Timed without torch.cuda.synchronize() {seen}: the first is only the time to ask for the work."]


WORKLOAD = Workload(
    name="matmul",
    script="matmul.py",
    about="the product of two matrices, element by element, by column, in blocks and at once",
    question="how much of the time is the framework's, and what does the machine allow?",
    variants=variants,
    tell=tell,
    notes=(LIMITS,),
)
