"""Stage 9: what the step is bound by, by rule from plain shares of its time.

1. No device: *input-bound* where the DataLoader holds 20 % of the step and more than the operators outside it, else
   *cpu*. Device work not recorded: *unknown*. Figures that contradict themselves: *refused*.
2. GPU busy for 80 % of the step or more: the GPU is the limit. *communication-bound* or *copy-bound* where that
   class alone (nothing else running on the GPU) holds 20 % of the step, else *compute-bound*.
3. Otherwise the largest of these decides, from 20 % of the step on: the DataLoader while the GPU idles
   (*input-bound*), waits (*sync-bound*), copies, communication, the rest of the GPU's idle time (*host-bound*). Below
   20 %: *balanced*.
4. host-bound is called *launch-bound* when the GPU is mostly idle, there are five launches or more, and the GPU work of
   a launch is shorter than the host's time for it; that time must not pass 300 µs, for launching costs some 5 to 250 µs
   (profiler, Python and autograd included) and what takes longer is other work.

These are shares, not savings: a wait that is removed may only move. The replay that weighs this replaces the rule.
"""

from __future__ import annotations

from stallscope.analysis import advice
from stallscope.analysis.contract import Savings, Verdict
from stallscope.analysis.facts import Facts
from stallscope.analysis.units import count, microseconds, percent

GPU_BOUND = 0.80  # GPU busy share of the step from which the GPU is the limit
LARGE = 0.20  # share of the step from which one class gives the step its name
REFUSE = 0.10  # share of the window in waits that nothing recorded explains
DOUBT = 0.02
FEW_LAUNCHES = 5  # below this a step is not launch-bound, whatever its kernels
LAUNCH_COST_US = 300.0  # host time per launch above which it is not launching that takes the time
MOSTLY = 0.5


def judge(facts: Facts) -> Verdict:
    """The verdict of one step."""
    kind = _kind(facts)
    abstains = kind in ("refused", "unknown")
    return Verdict(
        kind=kind,
        confidence="rule",
        savings=Savings(),
        text=_TEXTS[kind](facts) + _doubt(facts, abstains=abstains),
        not_the_cause=[] if abstains else advice.not_the_cause(facts, kind),
        advice=[] if abstains else advice.what_helps(facts, kind),
    )


def _kind(facts: Facts) -> str:
    if facts.refused or max(facts.unexplained_share, facts.lost_share) > REFUSE:
        return "refused"
    if facts.vendor == "cpu" and facts.has_rows:
        return "unknown" if facts.cut_short else _cpu_kind(facts)
    if not (facts.has_rows and facts.measured and facts.launches_known):
        return "unknown"
    if facts.share(facts.busy_us) >= GPU_BOUND:
        return _gpu_kind(facts)
    return _idle_kind(facts)


def _cpu_kind(facts: Facts) -> str:
    """Without a GPU: whether loading data or computing holds more of the step."""
    loads = facts.share(facts.dataloader_us) >= LARGE and facts.dataloader_us > facts.operator_us
    return "input-bound" if loads else "cpu"


def _idle_kind(facts: Facts) -> str:
    """What keeps the GPU from working."""
    classes = {
        "input-bound": facts.input_us,
        "sync-bound": facts.sync_us,
        "host-bound": facts.host_us,
        "communication-bound": facts.communication_us,
        "copy-bound": facts.copy_us,
    }
    kind = max(classes, key=lambda name: classes[name])
    if facts.share(classes[kind]) < LARGE:
        return "balanced"
    return "launch-bound" if kind == "host-bound" and _launches_dominate(facts) else kind


def _gpu_kind(facts: Facts) -> str:
    others = {"communication-bound": facts.communication_us, "copy-bound": facts.copy_us}
    kind = max(others, key=lambda name: others[name])
    return kind if facts.share(others[kind]) >= LARGE else "compute-bound"


def _launches_dominate(facts: Facts) -> bool:
    """A mostly idle GPU, and launches of which each does less work on the GPU than it costs the host."""
    if facts.launches < FEW_LAUNCHES or facts.share(facts.idle_us) < MOSTLY:
        return False
    return facts.kernel_sum_us / facts.launches < facts.host_us_per_launch <= LAUNCH_COST_US


def _doubt(facts: Facts, *, abstains: bool) -> str:
    if not abstains and facts.lost_share > DOUBT:
        return f" Low confidence: in {percent(facts.lost_share)} of the time GPU work was not recorded."
    if not abstains and facts.cut_short:
        return " Low confidence: the file was cut short, and what is missing may be work of one kind."
    if not abstains and facts.unexplained_share > DOUBT:
        share = percent(facts.unexplained_share)
        return f" Low confidence: {share} of the time the CPU waited while no recorded GPU work ran."
    if not abstains and facts.orphan_share > REFUSE:
        return f" Low confidence: {percent(facts.orphan_share)} of the GPU work has no launch in the trace."
    return ""


def _refused(facts: Facts) -> str:
    if facts.refused:
        return "The trace is too damaged; see its issues."
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
    loads = facts.share(facts.dataloader_us) >= advice.WORTH
    loading = f"{percent(facts.share(facts.dataloader_us))} in the DataLoader"
    if not facts.operators:
        whole = f"the {microseconds(facts.step_us)} of a step"
        if not loads:
            return f"This run used no GPU, and no operator was recorded in {whole}."
        return f"This run used no GPU. Of {whole} it spends {loading}; outside it no operator was recorded."
    return (
        f"This run used no GPU. Of the {microseconds(facts.step_us)} of {facts.each} the CPU spends "
        f"{_operators(facts)}, {f'{loading}, ' if loads else ''}and {_rest(facts, 'both' if loads else 'them')}."
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
        "and waits for Python the rest."
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
    "refused": _refused,
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
