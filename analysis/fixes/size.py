"""Another amount of work a launch: a larger batch, fewer launches at one module, or no GPU at all."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from math import ceil, log2, sqrt

import numpy as np

from stallscope.analysis.contract.forecast import StepRange
from stallscope.analysis.fixes.fix import EIGHTY, Bound, Fix, cannot, lasting, scaled
from stallscope.analysis.fixes.names import Wanted
from stallscope.analysis.fixes.subject import Subject
from stallscope.analysis.replay.graph import Graph, Kind, Link
from stallscope.analysis.replay.replay import replay
from stallscope.analysis.units import count, microseconds, percent
from stallscope.traces.model.trace import Bools, Ints

LARGEST = 1024.0  # times the batch: how far the search for the limit goes
SOON = 1.05  # times the batch, from which the GPU is what takes longest
SUGGESTED = 64.0  # times the batch that is forecast, at most
BATCH_PRIOR, MODULE_PRIOR = 0.10, 0.10
FULL = 100.0  # percent
BLOCKS = 2.0  # of a matrix product, that an SM holds at a time
_NUMBERS = re.compile(r"\d+")
CPU_FLOOR = 0.02  # of the step: two measurements of one thing differ by that much


def larger_batch(subject: Subject, wanted: Wanted) -> Fix:
    """The step of a batch m times as large, divided by m: what the present number of samples would take."""
    if not subject.stages.window.from_steps:
        return cannot(wanted, "the trace marks no steps, so what one batch takes is not known")
    if (subject.graph.edges.link == Link.LOADER).any():
        return cannot(wanted, "batches come at the pace of the DataLoader's workers, and larger ones take them longer")
    kernels = subject.graph.on_device & ~subject.reads
    host = replay(lasting(subject.graph, kernels, 0), passes=subject.passes).step_ns / 1000
    limit = _limit(subject, host)
    if limit < 2 and wanted.number is None:  # noqa: PLR2004 - twice the batch is the least there is
        return cannot(wanted, _hardly(subject, limit))
    times = wanted.number or min(SUGGESTED, float(2 ** ceil(log2(limit))))

    def change(graph: Graph, bound: Bound) -> Graph:
        grown = lasting(graph, kernels, graph.duration_ns[kernels] * _growth(subject, times, bound)[kernels])
        return scaled(grown, subject.input, times)

    beyond = f"more than {LARGEST:.0f}" if limit > LARGEST else f"about {limit:.2g}"
    return Fix(
        wanted=Wanted(wanted.fix, times),
        why=f"the CPU's work is the same for a batch of any size; the GPU becomes the limit at {beyond} times the "
        f"present one, estimated from how full its kernels leave it. {_care(subject)}The time is that of as many "
        "samples as a step has now",
        change=change,
        prior=BATCH_PRIOR,
        adds_up=False,
        divide=times,
        bounded=True,
    )


def _care(subject: Subject) -> str:
    """What else a larger batch changes, where the run trains."""
    trains = subject.facts.host.trains
    return "This changes the training: learning rate and number of steps need care. " if trains else ""


def _hardly(subject: Subject, limit: float) -> str:
    """Why a batch twice as large is worth little."""
    works = microseconds(subject.us_per_step(subject.graph.on_device & ~subject.reads))
    if limit < SOON:
        return "the GPU's work for one batch takes as long as all the rest: a larger batch takes longer alike"
    return f"the GPU works {works} for one batch: from {limit:.1f} times the batch on it would be the limit"


def _limit(subject: Subject, host_us: float) -> float:
    """How many times the batch at which device work takes as long as the host."""
    low, high = 1.0, 2 * LARGEST
    device = subject.graph.on_device & ~subject.reads

    def device_us(times: float) -> float:
        grown = subject.graph.duration_ns * _growth(subject, times, Bound.EXPECTED)
        return float(grown[device].sum()) / (1000 * subject.graph.steps)

    if device_us(high) < host_us:
        return high
    while high / low > 1.05:  # noqa: PLR2004 - near enough
        middle = sqrt(low * high)
        low, high = (middle, high) if device_us(middle) < host_us else (low, middle)
    return low


def _growth(subject: Subject, times: float, bound: Bound) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How many times longer each device node gets: not at all while the GPU has room, in proportion at worst.

    Room by the achieved occupancy that Kineto estimates: a kernel of 5 % leaves room for 20 times the work. Matrix
    products and their like never fill an SM's warps: of these two blocks are taken to fill it.
    """
    graph, work = subject.graph, subject.stages.trace.work
    grown = np.full(len(graph), times)
    kernels = np.flatnonzero(graph.kind == Kind.KERNEL)
    if bound is Bound.LOW:
        grown[kernels] = 1.0
    elif bound is Bound.EXPECTED:
        place = np.searchsorted(work.row, graph.row[kernels])
        occupancy = work.occupancy_percent[place]
        full = np.where(np.isnan(occupancy), FULL, np.maximum(occupancy, 1.0)) / FULL
        blocks = np.nan_to_num(work.blocks_per_sm[place])
        full = np.where(subject.products[kernels], np.maximum(full, blocks / BLOCKS), full)
        grown[kernels] = np.maximum(1.0, times * full)
    return grown


