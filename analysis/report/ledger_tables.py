"""The tables of the ledger: why the GPU idles, where the CPU waits, what launching costs, what copies cost."""

from __future__ import annotations

from stallscope.analysis.causes.case import WORTH
from stallscope.analysis.causes.waits import SPOKEN, advice_for_call, spoken
from stallscope.analysis.contract.idle import IDLE_CAUSES
from stallscope.analysis.contract.summary import CopySite, MemcpyRow, Summary, SyncSite
from stallscope.analysis.report.table import TOP, Row, Table, scope, scope_of_all, share, step_us
from stallscope.analysis.stages.sync import STALLS
from stallscope.analysis.units import count, microseconds, percent, quantity

WOULD_WAIT = "Lines that would make the CPU wait, were the tensors on a GPU"
MOSTLY = 0.5
CALLERS = 3  # lines named of those that call a helper
COPY_CALL_US = 50  # a copy call that lasts longer is not only the cost of a call
ALL = 100  # lines that would wait, which are named
ENOUGH = 5  # steps, from which on a number of calls is a rate
GROUPED = {
    "queue_full": ("(queue of the GPU full)", "launch"),
    "graph_launch": ("(graphs)", "graph launch"),
}
WAYS = (
    ("HtoD", "HtoD: from CPU (host) to GPU (device) memory."),
    ("DtoH", "DtoH: from GPU (device) to CPU (host) memory."),
    ("DtoD", "DtoD: within the memory of a GPU."),
    ("PtoP", "PtoP: from GPU to GPU."),
)


def idle(summary: Summary) -> Table:
    """Why the GPU does nothing, most time first."""
    causes = ((cause.words, getattr(summary.idle_us, cause.name)) for cause in IDLE_CAUSES)
    found = sorted(((us, words) for words, us in causes if us), key=lambda each: (-each[0], each[1]))
    rows = [(words, microseconds(us), share(summary, us)) for us, words in found]
    note = "While no kernel, copy or fill runs: each instant by what the thread was doing that launches the next work."
    return Table(f"Why the GPU idles, {scope(summary)}", note, ("the GPU idles, because", "time", "share"), rows)


def launches(summary: Summary) -> Table:
    """How much is launched, what that costs, and how far the host runs ahead."""
    each = summary.per_step
    mean = each.kernel_sum_us / each.kernels if each.kernels and each.kernel_sum_us is not None else None
    delay = each.queue_delay_us
    rows: list[Row] = [
        (
            "kernel launches (a CPU call starts a kernel)",
            count(each.kernel_launches),
            microseconds(each.launch_call_us),
        ),
        ("graph launches (one call starts many kernels)", count(each.graph_launches), ""),
        *_launch_calls(summary),
        ("kernels run by the GPU", count(each.kernels), microseconds(each.kernel_sum_us)),
        ("   one kernel, on average", "", microseconds(mean)),
        *_short_kernels(summary),
        ("   from the end of its launch call to its start, median", "", microseconds(delay.p50) if delay else "-"),
        *_queue(summary),
        ("copies", count(each.memcpys), microseconds(each.memcpy_us)),
        ("memory fills (memset)", count(each.memsets), microseconds(each.memset_us)),
        ("synchronize calls (the CPU waits)", count(each.sync_calls), microseconds(each.sync_call_us)),
        ("CPU blocked in waits and blocking copies", "", microseconds(each.sync_stall_us)),
        *_held_up(summary),
    ]
    told = [row for row in rows if row[1] not in ("-", "0") and row[1:] != ("", "-")]
    note = "Times of launches, copies and waits overlap with the GPU's work: they do not add up to the step."
    return Table(f"Launches and waits {scope(summary)}", note, ("", "number", "time"), told)


def _held_up(summary: Summary) -> list[Row]:
    """The calls that a full queue held up, which are no waits."""
    held = sum(site.blocked_us_per_step for site in summary.sync_sites or [] if site.kind == "queue_full")
    return [("calls held up by a full queue (all threads)", "", microseconds(held))] if held else []


def _launch_calls(summary: Summary) -> list[Row]:
    stats = summary.launches
    rows: list[Row] = []
    if stats and stats.kernels_per_graph:
        rows.append(("   kernels in one graph launch", count(stats.kernels_per_graph), ""))
    if stats and stats.call_us:
        rows.append(("   one launch call, median", "", microseconds(stats.call_us.p50)))
    return rows


def _short_kernels(summary: Summary) -> list[Row]:
    stats = summary.launches
    if stats is None or not stats.short_kernels_per_step:
        return []
    words = f"   shorter than their launch call ({percent(stats.short_share)})"
    return [(words, count(stats.short_kernels_per_step), "")]


def _queue(summary: Summary) -> list[Row]:
    queue = summary.launches.queue if summary.launches else None
    if queue is None or queue.max is None:
        return []
    rows: list[Row] = [("launches queued at the GPU, at most", count(queue.max), "")]
    if queue.full_at:
        blocked = count(queue.blocked_launches_per_step), microseconds(queue.blocked_us_per_step)
        rows.append(("   calls that waited for room in the full queue", *blocked))
    return rows


