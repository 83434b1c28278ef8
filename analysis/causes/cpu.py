"""Runs without a GPU: settings left on, operators, what runs between them, threads, exchanges.

What is specific (a setting, a type, threads without cores) comes before what any step has (operators, Python).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stallscope.analysis.causes import scatter
from stallscope.analysis.causes.case import MOSTLY, Case, Claim
from stallscope.analysis.causes.whole import python_lines
from stallscope.analysis.units import count, microseconds, percent

SMALL_US: Final = 20.0  # an operator, below which sharing it out among threads costs more than it saves
FEW_US: Final = 60.0  # an operator of a step of many, up to which it is the number of them that costs
MANY: Final = 300  # operators a step
TOP: Final = 3  # operators that are named
PART: Final = 0.1
DOUBLE: Final = 0.5  # of the products' time, from which float64 is a cause
SLOW_GFLOPS: Final = 2.0  # below which a core that multiplies numbers as usual never falls


def find(case: Case) -> Iterator[Claim]:
    """What a step on the CPU does."""
    facts = case.facts
    if not case.on_cpu or not facts.has_rows or facts.recording.cut_short:
        return
    yield from _settings(case)
    yield from _products(case)
    yield from _between(case)
    yield from _operators(case)
    if facts.communication_ns:
        yield case.claim(
            "communication",
            "exchanging data between processes",
            cost_us=facts.us(facts.communication_ns),
            evidence=f"{percent(facts.share(facts.communication_ns))} of the time is in exchanges (collectives).",
            advice="Exchange less often: accumulate gradients over several batches under model.no_sync() "
            "(DistributedDataParallel)."
            if facts.host.trains
            else "Exchange less often, or several values at once.",
        )


def _settings(case: Case) -> Iterator[Claim]:
    """What the script or its environment has switched on for debugging, and threads without cores."""
    settings = None if case.manifest is None else case.manifest.settings
    if settings is not None and settings.launch_blocking:
        yield case.claim(
            "launch_blocking",
            "launches are set to block",
            evidence="CUDA_LAUNCH_BLOCKING is set in this run's environment. It costs nothing on a CPU; on a GPU the "
            "CPU would wait for each kernel.",
            advice="Unset CUDA_LAUNCH_BLOCKING before training on a GPU; it is for finding errors.",
            confidence="low",
            unknown=True,
        )
    if settings is not None and settings.anomaly:
        yield case.claim(
            "anomaly_mode",
            "anomaly detection is on",
            evidence="torch.autograd.set_detect_anomaly(True) checks the result of each backward node.",
            advice="torch.autograd.set_detect_anomaly(False) once the error is found.",
            confidence="low",
            unknown=True,
        )
    threads, cores = case.facts.host.threads, case.facts.host.cores
    if threads is not None and cores is not None and threads > cores:
        spent = case.facts.us(min(case.facts.host.operator_ns, case.facts.window_ns))
        yield case.claim(
            "too_many_threads",
            "more threads than cores",
            cost_us=spent,
            evidence=f"{threads} threads share {cores} cores: each operator waits for the last of them.",
            advice=f"torch.set_num_threads({cores}), or fewer: threads that wait for a core hold all others up.",
            unknown=True,
        )


def _products(case: Case) -> Iterator[Claim]:
    """Products in float64, or so slow that their numbers may be subnormal."""
    products, operators = case.stages.host_products, case.facts.host.operator_ns
    if products is None or not products.ns or not operators:
        return
    spent = min(operators, case.facts.window_ns)
    if products.double_share >= DOUBLE:
        yield case.claim(
            "float64",
            "products in float64",
            cost_us=case.facts.us(spent),
            saves_us=case.facts.us(spent) * products.double_share / 2,
            evidence=f"{percent(products.double_share)} of the time of products and convolutions is in float64, which "
            "a CPU computes half as fast, and most GPUs 32 to 64 times slower.",
            advice="Make model and data float32: model.float(), x.float(), torch.from_numpy(a.astype(np.float32)).",
        )
        return
    gflops = products.best_gflops  # the fastest: others may have had to wait for a core
    if gflops is not None and gflops < SLOW_GFLOPS:
        yield case.claim(
            "subnormal_numbers",
            "products run far slower than this CPU computes",
            cost_us=case.facts.us(spent),
            evidence=f"No product or convolution runs at more than {gflops:.2g} GFLOP/s. One core does ten times that, "
            "unless its numbers are subnormal (below 1e-38: weights decayed to nothing) or other programs hold it.",
            advice="Try torch.set_flush_denormal(True) at the start: subnormal numbers then count as 0. If the step "
            "gets several times faster, look where numbers become so small.",
            confidence="low",
            unknown=True,
        )


def _between(case: Case) -> Iterator[Claim]:
    facts = case.facts
    if facts.share(facts.rest_ns) < MOSTLY:
        return
    lines = python_lines(case)
    most = f", most of it at {lines[0]}" if lines else ""
    yield case.claim(
        "python",
        "Python between the operators",
        cost_us=facts.us(facts.rest_ns),
        evidence=f"{percent(facts.share(facts.rest_ns))} of the time is in no recorded operator{most}.",
        where=lines,
        advice="Move what these lines do out of the step, do it every 100 steps, or in another process."
        if lines
        else "Most of the time is in no recorded operator: look at what Python does between them (data preparation, "
        "logging), and move it out of the step.",
    )


def _operators(case: Case) -> Iterator[Claim]:
    """Threads first where operators are small, or scatter from step to step; else the operators themselves."""
    facts, host = case.facts, case.facts.host
    if not host.operators:
        return
    spent, mean_us = min(host.operator_ns, facts.window_ns), host.operator_ns / host.operators / 1000
    many = facts.per_step(host.operators) >= MANY and mean_us < FEW_US
    evidence = (
        f"{count(facts.per_step(host.operators))} operators a step of {microseconds(mean_us)} each, "
        f"{percent(facts.share(spent))} of the time."
    )
    small, scattered = mean_us < SMALL_US or many, scatter.advice(host.scatter, host.threads)
    if (scattered or (small and host.threads != 1)) and not _crowded(case):
        where = "" if host.threads is None else f" instead of {host.threads}"
        yield case.claim(
            "too_many_threads",
            "operators shared out among too many threads",
            saves_us=facts.us(spent * (host.scatter or 0.0)) if scattered else None,
            cost_us=facts.us(spent),
            evidence=evidence,
            advice=scattered
            or f"torch.set_num_threads(1){where} may help: sharing out such small work costs more than it saves.",
            confidence="ok" if scattered else "low",
            unknown=not scattered,
        )
    if small or (facts.share(spent) >= MOSTLY and not scattered):
        yield case.claim(
            "operators",
            "many small operators" if small else "the operators themselves",
            cost_us=facts.us(spent),
            unknown=True,
            evidence=evidence if small else f"{evidence} {_largest(case)}",
            advice=_fewer(mean_us, many=many)
            if small
            else "A smaller model, a smaller batch or a GPU: no single line stands out. -v shows the operators.",
        )


def _crowded(case: Case) -> bool:
    threads, cores = case.facts.host.threads, case.facts.host.cores
    return threads is not None and cores is not None and threads > cores


def _fewer(mean_us: float, *, many: bool) -> str:
    if many:
        return (
            f"Each operator takes {microseconds(mean_us)}, and there are many: a loop over time steps, layers or "
            "samples. One operator for all of them (torch.nn.GRU for GRUCell in a loop, torch.bmm, a batched index), "
            "or torch.compile(model)."
        )
    return (
        f"The operators are small ({microseconds(mean_us)} each): a larger batch does more work with as many of them."
    )


def _largest(case: Case) -> str:
    """The operators that take most, by themselves."""
    operators, events = case.stages.operators, case.trace.events
    spent: dict[str, int] = {}
    for name, own in zip(events.name[operators.rows].tolist(), operators.self_ns.tolist(), strict=True):
        spent[case.trace.strings[name]] = spent.get(case.trace.strings[name], 0) + own
    whole = max(1, sum(spent.values()))
    top = sorted(spent.items(), key=lambda each: -each[1])[:TOP]
    return "Most in " + ", ".join(f"{name} ({percent(own / whole)})" for name, own in top if own >= PART * whole) + "."
