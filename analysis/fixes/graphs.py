"""One launch for a whole step: a CUDA graph, and torch.compile's graphs of forward and backward."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from stallscope.analysis.fixes import constants
from stallscope.analysis.fixes.fix import Bound, Fix, cannot, lasting, plus, scaled
from stallscope.analysis.fixes.names import Wanted
from stallscope.analysis.fixes.subject import Subject
from stallscope.analysis.replay.graph import NEVER, Graph, Kind, Link, Tag
from stallscope.analysis.units import count
from stallscope.traces.model.fields import NOT_ANALYSED
from stallscope.traces.model.trace import Bools

ALIKE = 0.8  # of the steps must launch the same kernels for the step to be replayable
FEWEST_STEPS = 3
GRAPH_PRIOR, COMPILE_PRIOR = 0.04, 0.25
COLLECTIVES_DOUBT = "collectives can be captured, but take care of their own"


def cuda_graph(subject: Subject, wanted: Wanted) -> Fix:
    """The step's launches as one: the host loads data, copies inputs, replays, and reads what it reads."""
    why = _why_not(subject)
    if why:
        return cannot(wanted, why)
    kept = _outside(subject) | _loop_itself(subject)
    gone = subject.host & ~kept
    kernels = subject.kernels & ~subject.reads
    number, inputs = subject.per_step(kernels), subject.per_step(subject.uploads)
    launches = count(subject.stages.per_step(subject.stages.launches.total))

    def change(graph: Graph, bound: Bound) -> Graph:
        launch = bound.of(constants.GRAPH_LAUNCH) + bound.of(constants.GRAPH_NODE) * number
        launch += bound.of(constants.GRAPH_LOOP) + bound.of(constants.GRAPH_INPUT) * inputs
        return plus(_at_once(graph, gone, kernels, bound), subject.firsts, launch)

    doubts = (COLLECTIVES_DOUBT,) if subject.communicates else ()
    return Fix(
        wanted=wanted,
        why=f"every step launches the same {count(number)} kernels, so one graph launch can replace "
        f"{launches} launches and the Python around them; inputs of fixed shape must be copied into the graph's own, "
        "and reads come after the replay",
        change=change,
        prior=GRAPH_PRIOR,
        family="graph",
        bounded=True,
        doubts=doubts,
    )


def compile_reduce_overhead(subject: Subject, wanted: Wanted) -> Fix:
    """Forward and backward as two graphs, with fewer and faster pointwise kernels; the optimizer stays as it is."""
    why = _why_not(subject)
    if why:
        return cannot(wanted, why)
    kept = _outside(subject) | subject.optimizer
    gone = subject.host & ~kept
    kernels = subject.kernels & ~subject.reads & ~subject.optimizer
    pointwise = kernels & subject.mergeable
    nth = np.cumsum(pointwise)

    def change(graph: Graph, bound: Bound) -> Graph:
        share = bound.of(constants.COMPILE_POINTWISE_COUNT)
        merged = pointwise & (np.floor(nth * share) == np.floor((nth - 1) * share))
        number = subject.per_step(kernels & ~merged)
        launch = 2 * bound.of(constants.GRAPH_LAUNCH) + bound.of(constants.GRAPH_NODE) * number
        launch += bound.of(constants.GRAPH_LOOP) + bound.of(constants.COMPILE_GUARD)
        small = scaled(_at_once(graph, gone, kernels, bound), pointwise, bound.of(constants.COMPILE_POINTWISE_TIME))
        closer = replace(small, gap_ns=np.where(merged, np.minimum(small.gap_ns, 0), small.gap_ns))
        return plus(closer, subject.firsts, launch)

    return Fix(
        wanted=wanted,
        why=f"{count(subject.per_step(pointwise))} of {count(subject.per_step(kernels))} kernels outside the optimizer "
        "are of the kind that a compiler merges, and forward and backward become one launch each; how well it does is "
        "known only by trying, so the interval is wide",
        change=change,
        prior=COMPILE_PRIOR,
        family="graph",
        bounded=True,
        doubts=(COLLECTIVES_DOUBT,) if subject.communicates else (),
    )


