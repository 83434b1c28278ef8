"""The verdict in sentences, with the run's own figures, for somebody who has never heard of CUDA streams."""

from __future__ import annotations

from typing import Final

from stallscope.analysis.causes import advice
from stallscope.analysis.causes.facts import Facts
from stallscope.analysis.replay.counterfactual import Replayed
from stallscope.analysis.units import count, microseconds, percent

REFUSE: Final = 0.10  # share of the window in waits that nothing recorded explains, or without device rows
DOUBT: Final = 0.02
CUT: Final = 0.10  # share of the steps that were cut short from which averages over all of them mislead
LARGE: Final = 0.20  # share of the step from which one class gives the step its name
TOGETHER: Final = 1.2  # times the sum of what each saves alone: two causes that only count together
NO_MORE: Final = 0.01  # of the step: what a second cause adds to the first's saving and that is nothing
BEHIND: Final = 1.05  # times the step on the host: the GPU takes longer for its work than the host to ask for it
CLASSES: Final = {  # what could be free, as it reads in a sentence
    "host": "the CPU's own work",
    "sync": "waiting for the GPU",
    "input": "loading data",
    "copy": "copying between CPU and GPU",
    "communication": "exchanging data between GPUs",
    "compute": "the GPU's own work",
}


def text(facts: Facts, kind: str, replayed: Replayed | None) -> str:
    """What the step is bound by, what follows if that cost nothing, and how sure it is."""
    if kind == "refused":
        return _refused(facts, replayed)
    forecast = replayed if replayed is not None and replayed.savings else None
    if kind.startswith("mixed") and forecast is not None:
        said = _mixed(facts, forecast)
    elif kind == "balanced" and forecast is not None:
        said = _none_alone(forecast)
    else:
        said = _TEXTS[kind](facts) + (_without(facts, forecast) if forecast is not None else "")
    return said if kind == "unknown" else said + _cut_steps(facts) + _doubt(facts, replayed)


def doubts(facts: Facts, replayed: Replayed | None) -> list[str]:
    """Why a verdict is of low confidence, as clauses; [] where it is not."""
    found = []
    if facts.lost_share > DOUBT:
        found.append(f"in {percent(facts.lost_share)} of the time GPU work was not recorded")
    if facts.cut_short:
        found.append("the file was cut short, and what is missing may be work of one kind")
    if replayed is not None:
        return found + [each for each in replayed.trust.reasons if replayed.trust.level != "ok"]
    if facts.unexplained_share > DOUBT:
        share = percent(facts.unexplained_share)
        found.append(f"{share} of the time the CPU waited while no recorded GPU work ran")
    elif facts.orphan_share > REFUSE:
        found.append(f"{percent(facts.orphan_share)} of the GPU work has no launch in the trace")
    return found


def _cut_steps(facts: Facts) -> str:
    """That figures per step are averages which take in steps that the recorder cut short, where they distort them."""
    if facts.steps <= 0 or facts.cut_steps / facts.steps < CUT:
        return ""
    did = "was cut short and holds" if facts.cut_steps == 1 else "were cut short and hold"
    return (
        f" {facts.cut_steps} of the {facts.steps} recorded steps {did} next to nothing, so figures per step are up to "
        f"{percent(facts.cut_steps / facts.steps)} below those of a whole step."
    )


def _doubt(facts: Facts, replayed: Replayed | None) -> str:
    found = doubts(facts, replayed)
    return f" Low confidence: {'; '.join(found)}." if found else ""


def _without(facts: Facts, replayed: Replayed) -> str:
    """The step if the class that saves most cost nothing."""
    name = replayed.ranked[0]
    behind = ""
    if replayed.step_us > BEHIND * facts.step_us:
        behind = " (when the recorded steps ended on the CPU, the GPU was behind)"
    return (
        f" If {CLASSES[name]} cost nothing, {_subject(facts)} would take {microseconds(replayed.without_us(name))} "
        f"instead of {microseconds(replayed.step_us)}{behind}, {percent(replayed.savings[name])} less."
    )


