"""Constants that no trace holds and only hardware can give: each with its bounds, its source, and whether we measured.

A forecast that needs what a trace cannot say (what launching a CUDA graph costs, how fast pinned memory is) takes it
from here, and its bounds go into the forecast's interval. ``measured`` is False until this project has measured the
figure on hardware itself; reports then carry the mark ``UNMEASURED``.
"""

from __future__ import annotations

from typing import Final

from stallscope.analysis.contract.whatif import Constant

GRAPH_LAUNCH: Final = Constant(
    "graph_launch", 12.0, 2.5, 60.0, "µs a graph",
    "NVIDIA blog, September 2024: 2.5 µs and up on Ampere (CUDA 12.6); ROCm/pytorch#3056: 50 µs on AMD",
)  # fmt: skip
GRAPH_NODE: Final = Constant(
    "graph_node", 0.05, 0.001, 0.2, "µs of the CPU a kernel",
    "NVIDIA blog, September 2024: 0.2 µs (CUDA 11.8), 0.001 µs (CUDA 12.6, straight line)",
)  # fmt: skip
GRAPH_GAP: Final = Constant(
    "graph_gap", 0.9, 0.5, 1.5, "µs between two kernels",
    "CUDA.jl manual, CUDA graphs: 80 kernels in 70 µs; at most the gap between queued kernels of real traces",
)  # fmt: skip
GRAPH_LOOP: Final = Constant(
    "graph_loop",
    4.0,
    1.5,
    10.0,
    "µs of Python a step",
    "calling graph.replay(), beside what the loop does itself; estimated",
)
GRAPH_INPUT: Final = Constant(
    "graph_input", 8.0, 4.0, 20.0, "µs of the CPU an input copied into the graph", "one copy operator; estimated"
)
COMPILE_GUARD: Final = Constant(
    "compile_guard", 25.0, 10.0, 80.0, "µs of the CPU a step", "torch.compile's guards and wrappers; estimated"
)
COMPILE_POINTWISE_TIME: Final = Constant(
    "compile_pointwise_time", 0.5, 0.3, 0.8, "of the time of pointwise and reduction kernels",
    "fused kernels read and write memory once; estimated",
)  # fmt: skip
COMPILE_POINTWISE_COUNT: Final = Constant(
    "compile_pointwise_count", 0.4, 0.2, 0.7, "of their number", "kernels in a chain become one; estimated"
)
OPTIMIZER_HOST: Final = Constant(
    "optimizer_host", 0.35, 0.2, 0.6, "of the CPU time in Optimizer.step",
    "Daydream, USENIX ATC 2020 (fused Adam), and a CPU profile of torch 2.13's fused and foreach forms; estimated",
)  # fmt: skip
OPTIMIZER_DEVICE: Final = Constant(
    "optimizer_device", 0.6, 0.4, 0.9, "of the GPU time of the optimizer's kernels",
    "Daydream, USENIX ATC 2020: fused Adam reads each tensor once",
)  # fmt: skip
TENSORS_A_LAUNCH: Final = Constant(
    "tensors_a_launch", 36.0, 30.0, 48.0, "tensors a fused kernel takes",
    "torch's multi_tensor_apply: 110, 64, 48, 36, 30 tensors for lists of depth 1 to 5",
)  # fmt: skip
KEEP_LOSS: Final = Constant(
    "keep_loss", 3.5, 2.0, 5.0, "µs of the CPU a step", "loss.detach() and list.append, torch 2.13 on a CPU"
)
LOADER_NEXT: Final = Constant(
    "loader_next", 400.0, 100.0, 1400.0, "µs a batch, taken from worker processes",
    "the DataLoader ranges of public V100 traces with 4 workers (0.1 to 1.4 ms)",
)  # fmt: skip
LOADER_OVERHEAD: Final = Constant(
    "loader_overhead", 0.1, 0.0, 0.3, "more time for a batch in a worker (copying it between processes)", "estimated"
)
LOADER_CONTENTION: Final = Constant(
    "loader_contention", 0.1, 0.0, 0.24, "more host time in the training process, beside busy workers",
    "three public V100 pairs: 86 → 86, 88 → 109 ms a step (0 to 24 %)",
)  # fmt: skip
PINNED_RATE: Final = Constant(
    "pinned_rate", 12.0, 10.0, 50.0, "GB/s to a GPU of unknown bus",
    "public traces, PCIe 3 and 4: 6.4 to 11.6; PCIe 5 by its specification: to 55",
)  # fmt: skip
PINNED_RATE_PCIE3: Final = Constant(
    "pinned_rate_pcie3", 12.0, 6.0, 13.0, "GB/s to a GPU of compute capability below 8",
    "16 lanes of PCIe 3 by specification: 15.8, in practice 12 to 13; public V100 traces: 6.4 to 11.6",
)  # fmt: skip
PINNED_RATE_PCIE4: Final = Constant(
    "pinned_rate_pcie4", 24.0, 11.0, 27.0, "GB/s to a GPU of compute capability 8",
    "16 lanes of PCIe 4 by specification: 31.5, in practice 24 to 26; in an older slot 12",
)  # fmt: skip
PINNED_RATE_PCIE5: Final = Constant(
    "pinned_rate_pcie5", 48.0, 22.0, 56.0, "GB/s to a GPU of compute capability 9 and above",
    "16 lanes of PCIe 5 by specification: 63, in practice 45 to 55; in an older slot 24",
)  # fmt: skip
HOST_COPY_RATE: Final = Constant(
    "host_copy_rate", 8.0, 5.0, 14.0, "GB/s of one core, copying a batch into pinned memory",
    "20 MB copied by one core: 5.5 to 8.7 on a shared server; public traces stage pageable copies at 6 to 18",
)  # fmt: skip
PINNED_CALL: Final = Constant(
    "pinned_call", 6.5, 5.0, 8.0, "µs of the CPU a copy", "cudaMemcpyAsync calls of pinned copies in public traces"
)
INFLATION: Final = Constant(
    "inflation", 1.5, 1.0, 1.93, "times the host's time, under the profiler",
    "an Iris step on a CPU: 1.24 to 1.42 plain, 1.76 to 1.93 with shapes and stacks",
)  # fmt: skip
RECORDING: Final = Constant(
    "recording", 0.8, 0.4, 2.0, "µs of recording an operator or call",
    "an Iris step on a CPU: 0.6 µs an operator, 0.5 µs more with shapes, 0.8 µs more with stacks; calls: 1 to 4 µs",
)  # fmt: skip

