"""The lines that open a report: which trace, which machine, which steps. Plain strings, names still raw."""

from __future__ import annotations

import re
from typing import Final

from stallscope.analysis.contract.flops import Flops
from stallscope.analysis.contract.run import WholeRun
from stallscope.analysis.contract.summary import GpuInfo, IssueInfo, Memory, Summary
from stallscope.analysis.fill.ranks import rank_spread
from stallscope.analysis.stages.gpu.room import ROOM
from stallscope.analysis.units import microseconds, operations, percent, quantity, times_as_large

SIMULATED = "SIMULATED: no GPU made this trace; its times come from a model of one"
MOST_RANKS = 8  # told by number

_SAVINGS = (
    ("host", "CPU work"),
    ("sync", "waiting"),
    ("input", "loading data"),
    ("copy", "copies"),
    ("communication", "communication"),
    ("compute", "GPU work"),
)
UNSEEN = 0.97  # a factor above this may come from the drift between two windows
PART: Final = 0.02  # of a whole run, from which a part of it is worth a word
MOST_PARTS: Final = 5
OF_THE_SCRIPT: Final = ("training", "start-up", "recording")  # parts that no single line explains
FEW = 2  # steps, of which no middle can be told
MOST_INFLATION = 4.0  # by which a step was ever made longer by recording alone
USUAL_INFLATION = 2.0  # stacks and shapes included; beyond it steps of widely differing lengths were disturbed
MOST_SHAPES: Final = 0.8  # of the time of products and the like whose shapes are known, from which it is a figure
MOST_HOLDERS: Final = 4
SCATTER = 3.0  # the slowest tenth of the steps ÷ the quickest
SKEWED: Final = 0.02  # of the step, by which others change the mean, and from which that is worth a word
_SOURCES: Final = {
    "optimizer": ", told by the optimizer",
    "dataloader": ", told by what the DataLoader fetches",
    "annotation": ", told by a range that comes back",
}

_HEADLINES: Final = {
    "launch-bound": "The GPU waits for the CPU to start kernels",
    "host-bound": "The GPU waits for the CPU's own work",
    "sync-bound": "The CPU and the GPU wait for each other in turn",
    "input-bound": "The GPU waits for data",
    "copy-bound": "Copying data takes the time",
    "communication-bound": "The GPUs wait for each other's data",
    "compute-bound": "The GPU is busy: its own work takes the time",
    "start-up": "This is start-up: the first calls take the time",
    "cpu": "No GPU was used",
    "balanced": "No single cause stands out",
    "refused": "The trace does not tell what holds the step up",
    "unknown": "The trace does not tell what the GPU did",
}
_TOGETHER: Final = {
    "host": "the CPU's own work",
    "sync": "waiting for the GPU",
    "input": "loading data",
    "copy": "copies",
    "communication": "exchanging data between GPUs",
    "compute": "the GPU's own work",
}
_MIXED: Final = re.compile(r"mixed\((\w+), (\w+)\)$")


def headline(summary: Summary) -> str:
    """The answer in words: ``The GPU waits for the CPU to start kernels``."""
    kind = summary.verdict.kind
    if kind == "input-bound" and summary.trace.vendor == "cpu":
        return "Loading data takes the time; no GPU was used"
    mixed = _MIXED.match(kind)
    if mixed:
        first, second = (_TOGETHER.get(name, name) for name in mixed.groups())
        return f"Two things together take the time: {first} and {second}"
    return _HEADLINES.get(kind, kind)


def answer(summary: Summary) -> str:
    """The headline and the name of the verdict: ``The GPU waits for data (input-bound)``."""
    return f"{headline(summary)} ({summary.verdict.kind})"


def how(summary: Summary) -> str | None:
    """How the verdict was found; None where there is none."""
    verdict = summary.verdict
    if verdict.kind in ("refused", "unknown"):
        return None
    if verdict.confidence == "rule":
        return "(A rule of thumb from shares of the time, not a forecast of what a change would save.)"
    saved = [(name, getattr(verdict.savings, key)) for key, name in _SAVINGS]
    listed = ", ".join(f"{name} {percent(share)}" for name, share in saved if share is not None)
    return f"(Replayed with one thing at a time costing nothing. It would save: {listed}. Times are the profiled ones.)"