def _mixed(facts: Facts, replayed: Replayed) -> str:
    """Two causes: side by side, only together, or one that is enough."""
    first, second = replayed.ranked[0], replayed.second
    a, b, joint = replayed.savings[first], replayed.savings[second], replayed.joint
    one, other, step = CLASSES[first], CLASSES[second], _subject(facts)
    shorter = f"If {one} cost nothing, {step} of {microseconds(replayed.step_us)} would be {percent(a)} shorter; if"
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
    return "a step" if facts.from_steps else "the trace"


def _refused(facts: Facts, replayed: Replayed | None) -> str:
    if facts.refused:
        return "The trace is too damaged; see its issues."
    if facts.lost_share <= REFUSE and replayed is not None and replayed.trust.too_little_known:
        why = "; ".join(replayed.trust.reasons)
        return f"{_capital(why)}: any verdict might blame the wrong thing, so none is given."
    if facts.lost_share > REFUSE:
        return (
            f"In {percent(facts.lost_share)} of the time the recorder lost the GPU's work, so idle time there says "
            "nothing and no verdict is given."
        )
    return (
        f"In {percent(facts.unexplained_share)} of the time the CPU waited for GPU work that the trace "
        "does not hold, so the shares may blame the wrong thing and no verdict is given."
    )


def _unknown(facts: Facts) -> str:
    if not facts.has_rows:
        return "The trace holds no operators, calls or GPU work."
    if facts.vendor in ("mtia", "xpu"):
        return f"The calls of {facts.vendor.upper()} devices are not understood yet."
    if facts.vendor == "cpu":
        return (
            "The file was cut short before any GPU work in it, so whether this run used a GPU is not known. Record it "
            "again, or copy it again."
        )
    if not facts.launches_known:
        return (
            "The calls that start GPU work were not recorded. The GPU works "
            f"{percent(facts.share(facts.busy_us))} of the time."
        )
    return (
        f"{count(facts.launches)} launches were recorded in {facts.each} but not the kernels they "
        "started, or not with times that can be right, so nothing is known of the GPU."
    )


def _cpu(facts: Facts) -> str:
    """The parts of a step, that with most of it first where it is exchanging data."""
    exchanges = facts.communication_us if facts.share(facts.communication_us) >= advice.WORTH else 0.0
    loads = facts.dataloader_us if facts.share(facts.dataloader_us) >= advice.WORTH else 0.0
    parts = [_operators(facts)] if facts.operators else []
    parts += [f"{percent(facts.share(loads))} in the DataLoader"] if loads else []
    if exchanges:
        first = exchanges > facts.operator_us
        parts.insert(0 if first else 1, f"{percent(facts.share(exchanges))} exchanging data between processes")
    if not facts.operators:
        whole = f"the {microseconds(facts.step_us)} of a step"
        if not parts:
            return f"This run used no GPU, and no operator was recorded in {whole}."
        return f"This run used no GPU. Of {whole} it spends {' and '.join(parts)}; outside it no operator was recorded."
    what = ("them", "both", "all of these")[len(parts) - 1]
    return (
        f"This run used no GPU. Of the {microseconds(facts.step_us)} of {facts.each} the CPU spends "
        f"{', '.join(parts)}, and {_rest(facts, what)}."
    )


def _cpu_input_bound(facts: Facts) -> str:
    operators = f"{_operators(facts)}, and " if facts.operators else ""
    return (
        f"Loading data is the limit, on a run without a GPU: {microseconds(facts.dataloader_us)} of the "
        f"{microseconds(facts.step_us)} of {facts.each} ({percent(facts.share(facts.dataloader_us))}) pass in the "
        f"DataLoader. The CPU spends {operators}{_rest(facts, 'both' if operators else 'it')}."
    )


def _operators(facts: Facts) -> str:
    """What a CPU run computes."""
    number, mean = count(facts.operators), microseconds(facts.operator_us / facts.operators)
    each = f"{number} operator of {mean}" if number == "1" else f"{number} operators of {mean} each"
    return f"{percent(facts.share(min(facts.operator_us, facts.step_us)))} in {each}"