TABLE: Final[tuple[Constant, ...]] = (
    GRAPH_LAUNCH,
    GRAPH_NODE,
    GRAPH_GAP,
    GRAPH_LOOP,
    GRAPH_INPUT,
    COMPILE_GUARD,
    COMPILE_POINTWISE_TIME,
    COMPILE_POINTWISE_COUNT,
    OPTIMIZER_HOST,
    OPTIMIZER_DEVICE,
    TENSORS_A_LAUNCH,
    KEEP_LOSS,
    LOADER_NEXT,
    LOADER_OVERHEAD,
    LOADER_CONTENTION,
    PINNED_RATE,
    PINNED_RATE_PCIE3,
    PINNED_RATE_PCIE4,
    PINNED_RATE_PCIE5,
    HOST_COPY_RATE,
    PINNED_CALL,
    INFLATION,
    RECORDING,
)


def pinned_rate(capability: str | None) -> Constant:
    """The rate of the bus that GPUs of this compute capability ("9.0") came with; of others the widest bounds."""
    major = (capability or "").partition(".")[0]
    if not major.isdecimal():
        return PINNED_RATE
    if int(major) >= 9:  # noqa: PLR2004 - Hopper and later
        return PINNED_RATE_PCIE5
    return PINNED_RATE_PCIE4 if int(major) == 8 else PINNED_RATE_PCIE3  # noqa: PLR2004 - Ampere and Ada