def sites(summary: Summary) -> Table:
    """Where the CPU stands still, in a call: waits first."""
    listed = summary.sync_sites or []
    single = [site for site in listed if site.kind not in GROUPED and site.note is None]
    rows = [_site(site) for site in single[:TOP]]
    rows += _more(single[TOP:])
    rows += [row for kind in GROUPED for row in _grouped(kind, [s for s in listed if s.kind == kind])]
    place = "line" if any(site.called for site in single) else "operator"
    headers = (place, "call", "number", "blocked", "then idle")
    note = (
        "Blocked: time in the call. Then idle: how long the GPU has nothing to do, from the moment in the call when "
        "its work ran out until it has some again (or the CPU turns to loading data); where it had none before the "
        "call, the call's own time. Without a wait the CPU may only wait elsewhere."
    )
    return Table(
        f"Where the CPU waits, {scope_of_all(summary)}", note if rows else "", headers, rows, headline(summary)
    )


def _more(sites: list[SyncSite]) -> list[Row]:
    """What the table leaves out, as one row."""
    if not sites:
        return []
    number, blocked = sum(s.calls_per_step for s in sites), sum(s.blocked_us_per_step for s in sites)
    return [(f"({len(sites)} more places, see --format json)", "", count(number), microseconds(blocked), "")]


def would_wait(summary: Summary) -> list[str]:
    """The lines that would make the CPU wait on a GPU, a sentence each; the advice once for each kind."""
    listed = [site for site in summary.sync_sites or [] if site.note is not None]
    steps = summary.attribution.steps if summary.attribution else None
    said: dict[str, str | None] = {}
    sentences = []
    for site in listed[:TOP]:
        advice = advice_for_call(site.called)
        callers = f", called from {', '.join(site.callers[:CALLERS])}" if site.callers else ""
        text = f"{site.call_site} {spoken(site.called or '')}{callers}{_how_often(site, steps)}: {site.note}."
        sentences.append(f"{text} Advice as for {said[advice]}." if advice in said else f"{text} {advice}")
        said.setdefault(advice, site.call_site)
    if len(listed) > TOP:
        rest = [f"{site.call_site} {spoken(site.called or '')}" for site in listed[TOP:ALL]]
        more = f", and {len(listed) - ALL} more (see --format json)" if len(listed) > ALL else ""
        sentences.append(f"Likewise: {', '.join(rest)}{more}.")
    if listed and steps:
        over = f"the {steps} steps" if steps > 1 else "the one step"
        sentences.append(
            f"Looked for in {over} whose lines were recorded: what happens less often (an evaluation, a print every "
            "100 steps) may be missing here, and would wait too."
        )
    return sentences


def lines_that_would_wait(summary: Summary) -> list[str]:
    """The same lines, each with its call, and with how often it was seen where that is not in each step."""
    steps = summary.attribution.steps if summary.attribution else None
    sites = [site for site in summary.sync_sites or [] if site.note is not None]
    return [f"{site.call_site} {spoken(site.called or '')}{_how_often(site, steps)}" for site in sites]


def _how_often(site: SyncSite, steps: int | None) -> str:
    """In how many of the steps; a rate only where it was in each of enough steps."""
    seen = site.seen_in_steps
    if steps is None or seen is None:
        return ""
    if seen < steps:
        return f", in {seen} of {steps} steps"
    if site.calls_per_step == 1:
        return ""
    if steps < ENOUGH:
        return f", {count(site.calls_per_step * steps)} times in {steps} step{'s' if steps > 1 else ''}"
    return f", {count(site.calls_per_step)} times a step"


def headline(summary: Summary) -> str:
    """The largest wait in a sentence; "" where none is worth one."""
    step = step_us(summary)
    waits = [site for site in summary.sync_sites or [] if site.kind in STALLS and not site.by_profiler]
    if not waits or not step or waits[0].blocked_us_per_step < WORTH * step:
        return ""
    site = waits[0]
    whose = "the" if summary.steps.source == "whole_trace" else "your"
    unit = "step" if whose == "your" else "recorded"
    blocked = microseconds(site.blocked_us_per_step)
    text = f"{_spoken(site)} blocks the CPU {blocked} of {whose} {microseconds(step)} {unit}"
    idle_after = site.idle_after_us_per_step
    if idle_after is not None:
        text += f" and leaves the GPU idle {microseconds(idle_after)}"
    return text + "." + _when_it_came(site)


def where(call_site: str | None, operator: str | None, function: str | None, module: str | None) -> str:
    """A place as a cell: ``train.py:47 aten::item``, ``aten::item in helper``."""
    if call_site is not None:
        return f"{call_site} {operator}" if operator else call_site
    inside = function.partition(" (")[0] if function else module
    if operator is None:
        return f"in {inside}" if inside else "(in no operator)"
    return f"{operator} in {inside}" if inside else operator


