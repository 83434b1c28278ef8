"""What a recording holds: stacks, shapes, marks of steps, rows of waits, how many steps, and whose clock is off."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tests.evidence.simulator.faults.fault import Fault
from tests.evidence.simulator.faults.plan import Plan, process
from tests.evidence.simulator.kineto import Style, trace_bytes

FIRST = 6  # the number of the first recorded step: four settle, two warm up
FEWEST, MOST = 2_500, 16_000  # events, about


@dataclass(frozen=True, slots=True)
class Recording:
    """How a run was recorded. ``opened`` False: work of earlier steps is carried into the record."""

    steps: int
    stacks: bool
    shapes: bool
    marks: bool
    sync_rows: bool
    opened: bool
    shift_ns: int


def recording(made: random.Random, fault: Fault, rows: float) -> Recording:
    """A recording of a run whose steps have about ``rows`` rows; some show less than others, each in its own way."""
    most = max(3, min(fault.steps[1], int(MOST / rows)))
    steps = made.randint(min(max(fault.steps[0], int(FEWEST / rows)), most), most)
    return Recording(
        steps=steps,
        stacks=fault.stacks or made.random() < 0.4,
        shapes=made.random() < 0.4,
        marks=made.random() < 0.8,
        sync_rows=made.random() < 0.5,
        opened=made.random() < 0.6,
        shift_ns=made.choice((-1, 1)) * made.randint(100_000, 400_000) if made.random() < 0.06 else 0,
    )


def recorded(plan: Plan, fault: Fault, how: Recording, seed: str) -> bytes:
    """The trace of the plan's run."""
    run = process(plan, seed)
    run.host.stacks, run.host.marks = how.stacks, how.marks
    return trace_bytes(run.record(how.steps, opened=how.opened), style=style(plan, fault, how))


def style(plan: Plan, fault: Fault, how: Recording) -> Style:
    """The file's dialect: the card's properties, and what was asked of the profiler."""
    card = plan.card
    device = {
        "name": card.name, "numSms": card.sms, "totalGlobalMem": card.memory, "warpSize": 64 if card.rocm else 32,
    }  # fmt: skip
    flags = {"record_shapes": how.shapes, "with_stack": how.stacks}
    head: dict[str, Any] = {name: 1 for name, wanted in flags.items() if wanted}
    if fault.world:
        groups = [{"pg_name": "0", "pg_desc": "default_pg", "backend_config": "cuda:nccl", "pg_size": fault.world}]
        head["distributedInfo"] = {
            "backend": "nccl", "rank": 0, "world_size": fault.world, "pg_count": 1, "pg_config": groups,
        }  # fmt: skip
    return Style(
        device=device, devices=fault.devices, rocm=card.rocm, sync_rows=how.sync_rows and not how.shift_ns,
        shapes=how.shapes, shift_ns=how.shift_ns, head=head,
    )  # fmt: skip
