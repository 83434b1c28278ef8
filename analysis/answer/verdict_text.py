"""The verdict in sentences, with the run's own figures, for somebody who has never heard of CUDA streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stallscope.analysis.causes.case import WORTH
from stallscope.analysis.causes.facts import Facts, GpuFacts
from stallscope.analysis.replay.counterfactual import Replayed
from stallscope.analysis.stages.absent import ADVICE, TEXTS
from stallscope.analysis.stages.issues import DOUBT, REFUSE
from stallscope.analysis.units import count, microseconds, percent
from stallscope.traces.model.fields import NOT_ANALYSED

CUT: Final = 0.10  # share of the steps that were cut short from which averages over all of them mislead
LARGE: Final = 0.20  # share of the step from which one class gives the step its name
TOGETHER: Final = 1.2  # times the sum of what each saves alone: two causes that only count together
NO_MORE: Final = 0.01  # of the step: what a second cause adds to the first's saving and that is nothing
CLASSES: Final = {  # what could be free, as it reads in a sentence
    "host": "the CPU's own work",
    "sync": "waiting for the GPU",
    "input": "loading data",
    "copy": "copying between CPU and GPU",
    "communication": "exchanging data between GPUs",
    "compute": "the GPU's own work",
}


def text(facts: Facts, kind: str, replayed: Replayed | None, start: str = "") -> str:
    """What the step is bound by, what follows if that cost nothing, and how sure it is; ``start``: of its start-up."""
    if kind == "refused":
        return _refused(facts)
    forecast = replayed if replayed is not None and replayed.savings else None
    if kind == "start-up":
        said = f"This is the start of a run, and says little of its steps: {start[:1].lower()}{start[1:]}"
    elif kind.startswith("mixed") and forecast is not None:
        said = _mixed(facts, forecast)
    elif kind == "balanced" and forecast is not None:
        said = _none_alone(forecast)
    else:
        said = _account(facts, kind) + (_without(facts, forecast) if forecast is not None else "")
    return said if kind == "unknown" else said + _cut_steps(facts) + _doubt(facts, replayed)


def doubts(facts: Facts, replayed: Replayed | None) -> list[str]:
    """Why a verdict is of low confidence, as clauses; [] where it is not."""
    found, recording = [], facts.recording
    unexplained, orphans = recording.unexplained_share, recording.orphan_share
    if recording.lost_share > DOUBT:
        found.append(f"in {percent(recording.lost_share)} of the time GPU work was not recorded")
    if recording.cut_short:
        found.append("the file was cut short, and what is missing may be work of one kind")
    if replayed is not None:
        return found + [reason for reason in replayed.trust.reasons if replayed.trust.level != "ok"]
    if unexplained is not None and unexplained > DOUBT:
        found.append(f"{percent(unexplained)} of the time the CPU waited while no recorded GPU work ran")
    elif orphans is not None and orphans > REFUSE:
        found.append(f"{percent(orphans)} of the GPU work has no launch in the trace")
    return found


def _cut_steps(facts: Facts) -> str:
    """That figures per step are averages which take in steps that the recorder cut short, where they distort them."""
    steps, cut = facts.recording.steps, facts.recording.cut_steps
    if cut / steps < CUT:
        return ""
    did = "was cut short and holds" if cut == 1 else "were cut short and hold"
    return (
        f" {cut} of the {steps} recorded steps {did} next to nothing, so figures per step are up to "
        f"{percent(cut / steps)} below those of a whole step."
    )


def _doubt(facts: Facts, replayed: Replayed | None) -> str:
    found = doubts(facts, replayed)
    return f" Low confidence: {'; '.join(found)}." if found else ""


def _without(facts: Facts, replayed: Replayed) -> str:
    """The step if the class that saves most cost nothing."""
    name, step = replayed.ranked[0], facts.us(facts.window_ns)
    saved = replayed.savings[name]
    return (
        f" If {CLASSES[name]} cost nothing, {_subject(facts)} would take {microseconds(step * (1 - saved))} instead of "
        f"{microseconds(step)}, {percent(saved)} less."
    )


def _mixed(facts: Facts, replayed: Replayed) -> str:
    """Two causes: side by side, only together, or one that is enough."""
    first, second = replayed.ranked[0], replayed.second
    a, b, joint = replayed.savings[first], replayed.savings[second], replayed.joint
    one, other, step = CLASSES[first], CLASSES[second], _subject(facts)
    now = microseconds(facts.us(facts.window_ns))
    shorter = f"If {one} cost nothing, {step} of {now} would be {percent(a)} shorter; if"
    if joint > TOGETHER * (a + b):
        return (
            f"{_capital(one)} and {other} hold {step} up together. {shorter} {other} did, {percent(b)}; if both did, "
            f"{percent(joint)}. Change both: either alone only uncovers the other."
        )
    if joint <= a + NO_MORE:
        return (
            f"{_capital(one)} and {other} hold {step} up. {shorter} {other} did, {percent(b)}; if both did, "
            f"{percent(joint)}, no more than the first alone: without {one}, {other} holds nothing up."
        )
    return (
        f"Two things hold {step} up: {one} and {other}. {shorter} {other} did, {percent(b)}; if both did, "
        f"{percent(joint)}."
    )


def _none_alone(replayed: Replayed) -> str:
    named = [f"{CLASSES[name]} {percent(replayed.savings[name])}" for name in replayed.ranked[:3]]
    together = f"{CLASSES[replayed.ranked[0]]} and {CLASSES[replayed.second]} together"
    return (
        f"No single cause. If one thing cost nothing, so much would be saved: {'; '.join(named)}; {together} "
        f"{percent(replayed.joint)}."
    )


def _subject(facts: Facts) -> str:
    return "a step" if facts.recording.from_steps else "the trace"


def _refused(facts: Facts) -> str:
    recording = facts.recording
    if recording.refused:
        return "The trace is too damaged; see its issues."
    if recording.lost_share > REFUSE:
        return (
            f"In {percent(recording.lost_share)} of the time the recorder lost the GPU's work, so idle time there says "
            "nothing and no verdict is given."
        )
    if recording.unknown_share <= REFUSE and facts.device is not None:
        return (
            f"The GPU works {facts.part(facts.device.busy_ns)} of the time, and in {percent(recording.late_share)} it "
            "idles although work was launched that had not started: GPU records are missing, or another process held "
            "the GPU. So what holds it up is not known. Record again, alone on the GPU, fewer steps at a time."
        )
    works = "" if facts.device is None else f"The GPU works {facts.part(facts.device.busy_ns)} of the time at least. "
    return (
        f"{works}In {percent(recording.unexplained_share)} of the time the CPU waited for GPU work that the trace does "
        "not hold, so the shares may blame the wrong thing and no verdict is given. Record again, alone on the GPU, "
        "fewer steps at a time."
    )


def _account(facts: Facts, kind: str) -> str:
    """Where the step went."""
    absent = facts.recording.absent
    if absent is not None:
        return f"{TEXTS[absent]} {ADVICE[absent]}"
    if isinstance(facts, GpuFacts) and kind in _OF_A_GPU:
        return _OF_A_GPU[kind](facts)
    return {"unknown": _unknown, "cpu": _cpu, "input-bound": _cpu_input_bound}[kind](facts)


def _unknown(facts: Facts) -> str:
    if not facts.has_rows:
        return "The trace holds no operators, calls or GPU work whose times can be right."
    if facts.vendor in NOT_ANALYSED:
        return (
            f"The calls of {facts.vendor.upper()} devices are not understood yet, so nothing is known of the device; "
            "what the CPU did stands below."
        )
    if facts.vendor == "cpu":
        return (
            "The file was cut short before any GPU work in it, so whether this run used a GPU is not known. Record it "
            "again, or copy it again."
        )
    if facts.calls is None:
        if facts.device is None:
            return "Neither GPU work nor the calls that start it were recorded, so nothing is known of the GPU."
        works = f"The GPU works {facts.part(facts.device.busy_ns)} of the time."
        return f"The calls that start GPU work were not recorded. {works}"
    launches = count(facts.per_step(facts.calls.launches))
    return (
        f"{launches} launches were recorded in {facts.each} but not the kernels they started, or not with times that "
        "can be right, so nothing is known of the GPU."
    )


def _cpu(facts: Facts) -> str:
    """The parts of a step, that with most of it first where it is exchanging data."""
    exchanges, loads = facts.communication_ns, facts.input.dataloader_ns
    parts = [_operators(facts)] if facts.host.operators else []
    if facts.share(loads) >= WORTH:
        parts.append(f"{facts.part(loads)} in the DataLoader")
    if facts.share(exchanges) >= WORTH:
        first = exchanges > facts.host.operator_ns
        parts.insert(0 if first else 1, f"{facts.part(exchanges)} exchanging data between processes")
    if not facts.host.operators:
        whole = f"the {facts.step} of a step"
        if not parts:
            return f"This run used no GPU, and no operator was recorded in {whole}."
        return f"This run used no GPU. Of {whole} it spends {' and '.join(parts)}; outside it no operator was recorded."
    spent, what = ", ".join(parts), ("them", "both", "all of these")[len(parts) - 1]
    return (
        f"This run used no GPU. Of the {facts.step} of {facts.each} the CPU spends {spent}, and {_rest(facts, what)}."
    )


def _cpu_input_bound(facts: Facts) -> str:
    operators, loading = f"{_operators(facts)}, and " if facts.host.operators else "", facts.input.dataloader_ns
    return (
        f"Loading data is the limit, on a run without a GPU: {facts.time(loading)} of the {facts.step} of {facts.each} "
        f"({facts.part(loading)}) pass in the DataLoader. The CPU spends {operators}"
        f"{_rest(facts, 'both' if operators else 'it')}."
    )


def _operators(facts: Facts) -> str:
    """What a CPU run computes."""
    host = facts.host
    number, mean = count(facts.per_step(host.operators)), microseconds(host.operator_ns / host.operators / 1000)
    calls = f"{number} operator of {mean}" if number == "1" else f"{number} operators of {mean} each"
    return f"{facts.part(min(host.operator_ns, facts.window_ns))} in {calls}"


def _rest(facts: Facts, what: str) -> str:
    return f"{facts.part(facts.rest_ns)} outside {what}: Python, and whatever was not recorded"


def _launch_bound(facts: GpuFacts) -> str:
    return (
        f"{_capital(facts.each)} starts {_kernels(facts)}; preparing and starting them takes the CPU "
        f"{facts.time(facts.working_host_ns)}, so the GPU works {facts.part(facts.device.busy_ns)} of the time and "
        "waits for the CPU the rest."
    )


def _host_bound(facts: GpuFacts) -> str:
    if facts.calls.capturing:
        return (
            f"A CUDA graph is being captured: of the {facts.step} the GPU works {facts.part(facts.device.busy_ns)}, "
            "since launches that are captured start nothing. This is set-up, not a step."
        )
    return (
        f"The CPU is the limit: it works {facts.time(facts.working_host_ns)} of the {facts.step} of {facts.each}, in "
        f"which it starts {_kernels(facts)}, and the GPU idles {facts.part(facts.idle_ns)} of the time because no work "
        "has reached it."
    )


def _sync_bound(facts: GpuFacts) -> str:
    stall_ns, waits, memory_ns = facts.calls.stall_ns, facts.calls.waits, facts.calls.memory_ns
    if memory_ns > stall_ns:
        return (
            f"The CPU stands still in calls that get and free the GPU's memory, {facts.time(memory_ns)} of the "
            f"{facts.step} of {facts.each} ({facts.part(memory_ns)}), and the GPU idles {facts.part(facts.idle_ns)} of "
            "the time."
        )
    where = f", most of it in {waits[0].most.operator or waits[0].most.api}" if waits else ""
    return (
        f"CPU and GPU take turns: in {facts.part(stall_ns)} of {facts.each} the CPU stands still and waits for the "
        f"GPU ({facts.time(stall_ns)}{where}); afterwards the GPU idles, {facts.part(facts.idle_ns)} of the time, "
        "until the CPU has started new work."
    )


def _input_bound(facts: GpuFacts) -> str:
    loading = facts.device.input_ns
    return (
        f"The GPU waits for data: {facts.time(loading)} of the {facts.step} of {facts.each} ({facts.part(loading)}) "
        "pass in the DataLoader while the GPU does nothing."
    )


def _copy_bound(facts: GpuFacts) -> str:
    copying, copies = facts.device.copy_ns, facts.device.copies
    most = f", mostly {copies[0].direction} ({copies[0].memory} memory)" if copies else ""
    return (
        f"The GPU spends {facts.part(copying)} of {facts.each} ({facts.time(copying)}) moving data while it computes "
        f"nothing{most}."
    )


def _communication_bound(facts: GpuFacts) -> str:
    exchanging = facts.communication_ns
    return (
        f"In {facts.part(exchanging)} of {facts.each} ({facts.time(exchanging)}) the GPU only exchanges data with "
        "other GPUs, or waits for them, and computes nothing."
    )


def _compute_bound(facts: GpuFacts) -> str:
    return (
        f"The GPU is the limit: it works {facts.part(facts.device.busy_ns)} of the {facts.step} of {facts.each}, in "
        f"{_kernels(facts)}. Only less or faster GPU work helps."
    )


def _balanced(facts: GpuFacts) -> str:
    return (
        f"No single cause: the GPU works {facts.part(facts.device.busy_ns)} of {facts.each}, and no other part holds "
        f"{percent(LARGE)} (CPU work {facts.part(facts.host_ns)}, waits {facts.part(facts.sync_ns)}, DataLoader "
        f"{facts.part(facts.device.input_ns)})."
    )


def _kernels(facts: GpuFacts) -> str:
    """``19 kernels of 1.60 µs``; where none ran, ``no kernel``."""
    graphs, number = facts.calls.graph_launches, facts.per_step(facts.device.kernels)
    launched = f" (with {count(facts.per_step(graphs))} graph launches)" if graphs else ""
    if facts.device.mean_kernel_us is None:
        return f"no kernel{launched}"
    kernels = "kernel" if number == 1 else "kernels"
    return f"{count(number)} {kernels} of {microseconds(facts.device.mean_kernel_us)}{launched}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


_OF_A_GPU: Final[dict[str, Callable[[GpuFacts], str]]] = {
    "launch-bound": _launch_bound,
    "host-bound": _host_bound,
    "sync-bound": _sync_bound,
    "input-bound": _input_bound,
    "copy-bound": _copy_bound,
    "communication-bound": _communication_bound,
    "compute-bound": _compute_bound,
    "balanced": _balanced,
}
