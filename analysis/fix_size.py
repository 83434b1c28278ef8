"""Another amount of work a launch: a larger batch, fewer launches at one module, or no GPU at all."""

from __future__ import annotations

import statistics
from math import ceil, log2, sqrt

import numpy as np

from stallscope.analysis.contract_forecast import StepRange
from stallscope.analysis.fix import Bound, Fix, cannot, lasting, scaled
from stallscope.analysis.fix_names import Wanted
from stallscope.analysis.graph import Graph, Kind
from stallscope.analysis.replay import replay
from stallscope.analysis.subject import Subject
from stallscope.analysis.units import count, microseconds, percent

LARGEST = 1024.0  # times the batch: how far the search for the limit goes
SUGGESTED = 64.0  # times the batch that is forecast, at most
BATCH_PRIOR, MODULE_PRIOR = 0.10, 0.10
EIGHTY = 1.282  # standard deviations that hold 80 % of a normal distribution
FULL = 100.0  # percent
CPU_FLOOR = 0.02  # of the step: two measurements of one thing differ by that much


def larger_batch(subject: Subject, wanted: Wanted) -> Fix:
    """The step of a batch m times as large, divided by m: what the present number of samples would take."""
    if not subject.stages.window.from_steps:
        return cannot(wanted, "the trace marks no steps, so what one batch takes is not known")
    kernels = subject.graph.on_device & ~subject.reads
    host = replay(lasting(subject.graph, kernels, 0), passes=subject.passes).step_ns / 1000
    limit = _limit(subject, host)
    if limit < 2 and wanted.number is None:  # noqa: PLR2004 - twice the batch is the least there is
        return cannot(wanted, "the GPU is the limit already: a larger batch takes as much longer as it is larger")
    times = wanted.number or min(SUGGESTED, float(2 ** ceil(log2(limit))))

    def change(graph: Graph, bound: Bound) -> Graph:
        grown = lasting(graph, kernels, graph.duration_ns[kernels] * _growth(subject, times, bound)[kernels])
        return scaled(grown, subject.input, times)

    beyond = f"more than {LARGEST:.0f}" if limit > LARGEST else f"about {count(limit)}"
    return Fix(
        wanted=Wanted(wanted.fix, times),
        why=f"the CPU's work is the same for a batch of any size; the GPU becomes the limit at {beyond} times the "
        "present one, estimated from how full its kernels leave it. This changes the training: learning rate and "
        "number of steps need care. The time is that of as many samples as a step has now",
        change=change,
        prior=BATCH_PRIOR,
        adds_up=False,
        divide=times,
        bounded=True,
    )


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

    Room by the achieved occupancy that Kineto estimates: a kernel of 5 % leaves room for 20 times the work.
    """
    graph, work = subject.graph, subject.stages.trace.work
    grown = np.full(len(graph), times)
    kernels = np.flatnonzero(graph.kind == Kind.KERNEL)
    if bound is Bound.LOW:
        grown[kernels] = 1.0
    elif bound is Bound.EXPECTED:
        occupancy = work.occupancy_percent[np.searchsorted(work.row, graph.row[kernels])]
        full = np.where(np.isnan(occupancy), FULL, np.maximum(occupancy, 1.0)) / FULL
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
    modules = subject.stages.modules
    if not modules.known:
        return cannot(wanted, "the trace tells of no modules; record it with stacks and modules")
    most = max(modules.totals, key=lambda each: (each.launches_self, each.name), default=None)
    if most is None or not most.launches_self or not subject.facts.launches:
        return cannot(wanted, "no module launches anything by itself")
    launches = subject.stages.per_step(most.launches_self)
    share = launches / subject.facts.launches
    gone = _half(subject, share)
    return Fix(
        wanted=wanted,
        why=f"{most.name} makes {count(launches)} of {count(subject.facts.launches)} launches a step "
        f"({percent(share)}) by itself: merge its operators, or compile this module alone",
        change=lambda graph, _: lasting(graph, gone, 0),
        prior=MODULE_PRIOR,
        adds_up=False,
        where=most.name,
    )


def _half(subject: Subject, share: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Launch calls, evenly over the step, and the host's work before each: half of the module's share of all."""
    graph = subject.graph
    launches = np.flatnonzero(graph.kind == Kind.LAUNCH)
    nth = np.arange(1, len(launches) + 1)
    chosen = launches[np.floor(nth * share / 2) != np.floor((nth - 1) * share / 2)]
    found = np.zeros(len(graph), dtype=np.bool_)
    found[chosen] = True
    before = chosen[(chosen > 0)] - 1
    same = (graph.resource[before] == graph.resource[before + 1]) & (graph.kind[before] == Kind.SEGMENT)
    found[before[same]] = True
    found &= ~subject.input & ~subject.reads
    return found
