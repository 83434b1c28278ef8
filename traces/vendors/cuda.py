"""NVIDIA: the calls of CUDA's runtime and driver, without suffixes such as ``_ptsz`` and ``_v2``; its devices."""

from __future__ import annotations

from typing import Final

from stallscope.traces.model.fields import CallKind

CALL: Final = r"cu(da)?[A-Z]"  # how every name begins
DEVICE: Final = r"NVIDIA|Tesla|Quadro|GeForce|GRID"  # stands in the names of its devices

KINDS: Final = (  # the first whose pattern is the whole name
    (r"cu(da)?Launch(Cooperative)?Kernel\w*", CallKind.KERNEL_LAUNCH),  # …ExC, …Ex, …MultiDevice
    (r"cu(da)?GraphLaunch", CallKind.GRAPH_LAUNCH),
    (r"cudaMemcpy(2D|3D)?((To|From)(Symbol|Array)|ArrayToArray)?", CallKind.COPY),
    (r"cuMemcpy((2D|3D)(Unaligned)?|[ADH]to[ADH])?", CallKind.COPY),
    (r"cu(da)?Memcpy\w*", CallKind.COPY_ASYNC),  # …Async, and …Peer, which does not wait either
    (r"cu(da)?Memset\w*", CallKind.MEMSET),
    (r"cu(da)?DeviceSynchronize", CallKind.DEVICE_SYNC),
    (r"cu(da)?StreamSynchronize", CallKind.STREAM_SYNC),
    (r"cu(da)?EventSynchronize", CallKind.EVENT_SYNC),
    (r"cu(da)?CtxSynchronize", CallKind.CONTEXT_SYNC),
    (r"cu(da)?StreamWaitEvent", CallKind.STREAM_WAIT),
    (r"cu(da)?EventRecord(WithFlags)?", CallKind.EVENT_RECORD),
    (r"cu(da)?(Event|Stream)Query", CallKind.POLL),
    (r"cudaMalloc(Managed|Pitch|3D|Array)?", CallKind.DEVICE_ALLOCATION),
    (r"cuMem(Alloc(Managed|Pitch)?|Create|Map)", CallKind.DEVICE_ALLOCATION),
    (r"cudaFree(Array)?|cuMem(Free|Release|Unmap)", CallKind.DEVICE_FREE),
    (r"cuda(MallocAsync|MallocFromPoolAsync)|cuMemAlloc(FromPool)?Async", CallKind.POOL_ALLOCATION),
    (r"cudaFreeAsync|cuMemFreeAsync", CallKind.POOL_FREE),
    (r"cuda(HostAlloc|MallocHost|HostRegister)|cuMem(AllocHost|HostAlloc|HostRegister)", CallKind.PINNED_ALLOCATION),
    (r"cuda(FreeHost|HostUnregister)|cuMem(FreeHost|HostUnregister)", CallKind.PINNED_FREE),
    (r"cu(da)?(Module|Library)Load\w*", CallKind.MODULE_LOAD),
    (r"cu(da)?StreamBeginCapture(ToGraph)?", CallKind.CAPTURE_BEGIN),
    (r"cu(da)?StreamEndCapture", CallKind.CAPTURE_END),
    (r"cu(da)?GraphInstantiate\w*", CallKind.GRAPH_INSTANTIATE),
    (r"cu(da)?([A-Z][a-z]+)?(Get|Is[A-Z]|Peek|Occupancy)\w*|cu(da)?FuncSetAttribute", CallKind.QUERY),
)