def header(summary: Summary) -> list[tuple[str, str]]:
    """(label, value) pairs."""
    lines = [("Simulated", SIMULATED)] if summary.trace.simulated else []
    lines += [("GPU", _gpu(gpu)) for gpu in _gpus(summary)]
    lines += [("CPU", _cpu(summary))] if summary.machine.cpu else []
    lines += [("GPU shared", ", ".join(summary.machine.others_on_gpu))] if summary.machine.others_on_gpu else []
    lines += [("Ranks", ranks(summary))] if summary.ranks else []
    lines += [("Trace", _trace(summary)), ("Steps", _steps(summary))]
    unprofiled = summary.steps.unprofiled_us
    if unprofiled:
        left_out = f" ({unprofiled.left_out} more, which held an evaluation, left out)" if unprofiled.left_out else ""
        over = f"over {_some(unprofiled.steps, 'step')}{left_out}"
        lines.append(("Unprofiled", f"{microseconds(unprofiled.mean)} a step {over}{_inflation(summary)}"))
    lines += [("Whole run", whole_run(summary.run))] if summary.run is not None else []
    lines += [("True times", true_times(summary))] if true_times(summary) else []
    return lines + [("Periodic", text) for text in periodic(summary)]


def whole_run(run: WholeRun) -> str:
    """Where the run's time went, the parts worth a word, each with its first line: ``evaluation 37 % (train.py:9)``."""
    told = []
    for part in [each for each in run.parts if each.share >= PART and each.name != "not seen"][:MOST_PARTS]:
        where = f" ({part.lines[0].line})" if part.lines and part.name not in OF_THE_SCRIPT else ""
        told.append(f"{part.name} {percent(part.share)}{where}")
    return f"{microseconds(run.seconds * 1e6)} from first statement to end: {', '.join(told)}"


def true_times(summary: Summary) -> str:
    """How far the figures below are from the truth, in one sentence; "" where that is not known, or not worth one."""
    scaled = summary.scaled
    if scaled is None or scaled.factor > UNSEEN:
        return ""
    if summary.trace.vendor == "cpu":
        return f"all times below are as recorded; without the profiler they are about {scaled.factor:.2f} times as long"
    idle = ""
    if scaled.gpu_idle_us is not None:
        share = percent(scaled.gpu_idle_us / scaled.step_us) if scaled.step_us else "-"
        idle = f", and the GPU idles {microseconds(scaled.gpu_idle_us)} ({share}) of each step"
    return (
        f"all times below are as recorded; without the profiler the CPU's are about {scaled.factor:.2f} times as long, "
        f"the GPU's the same{idle}"
    )


def periodic(summary: Summary) -> list[str]:
    """What happens only every so many steps, a sentence each."""
    queued = "" if summary.trace.vendor == "cpu" else "; part of it may be waiting for work of the steps before"
    found = []
    for each in summary.steps.periodic:
        what = "an evaluation" if each.evaluation else "one"
        found.append(
            f"every {each.period} steps {what} takes {microseconds(each.extra_us)} longer ({each.occurrences} seen), "
            f"{percent(each.share)} of the time of all steps{queued}"
        )
    return found


def ranks(summary: Summary) -> str:
    """Whose figures these are, which other ranks there are, and how far their step times are apart."""
    own, world = summary.trace.rank, summary.trace.world_size
    others = [row.rank for row in summary.ranks if row.rank is not None and row.rank != own]
    missing = 0 if world is None else world - len(summary.ranks)
    told = f"this is rank {own}; of the others ({_numbers(others)}) see one with --rank {others[0]}"
    told += f"; {missing} of {world} left nothing" if missing > 0 else ""
    killed = [row.rank for row in summary.ranks if row.complete is False and row.rank is not None]
    told += f"; not written to the end: {_numbers(killed)}" if killed else ""
    return f"{told}. {_spread(summary)}".rstrip()


