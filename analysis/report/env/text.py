"""The machine as text: what `stallscope env` prints."""

from __future__ import annotations

import textwrap

from stallscope.analysis.report.style import Style, safe
from stallscope.analysis.units import quantity
from stallscope.traces.model.manifest import Finding, Gpu, GpuProcess, Machine

LABEL = 11  # columns of the left-hand words


def render(machine: Machine, style: Style) -> str:
    """``machine`` as a few lines a beginner can read, findings last, ending in a line break."""
    rows = [
        ("processor", processor(machine)),
        *[(f"GPU {index}", describe_gpu(gpu)) for index, gpu in enumerate(machine.gpus)],
        *([] if machine.gpus else [("GPU", "none found")]),
        *([("on the GPU", sharing(machine.others_on_gpu))] if machine.gpus else []),
        ("torch", torch_line(machine)),
        ("system", f"{machine.os}, Python {machine.python}"),
    ]
    lines = [line for label, text in rows for line in entry(label, text, style)]
    if machine.findings:
        lines.append("")
        lines += [line for finding in machine.findings for line in advice(finding, style)]
    return "\n".join(lines) + "\n"


def processor(machine: Machine) -> str:
    """``EPYC, 8 cores for this process, 8 torch threads``."""
    cores = f"{machine.cores} core{'s' if machine.cores != 1 else ''} for this process"
    threads = "" if machine.threads is None else f", torch computes with {machine.threads} of them"
    if machine.threads is not None and machine.threads > machine.cores:
        threads = f", torch computes with {machine.threads} threads"
    return f"{machine.cpu}, {cores}{threads}"


def describe_gpu(gpu: Gpu) -> str:
    """``NVIDIA H200 (sm_90), 132 SMs, 151 GB, driver 570.86.15``; what is not known is left out."""
    model = "" if gpu.driver_model is None else f" ({gpu.driver_model})"
    facts = [
        gpu.name if gpu.architecture is None else f"{gpu.name} ({gpu.architecture})",
        None if gpu.sms is None else f"{gpu.sms} SMs",
        None if gpu.memory_bytes is None else quantity(gpu.memory_bytes),
        None if gpu.driver is None else f"driver {gpu.driver}{model}",
    ]
    return ", ".join(fact for fact in facts if fact is not None)


def sharing(others: list[GpuProcess] | None) -> str:
    """Who else holds the GPU; not knowing is said, never taken for nobody."""
    if others is None:
        return "could not be found out"
    if not others:
        return "no other program"
    return "; ".join(
        f"{process.name} (pid {process.pid}, GPU {process.gpu}"
        + (")" if process.memory_bytes is None else f", {quantity(process.memory_bytes)})")
        for process in others
    )


def torch_line(machine: Machine) -> str:
    """``2.13.0+cu130, built for cuda 13.0, can use the GPU``."""
    if machine.torch is None:
        return "not installed"
    built = "a CPU-only build" if machine.torch_gpu is None else f"built for {machine.torch_gpu}"
    usable = {True: ", can use the GPU", False: ", cannot use a GPU here", None: ""}[machine.gpu_usable]
    return f"{machine.torch}, {built}{usable if machine.torch_gpu is not None else ''}"


def entry(label: str, text: str, style: Style) -> list[str]:
    """One row: the label, then the text wrapped beside it."""
    body = textwrap.wrap(style.text(safe(text)), max(20, style.width - LABEL - 1)) or [""]
    return [
        style.paint(f"{label if number == 0 else '':<{LABEL}}", "dim") + " " + line for number, line in enumerate(body)
    ]


def advice(finding: Finding, style: Style) -> list[str]:
    """A finding as a wrapped sentence under its name."""
    body = textwrap.wrap(style.text(safe(finding.text)), max(20, style.width - 2), break_long_words=False)
    return [style.paint(finding.name, "warn"), *(f"  {line}" for line in body)]
