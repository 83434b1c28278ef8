"""Reading results less often: every k-th step, or later and all at once."""

from __future__ import annotations

import numpy as np

from stallscope.analysis.fixes import constants
from stallscope.analysis.fixes.fix import Bound, Fix, cannot, plus
from stallscope.analysis.fixes.names import Wanted
from stallscope.analysis.fixes.subject import Subject
from stallscope.analysis.replay.graph import Graph
from stallscope.analysis.units import count, microseconds

AT_ONCE = 100  # steps whose losses are read together
READ = "aten::item"  # reads one value back to the host; a wait wherever the device is not the CPU
PRIOR = 0.025


def record_every(subject: Subject, wanted: Wanted) -> Fix:
    """The reads taken out of all but every k-th step: T(k) = T(never) + (T(now) − T(never)) × share of reads kept."""
    period = wanted.number or 1.0
    reads, why = _reads(subject)
    if not reads:
        return cannot(wanted, why)
    now = subject.graph.steps / max(1, _reading_steps(subject))
    if period <= now:
        return cannot(wanted, f"values are read every {count(now)} steps already")
    return Fix(
        wanted=wanted,
        why=f"{_told(subject, reads)}; {_drained(subject)}",
        change=lambda graph, _: graph.without(subject.losses),
        kept=now / period,
        prior=PRIOR,
        family="reads",
        same_as="no reads",
    )


def deferred_read(subject: Subject, wanted: Wanted) -> Fix:
    """The losses kept on the device and read together: no wait in a step, a few µs to keep each."""
    reads, why = _reads(subject)
    if not reads:
        return cannot(wanted, why)

    def change(graph: Graph, bound: Bound) -> Graph:
        return plus(graph.without(subject.losses), _first_reads(subject), bound.of(constants.KEEP_LOSS))

    return Fix(
        wanted=wanted,
        why=f"{_told(subject, reads)}; keeping a loss takes the CPU {microseconds(constants.KEEP_LOSS.value)}, reading "
        f"{AT_ONCE} at once one wait",
        change=change,
        kept=1 / AT_ONCE,
        prior=PRIOR,
        family="reads",
        bounded=True,
    )


def _reads(subject: Subject) -> tuple[float, str]:
    """(reads a step, or why there are none to be saved)."""
    if not subject.stages.window.from_steps:
        return 0.0, "the trace marks no steps, so how often values are read is not known"
    number = sum(row.calls for row in subject.stages.operators.totals if row.name == READ)
    if (subject.losses & subject.host).any():
        return max(len(subject.read_rows), _reading_steps(subject)) / subject.graph.steps, ""
    if (subject.reads & subject.host).any():
        return 0.0, "the values read here are needed at once, by a test in `if` or by PyTorch itself"
    none = "no .item(), float() or print of a GPU tensor waits in this trace"
    return 0.0, none if not number else f"the {number} .item() calls of this trace do not wait for the GPU"


def _reading_steps(subject: Subject) -> int:
    return len(np.unique(subject.graph.step[subject.losses & subject.host]))


def _first_reads(subject: Subject) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    nodes = np.flatnonzero(subject.losses & subject.host)
    _, first = np.unique(subject.graph.step[nodes], return_index=True)
    return nodes[first]


def _told(subject: Subject, reads: float) -> str:
    cost = subject.us_per_step(subject.losses & subject.host)
    number = f"{count(reads)} read{'' if reads == 1 else 's'} of a value"
    return f"{number} a step, which cost{'s' if reads == 1 else ''} the CPU {microseconds(cost)} besides the wait"


def _drained(subject: Subject) -> str:
    """Whether the wait is the queue's, which must be waited for somewhere, or an empty queue's."""
    waits = [line.most for line in subject.facts.calls.waits]
    reads = [wait for wait in waits if _is_read(wait.place.chain)]
    shares = [wait.drained_share for wait in reads if wait.drained_share is not None]
    long = sum(wait.waited_ns for wait in reads) > sum(wait.blocked_ns for wait in reads) / 2
    if not long and shares and min(shares) > 0.5:  # noqa: PLR2004 - most
        return "the GPU had no work left when they came, so little more than their own cost is saved"
    return "the CPU may then wait at its next read instead"


def _is_read(chain: str | None) -> bool:
    return "aten::item" in (chain or "") or "_local_scalar_dense" in (chain or "")