def _outside(subject: Subject) -> Bools:
    """What no graph and no compiler takes in: loading, reads, copies of inputs, the script's own work on the CPU."""
    own = subject.python | subject.cpu_operators
    return subject.input | subject.reads | own | _upload_calls(subject)


def _at_once(graph: Graph, gone: Bools, kernels: Bools, bound: Bound) -> Graph:
    """The host's work gone, threads no longer waiting for one another, and the kernels close together."""
    kept = graph.without_links(Link.HANDOFF, Link.LOCK, Link.QUEUE)
    none = lasting(kept, gone, 0)
    gap = int(1000 * bound.of(constants.GRAPH_GAP))
    closer = kernels & (graph.gap_ns > gap)
    return replace(none, gap_ns=np.where(closer, gap, none.gap_ns))


def _loop_itself(subject: Subject) -> Bools:
    """The main thread after a step's last launch and outside the optimizer: logging and bookkeeping, which stay."""
    graph = subject.graph
    calls = subject.launcher[subject.kernels & ~subject.reads & (subject.launcher >= 0)]
    last = np.full(graph.steps, NEVER, dtype=np.int64)
    np.maximum.at(last, graph.step[calls], graph.start_ns[calls])
    after = graph.start_ns > last[np.clip(graph.step, 0, graph.steps - 1)]
    found: Bools = after & (graph.kind == Kind.SEGMENT) & (graph.resource == graph.main) & (graph.tag == Tag.NONE)
    return found


def _upload_calls(subject: Subject) -> Bools:
    """The calls that copy inputs to the device: they stay outside the graph."""
    found = np.zeros(len(subject.graph), dtype=np.bool_)
    calls = subject.launcher[subject.uploads & (subject.launcher >= 0)]
    found[calls] = True
    return found


def _why_not(subject: Subject) -> str:
    """Why the step cannot be captured; "" where nothing in the trace speaks against it."""
    graph = subject.graph
    if subject.facts.vendor in (*NOT_ANALYSED, "cpu"):
        return "graphs are known here for CUDA and ROCm only"
    graphs = subject.facts.calls.graph_launches
    if graphs:
        return f"the step is launched by {count(subject.facts.per_step(graphs))} graphs already"
    if not subject.stages.window.from_steps:
        return "the trace marks no steps, so whether they repeat is not known"
    if graph.steps < FEWEST_STEPS:
        return f"whether steps repeat cannot be told from {graph.steps}; it takes {FEWEST_STEPS}"
    same, steps = subject.sequences
    if same < ALIKE * steps:
        return f"only {same} of {steps} steps launch the same kernels: shapes or branches change from step to step"
    return _syncs_inside(subject)


def _syncs_inside(subject: Subject) -> str:
    """Waits in the middle of the step's kernels, other than reads that may as well come at its end."""
    graph = subject.graph
    waits = np.isin(graph.kind, (Kind.SYNC, Kind.COPY_CALL)) & ~subject.losses & ~subject.input
    waits &= ~_near_upload(subject)
    calls = subject.launcher[subject.kernels & (subject.launcher >= 0)]
    number = 0
    for node in np.flatnonzero(waits).tolist():
        own = graph.start_ns[calls[graph.step[calls] == graph.step[node]]]
        number += bool(len(own) and own.min() < graph.start_ns[node] < own.max())
    if number < graph.steps / 2:
        return ""
    return (
        f"{count(number / graph.steps)} waits a step lie between its kernels (.nonzero(), .cpu(), synchronize …), "
        "which a graph cannot hold: remove those first"
    )


def _near_upload(subject: Subject) -> Bools:
    """Copies to the device and the waits right after them: the step's input, copied before the graph."""
    graph = subject.graph
    uploading = _upload_calls(subject)
    after = np.zeros(len(graph), dtype=np.bool_)
    for distance in (1, 2):
        follows = np.flatnonzero(uploading) + distance
        follows = follows[follows < len(graph)]
        after[follows] = True
    found: Bools = uploading | (after & (graph.kind == Kind.SYNC))
    return found