def _spread(summary: Summary) -> str:
    spread = rank_spread(summary.ranks)
    if spread is None:
        return ""
    slow, fast = spread.slowest, spread.fastest
    slowest, fastest = (slow.step_us, fast.step_us) if spread.profiled else (slow.unprofiled_us, fast.unprofiled_us)
    how = "under the profiler" if spread.profiled else "without the profiler"
    return (
        f"Slowest {how}: rank {slow.rank}, {microseconds(slowest)} a step; fastest: rank {fast.rank}, "
        f"{microseconds(fastest)} (spread {percent(spread.share)}). Ranks that wait for each other take equally long"
    )


def _numbers(found: list[int]) -> str:
    """Return ``rank 1``, ``ranks 1, 3``, or of a row without gaps ``ranks 1 to 7``."""
    if len(found) == 1:
        return f"rank {found[0]}"
    if len(found) > 3 and found == list(range(found[0], found[-1] + 1)):  # noqa: PLR2004 - a few are told one by one
        return f"ranks {found[0]} to {found[-1]}"
    return f"ranks {', '.join(map(str, found[:MOST_RANKS]))}{' …' if len(found) > MOST_RANKS else ''}"


def extent(issue: IssueInfo) -> str:
    """How much of the trace an issue is about, in brackets: ``" (12 times, 3 %)"``; empty where once says it all."""
    told = [f"{issue.count} times"] if issue.count > 1 else []
    told += [percent(issue.share)] if issue.share is not None else []
    return f" ({', '.join(told)})" if told else ""


def extras(summary: Summary) -> list[str]:
    """Utilization and memory in a line each, where known."""
    filling, memory = summary.utilization, summary.memory
    found = []
    if filling.est_sm_efficiency is not None:
        occupancy = (
            ""
            if not filling.est_occupancy  # Kineto writes 0 for kernels of which it does not know
            else f"; each filled with threads to {percent(filling.est_occupancy / 100)} (achieved occupancy)"
        )
        found.append(
            f"GPU processors (SMs) in use, on average over the step, estimated: {percent(filling.est_sm_efficiency)}"
            f"{occupancy}"
        )
    if summary.flops is not None and summary.flops.known_share > MOST_SHAPES:
        found.append(_arithmetic(summary.flops))
    if memory.peak_allocated is not None or memory.peak_reserved is not None:
        total = "" if memory.total is None else f", of {quantity(memory.total)}"
        found.append(
            f"GPU memory at its peak: {quantity(memory.peak_allocated)} in use, {quantity(memory.peak_reserved)} "
            f"reserved{total}{_room(memory)}"
        )
    if memory.held_at_peak:
        held = ", ".join(f"{quantity(each.bytes)} {_by(each.what)}" for each in memory.held_at_peak[:MOST_HOLDERS])
        found.append(f"What held most of it then: {held}")
    if memory.alloc_retries or memory.ooms:
        found.append(
            f"GPU memory ran short: {memory.alloc_retries or 0} retries, {memory.ooms or 0} out-of-memory errors"
        )
    return found


def _arithmetic(flops: Flops) -> str:
    """How much a step asks for, how fast that is, and what the card could do."""
    asked = (
        f"Products, convolutions, attention: {operations(flops.per_step)} a step, {operations(flops.tflops * 1e12)}/s"
    )
    if flops.peak_share is None or flops.kernel_peak_share is None:
        return asked
    return (
        f"{asked}: {percent(flops.peak_share)} of what the GPU can do at most; {percent(flops.kernel_peak_share)} "
        f"while these kernels run ({flops.peak_source}, without sparsity)"
    )


def _room(memory: Memory) -> str:
    """How much larger a batch would fit, with what is taken for granted."""
    low, high = memory.larger_batch_low, memory.larger_batch_high
    if low is None or high is None:
        return ""
    if high < ROOM:
        return "; no larger batch fits"
    return (
        f"; a batch {times_as_large(low, high)} as large would fit, if 90 % may be filled and no other process needs "
        "memory"
    )


def _by(what: str) -> str:
    return what if " " in what else f"by {what}"


