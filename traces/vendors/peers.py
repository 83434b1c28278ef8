"""Names as other tools look for them: parts of their definitions, so a spelling that is new does not belong here.

HTA 0.5.0, torch-tb-profiler's last source, TraceLens, and ``torch.profiler._trace_validator`` of torch 2.13.
"""

from __future__ import annotations

import re
from typing import Final

HTA_LAUNCHES: Final = frozenset({"cudaLaunchKernel", "cudaLaunchKernelExC", "cudaMemcpyAsync", "cudaMemsetAsync"})
HTA_QUEUED: Final = HTA_LAUNCHES | {
    "cuLaunchKernel", "hipLaunchKernel", "hipExtModuleLaunchKernel", "hipMemsetAsync", "hipMemcpyAsync",
    "hipMemcpyWithStream",
}  # fmt: skip
HTA_ALWAYS_KEPT: Final = frozenset({"Event Sync", "Context Sync"})
HTA_NO_COMPUTE: Final = re.compile(r"nccl.*Kernel|Memset|dma|.*(Memcpy|Sync)")
TB_COLLECTIVES: Final = frozenset(
    f"{library}:{operation}"
    for library in ("nccl", "gloo")
    for operation in ("broadcast", "reduce", "all_reduce", "all_gather", "reduce_scatter")
)
TRACELENS_COMMUNICATION: Final = "nccl"  # in the name of a kernel
TORCH_LAUNCH: Final = "cudaLaunchKernel"
TORCH_RECORDS: Final = frozenset({
    "cudaEventRecord", "cudaEventRecord_ptsz", "cudaEventRecordWithFlags", "cudaEventRecordWithFlags_ptsz",
})  # fmt: skip
TORCH_STREAM_WAIT: Final = "Stream Wait Event"
TORCH_STREAM_SYNC: Final = "Stream Sync"
TORCH_EVENT_SYNC: Final = "Event Sync"
