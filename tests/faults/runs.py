"""Rows D and E: steps, ranks, folders; size."""

from __future__ import annotations

from pathlib import Path

from stallscope.traces.text.limits import Limits
from tests.builders import TraceBuilder
from tests.faults.case import Case, Make, case, written
from tests.faults.seed import START, STEPS, kineto_text, training

HOST = ("per_step.kernel_launches", "per_step.sync_calls")
GPU = ("per_step.kernels", "per_step.kernel_us")


def without_steps() -> TraceBuilder:
    """The training without ``ProfilerStep`` ranges."""
    builder = training()
    builder.events = [e for e in builder.events if not e["name"].startswith("ProfilerStep")]
    return builder


def steps(*ranges: tuple[float, float], numbers: list[int] | None = None) -> TraceBuilder:
    """The training with other steps: (start, duration) after ``START``."""
    builder = without_steps()
    for place, (start, duration) in enumerate(ranges):
        builder.step(START + start, duration, place if numbers is None else numbers[place])
    return builder


def folder(*names: str, text: str = "") -> Make:
    """A maker of a folder with traces of these names, and ``text`` in the file that is no trace."""

    def make(where: Path) -> Path:
        for place, name in enumerate(names):
            rank = training().key(distributedInfo={"backend": "nccl", "rank": place, "world_size": len(names)})
            written(where, kineto_text(rank) if name.endswith(".json") else text, name)
        return where

    return make


def ranks(*told: tuple[int, int]) -> Make:
    """A maker of a run folder whose traces say that they are these (rank, world size)."""

    def make(where: Path) -> Path:
        for place, (rank, size) in enumerate(told):
            trace = training().key(distributedInfo={"backend": "nccl", "rank": rank, "world_size": size})
            written(where, trace, f"node_{place}.170000000000000000{place}.pt.trace.json")
        return where

    return make


def deep(levels: int) -> TraceBuilder:
    """Operators nested in each other."""
    builder = TraceBuilder().step(START, 10.0 * levels)
    for i in range(levels):
        builder.op("f", START + 1 + 0.001 * i, 5.0 * levels - 0.002 * i)
    return builder


def wide(children: int, *, at_once: bool = False) -> TraceBuilder:
    """One operator that holds many, one after the other or all of no length at one instant."""
    builder = TraceBuilder().step(START, 10.0 * children).op("outer", START + 1, 9.0 * children)
    for i in range(children):
        builder.op("inner", START + 2 + (0 if at_once else i), 0.0 if at_once else 0.5)
    return builder


def varied(count: int) -> TraceBuilder:
    """As many names, threads and streams as events, and a step for every tenth."""
    builder = TraceBuilder()
    for i in range(count):
        if i % 10 == 0:
            builder.step(START + 10 * i, 99.0)
        builder.op(f"operator {i}", START + 10 * i + 1, 5.0, tid=i)
        builder.launch(START + 10 * i + 2, 1.0, tid=i, stream=i, kernel=(f"kernel {i}", START + 10 * i + 4, 5.0))
    return builder


def cases() -> list[Case]:
    """Every case of these rows."""
    traces = [f"node_{rank}.170000000000000000{rank}.pt.trace.json" for rank in range(2)]
    return [
        case("D1", "no steps", "info", without_steps(), "no_steps"),
        case(
            "D2", "steps overlap", "degraded", steps((0, 1200), (1000, 1200), (2000, 950)), "step_overlap", unchanged=()
        ),
        case("D2", "step in a step", "degraded", steps((0, 3900), (1000, 900)), "step_overlap"),
        case(
            "D2",
            "same number twice",
            "ok",
            steps((0, 950), (1000, 950), (2000, 950), (3000, 950), numbers=[5, 5, 5, 5]),
            unchanged=("steps", *HOST, *GPU),
        ),
        case(
            "D2",
            "numbers out of order",
            "ok",
            steps((0, 950), (1000, 950), (2000, 950), (3000, 950), numbers=[9, 2, 7, 1]),
            unchanged=("steps", *HOST, *GPU),
        ),
        case("D2", "gap between steps", "ok", steps((0, 950), (3000, 950))),
        case("D2", "step of no length", "ok", steps((0, 950), (1000, 0), (2000, 950))),
        case("D3", "last step cut", "info", training().step(START + 1000.0 * STEPS, 5.0), "short_step"),
        case("D3", "one step only", "ok", training(1)),
        case("D4", "one step ten times as long", "ok", steps((0, 950), (1000, 950), (2000, 950), (3000, 9500))),
        case("D5", "two ranks in a folder", "ok", folder(*traces), unchanged=("steps", *HOST, *GPU)),
        case("D5", "one rank twice", "degraded", ranks((0, 2), (0, 2)), "rank_conflict", unchanged=(*HOST, *GPU)),
        case("D5", "two world sizes", "degraded", ranks((0, 2), (1, 4)), "rank_conflict", unchanged=(*HOST, *GPU)),
        case("D5", "rank without distributedInfo", "ok", training(), unchanged=("*",)),
        case(
            "D6",
            "leftovers beside a trace",
            "ok",
            folder(traces[0], "a.pt.trace.json.tmp", "notes.txt", text="x"),
            unchanged=("steps", *HOST, *GPU),
        ),
        case(
            "D6",
            "nothing but leftovers",
            "bad",
            folder("a.pt.trace.json.tmp", "notes.txt", text="x"),
            says="no traces here",
        ),
        case("D6", "empty folder", "bad", folder(), says="no traces here"),
        case("E1", "more text than a block", "ok", training(120)),
        case("E2", "memory budget", "refused", training(), says="--max-memory", limits=Limits(max_memory=1000)),
        case("E4", "3 000 names, threads and streams", "ok", varied(3000)),
        case("E4", "400 steps", "ok", training(400)),
        case("E5", "50 000 operators in each other", "ok", deep(50_000)),
        case("E5", "30 000 operators in one", "ok", wide(30_000)),
        case("E5", "30 000 operators at one instant", "ok", wide(30_000, at_once=True)),
        case("E5", "30 000 open brackets in a string", "ok", training().op("[{" * 30_000, START + 1, 1.0)),
        # E3, Ctrl-C, is in test_corpus.py; so are D7 and A11.
    ]