def _gpus(summary: Summary) -> list[GpuInfo]:
    """The GPUs that worked, each kind once; all where the trace does not say which."""
    if summary.trace.vendor == "cpu":
        return []
    used = [gpu for gpu in summary.machine.gpus if gpu.name in summary.trace.devices] or summary.machine.gpus
    return list({gpu.name: gpu for gpu in used}.values())


def _gpu(gpu: GpuInfo) -> str:
    facts = [
        gpu.architecture,
        f"{gpu.sms} {'compute units' if 'AMD' in gpu.name else 'SMs'}" if gpu.sms else None,
        quantity(gpu.memory_bytes) if gpu.memory_bytes else None,
        f"{gpu.driver_model} driver" if gpu.driver_model else None,
    ]
    told = ", ".join(fact for fact in facts if fact)
    name = gpu.name or "(name not recorded)"
    return f"{name} ({told})" if told else name


def _cpu(summary: Summary) -> str:
    machine = summary.machine
    facts = [
        machine.cpu,
        _some(machine.cores, "core") if machine.cores else None,
        _some(machine.threads, "thread") if machine.threads else None,
        f"torch {machine.torch}" if machine.torch else None,
    ]
    return ", ".join(fact for fact in facts if fact)


def _some(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _trace(summary: Summary) -> str:
    trace = summary.trace
    rank = f", rank {trace.rank}" if trace.rank is not None and (trace.world_size or 0) > 1 else ""
    world = f" of {trace.world_size}" if rank else ""
    return f"{trace.path} ({trace.events} events{rank}{world})"


def _steps(summary: Summary) -> str:
    steps, wall = summary.steps, summary.steps.wall_us
    if steps.source == "whole_trace":
        return f"none marked: the whole trace, {microseconds(steps.window_us)}, counts as one"
    marked = _SOURCES.get(steps.source, "")
    if steps.run_ahead:
        return (
            f"{_some(steps.count, 'step')} of {microseconds(steps.time_us)}{marked}: the CPU is through with one after "
            f"{microseconds(wall.mean)} and runs ahead, the GPU's work for it takes longer"
        )
    if steps.count == 1:
        return f"1 step of {microseconds(steps.time_us)}{marked}"
    marked += made_of(summary)
    spread = f", middle 80 % from {microseconds(wall.p10)} to {microseconds(wall.p90)}"
    spread = spread if len(wall.samples) > FEW else ""
    of_these = f" (without {steps.left_out} that held an evaluation)" if steps.left_out else ""
    return f"{steps.count} steps of {microseconds(steps.time_us)}{marked}{spread}{of_these}{_others(summary)}"


def made_of(summary: Summary) -> str:
    """What one step is, where it is more than one step of one optimizer: `` (one step = 5 of oD, 1 of oG)``."""
    parts = summary.steps.made_of
    return f" (one step = {', '.join(f'{part.count} of {part.name}' for part in parts)})" if parts else ""


def _others(summary: Summary) -> str:
    """What the steps that do not count cost, where they cost anything worth a word."""
    steps = summary.steps
    left = 0 if steps.counted is None else steps.count - steps.counted - steps.left_out
    if left <= 0:
        return ""
    mean = steps.window_us / steps.count
    more = f"; with them a step takes {microseconds(mean)} on average" if mean > (1 + SKEWED) * steps.time_us else ""
    are = "is not like the others and does" if left == 1 else "are not like the others and do"
    return f"; {left} of them {are} not count{more}"


def _inflation(summary: Summary) -> str:
    inflation = summary.steps.inflation
    if inflation is None:
        return ""
    if inflation < 1.0:  # recording cannot make a step faster: the two windows did not see the same
        return f"; no slowdown by recording visible (the windows differ by {percent(1 - inflation)})"
    if inflation > MOST_INFLATION or (inflation > USUAL_INFLATION and _scattered(summary)):
        return (
            f"; the recorded steps took {inflation:.3g} times as long, more than recording explains: the machine was "
            "probably busy with other things during one of the two windows, so record again on an idle one"
        )
    return f"; recording made it {inflation:.2f} times as long"


def _scattered(summary: Summary) -> bool:
    """Whether the recorded steps differ so widely that their mean says little."""
    wall = summary.steps.wall_us
    return wall.p90 > SCATTER * wall.p10