def copies(summary: Summary) -> Table:
    """Copies by direction and memory, and the trap."""
    listed = summary.memcpy or []
    waits = {True: "yes", False: "no", None: "-"}
    rows = [
        (
            f"{row.direction}, {row.memory} memory",
            count(row.count_per_step),
            quantity(row.bytes_per_step),
            microseconds(row.us_per_step),
            "-" if row.gb_per_s is None else f"{row.gb_per_s:.3g}",
            waits[_makes_wait(summary, row)],
            percent(row.overlap_share),
        )
        for row in listed
    ]
    headers = ("copies", "number", "size", "time", "GB/s", "CPU waits", "overlap")
    told = [words for way, words in WAYS if any(row.direction == way for row in listed)]
    if any(row.memory == "pageable" for row in listed):
        told.append("Pageable memory is what programs get; pinned memory can be copied while the CPU goes on.")
    told.append("Overlap: the part of the time in which a kernel ran beside the copy.")
    return Table(f"Copies {scope_of_all(summary)}", " ".join(told) if listed else "", headers, rows, _trap(summary))


def _makes_wait(summary: Summary, row: MemcpyRow) -> bool | None:
    """Whether most copies of a kind make the CPU wait, in the call or in the synchronize that PyTorch puts after it."""
    if row.blocking:
        return True
    sites = [s for s in summary.copy_sites or [] if (s.direction, s.memory) == (row.direction, row.memory)]
    waited = sum(site.count_per_step for site in sites if site.non_blocking is False)
    return True if row.count_per_step and waited > MOSTLY * row.count_per_step else row.blocking


def _trap(summary: Summary) -> str:
    """Copies that were meant not to block, and are slow or block all the same."""
    traps = [site for site in summary.copy_sites or [] if site.non_blocking and site.memory == "pageable"]
    if not traps:
        return ""
    number = sum(site.count_per_step for site in traps)
    first = max(traps, key=lambda site: site.us_per_step)
    return (
        f"non_blocking=True has no effect on {count(number)} of these copies: the CPU memory is pageable, not pinned "
        f"({_copy_place(first)}). DataLoader(..., pin_memory=True), or tensor.pin_memory() once, outside the loop."
    )


def _copy_place(site: CopySite) -> str:
    return where(site.call_site, site.operator, site.function, site.module)


def _site(site: SyncSite) -> Row:
    known = None if site.by_profiler else site.call_site
    name = where(known, site.operator, site.function, site.module)
    if known is not None and site.called is not None:
        name = f"{known} {spoken(site.called)}"
    return (
        "(the profiler's own)" if site.by_profiler else name,
        site.api or "-",
        count(site.calls_per_step),
        microseconds(site.blocked_us_per_step),
        microseconds(site.idle_after_us_per_step),
    )


def _grouped(kind: str, sites: list[SyncSite]) -> list[Row]:
    """All sites of a kind as one row; nothing where there are none."""
    if not sites:
        return []
    number, blocked = (sum(x) for x in zip(*((s.calls_per_step, s.blocked_us_per_step) for s in sites), strict=True))
    return [(*GROUPED[kind], count(number), microseconds(blocked), "-")]


def _spoken(site: SyncSite) -> str:
    """The place of a wait as a sentence begins: ``train.py:47 .item()``."""
    operator = site.operator
    if site.called is not None:
        callers = f" (called from {', '.join(site.callers[:CALLERS])})" if site.callers else ""
        return f"{site.call_site} {spoken(site.called)}{callers}"
    if operator is None:
        name = site.api or "a call"
    elif site.call_site is not None or operator not in SPOKEN:
        name = SPOKEN.get(operator, operator)
    else:
        name = f"{SPOKEN[operator]} ({site.chain})"
    if site.call_site is not None:
        return f"{site.call_site} {name}"
    if site.function is not None:
        function, _, line = site.function.removesuffix(")").partition(" (")
        return f"{name} in {function} ({line} defines it)"
    return f"{name} in {site.module}" if site.module else name


def _when_it_came(site: SyncSite) -> str:
    """Whether there was anything to wait for."""
    if site.drained_share is None:
        return ""
    waited = site.waited_us_per_step is not None and site.waited_us_per_step > MOSTLY * site.blocked_us_per_step
    # few waits that are long count more than many that are none
    if site.drained_share == 1 or (site.drained_share > MOSTLY and not waited):
        if site.kind == "copy" and (site.own_cost_us or 0) > COPY_CALL_US:
            took = microseconds(site.own_cost_us)
            return f" Mostly the GPU had no work left when it came: the copy itself takes the time, {took} a call."
        return " Mostly the GPU had no work left when it came: it costs little more than the call itself."
    if site.drained_share > MOSTLY:
        return " Mostly the GPU had no work left when it came; where it had, the wait was long."
    return f" It waits for work that the GPU still has before it, {microseconds(site.lag_us)} of it (median)."