def cpu(subject: Subject, wanted: Wanted) -> Fix:
    """Training on the CPU: measured by ``profile --also-cpu``, never modelled."""
    run = subject.cpu_run
    if run is None:
        return cannot(
            wanted, "only a measurement can tell: stallscope profile --also-cpu SCRIPT times some steps there"
        )
    if not run.steps:
        return cannot(wanted, f"it was to be measured, but {run.why}")
    mean = run.duration_ns / (1000 * run.steps)
    spread = statistics.pstdev(run.samples_ns) / (1000 * sqrt(run.steps)) if run.samples_ns else 0.0
    half = EIGHTY * sqrt(spread**2 + (CPU_FLOOR * mean) ** 2)
    return Fix(
        wanted=wanted,
        why=f"measured: {run.steps} steps of the same script on the CPU took {microseconds(mean)} each",
        adds_up=False,
        measured=StepRange(low=max(0.0, mean - half), expected=mean, high=mean + half),
    )


def fewer_launches(subject: Subject, wanted: Wanted) -> Fix:
    """Half the launches of the module that makes most, with the host's work for them; the GPU's work stays."""
    stages = subject.stages
    if not stages.modules.known:
        return cannot(wanted, "the trace tells of no modules; record it with stacks and modules")
    name, alike, launches = _most_launches(subject)
    if not len(launches):
        return cannot(wanted, "no module launches anything by itself")
    gone = _half(subject, launches)
    number, all_of_them = stages.per_step(len(launches)), stages.per_step(stages.launches.total)
    whose = f"{name} ({alike} of them)" if alike > 1 else name
    return Fix(
        wanted=wanted,
        why=f"{whose}: {count(number)} of {count(all_of_them)} launches a step ({percent(number / all_of_them)}), "
        "forward and backward, without the modules inside. Merge its operators, or compile it alone",
        change=lambda graph, _: lasting(graph, gone, 0),
        prior=MODULE_PRIOR,
        adds_up=False,
        where=name,
    )


def _most_launches(subject: Subject) -> tuple[str, int, Ints]:
    """(modules that make most launches themselves, how many such, event rows of the launches, ascending).

    Modules whose names differ in numbers only are alike: ``layers.0.attn`` and ``layers.1.attn`` are ``layers.*.attn``.
    """
    stages = subject.stages
    names = stages.modules.names
    started, _ = stages.backward.homes(stages.trace, stages.modules.calls, stages.launches.calls)
    known = started >= 0
    kinds = [_NUMBERS.sub("*", each) for each in names]
    counted = Counter(kinds[position] for position in started[known].tolist())
    if not counted:
        return "", 0, np.zeros(0, dtype=np.int64)
    most = min(counted, key=lambda kind: (-counted[kind], kind))
    alike = sorted({name for name, kind in zip(names, kinds, strict=True) if kind == most})
    own = np.array([kind == most for kind in kinds], dtype=np.bool_)
    rows: Ints = stages.launches.calls[known & own[np.maximum(started, 0)]]
    return alike[0] if len(alike) == 1 else most, len(alike), rows


def _half(subject: Subject, rows: Ints) -> Bools:
    """Every second of these launches, and the host's work before each; (n,)."""
    graph = subject.graph
    launches = np.flatnonzero(subject.host & np.isin(graph.row, rows))[::2]
    found = np.zeros(len(graph), dtype=np.bool_)
    found[launches] = True
    before = launches[launches > 0] - 1
    same = (graph.resource[before] == graph.resource[before + 1]) & (graph.kind[before] == Kind.SEGMENT)
    found[before[same]] = True
    return found & ~subject.input & ~subject.reads