def _rest(facts: Facts, what: str) -> str:
    return f"{percent(facts.share(facts.rest_us))} outside {what}: Python, and whatever was not recorded"


def _launch_bound(facts: Facts) -> str:
    return (
        f"{_capital(facts.each)} starts {_kernels(facts)}; preparing and starting them takes the CPU "
        f"{microseconds(facts.working_host_us)}, so the GPU works {percent(facts.share(facts.busy_us))} of the time "
        "and waits for the CPU the rest."
    )


def _host_bound(facts: Facts) -> str:
    return (
        f"The CPU is the limit: preparing and starting {_kernels(facts)} takes it "
        f"{microseconds(facts.working_host_us)} of the {microseconds(facts.step_us)} of {facts.each}, and the GPU "
        f"idles {percent(facts.share(facts.idle_us))} of the time because no work has reached it."
    )


def _sync_bound(facts: Facts) -> str:
    top = facts.sites[0] if facts.sites else None
    where = f", most of it in {top.operator or top.api}" if top else ""
    return (
        f"CPU and GPU take turns: in {percent(facts.share(facts.stall_us))} of {facts.each} the CPU stands still and "
        f"waits for the GPU ({microseconds(facts.stall_us)}{where}); afterwards the GPU idles, "
        f"{percent(facts.share(facts.idle_us))} of the time, until the CPU has started new work."
    )


def _input_bound(facts: Facts) -> str:
    if facts.vendor == "cpu":
        return _cpu_input_bound(facts)
    return (
        f"The GPU waits for data: {microseconds(facts.input_us)} of the {microseconds(facts.step_us)} of {facts.each} "
        f"({percent(facts.share(facts.input_us))}) pass in the DataLoader while the GPU does nothing."
    )


def _copy_bound(facts: Facts) -> str:
    top = facts.copies[0] if facts.copies else None
    most = f", mostly {top.direction} ({top.memory} memory)" if top else ""
    return (
        f"The GPU spends {percent(facts.share(facts.copy_us))} of {facts.each} ({microseconds(facts.copy_us)}) "
        f"moving data while it computes nothing{most}."
    )


def _communication_bound(facts: Facts) -> str:
    return (
        f"In {percent(facts.share(facts.communication_us))} of {facts.each} ({microseconds(facts.communication_us)}) "
        "the GPU only exchanges data with other GPUs, or waits for them, and computes nothing."
    )


def _compute_bound(facts: Facts) -> str:
    return (
        f"The GPU is the limit: it works {percent(facts.share(facts.busy_us))} of the "
        f"{microseconds(facts.step_us)} of {facts.each}, in {_kernels(facts)}. Only less or faster GPU work helps."
    )


def _balanced(facts: Facts) -> str:
    return (
        f"No single cause: the GPU works {percent(facts.share(facts.busy_us))} of {facts.each}, and no other part "
        f"holds {percent(LARGE)} (CPU work {percent(facts.share(facts.host_us))}, waits "
        f"{percent(facts.share(facts.sync_us))}, DataLoader {percent(facts.share(facts.input_us))})."
    )


def _kernels(facts: Facts) -> str:
    graphs = f" (with {count(facts.graph_launches)} graph launches)" if facts.graph_launches else ""
    kernels = "kernel" if facts.kernels == 1 else "kernels"
    return f"{count(facts.kernels)} {kernels} of {microseconds(facts.mean_kernel_us)}{graphs}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


_TEXTS = {
    "unknown": _unknown,
    "cpu": _cpu,
    "launch-bound": _launch_bound,
    "host-bound": _host_bound,
    "sync-bound": _sync_bound,
    "input-bound": _input_bound,
    "copy-bound": _copy_bound,
    "communication-bound": _communication_bound,
    "compute-bound": _compute_bound,
    "balanced": _balanced,
}
