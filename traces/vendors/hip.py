"""AMD: the calls of HIP, without suffixes such as ``_spt``; its devices."""

from __future__ import annotations

from typing import Final

from stallscope.traces.model.fields import CallKind

CALL: Final = r"hip[A-Z]"  # how every name begins
DEVICE: Final = r"AMD|Radeon|Instinct"  # stands in the names of its devices

KINDS: Final = (  # the first whose pattern is the whole name
    (r"hip\w*Launch(Cooperative|Multi)?Kernel\w*", CallKind.KERNEL_LAUNCH),  # hipExtLaunch…, hip(Ext|Hcc)ModuleLaunch…
    (r"hipGraphLaunch", CallKind.GRAPH_LAUNCH),
    (r"hipMemcpyWithStream", CallKind.COPY_WAITS),
    (r"hipMemcpy((2D|3D)?((To|From)(Symbol|Array))?|[ADH]to[ADH])", CallKind.COPY),
    (r"hip(Drv)?Memcpy\w*", CallKind.COPY_ASYNC),
    (r"hipMemset\w*", CallKind.MEMSET),
    (r"hipDeviceSynchronize", CallKind.DEVICE_SYNC),
    (r"hipStreamSynchronize", CallKind.STREAM_SYNC),
    (r"hipEventSynchronize", CallKind.EVENT_SYNC),
    (r"hipCtxSynchronize", CallKind.CONTEXT_SYNC),
    (r"hipStreamWaitEvent", CallKind.STREAM_WAIT),
    (r"hipEventRecord(WithFlags)?", CallKind.EVENT_RECORD),
    (r"hip(Event|Stream)Query", CallKind.POLL),
    (r"hip(Ext)?Malloc(Managed|Pitch|3D|Array|WithFlags)?", CallKind.DEVICE_ALLOCATION),
    (r"hipMem(Create|Map)", CallKind.DEVICE_ALLOCATION),
    (r"hipFree(Array)?|hipMem(Release|Unmap)", CallKind.DEVICE_FREE),
    (r"hipMalloc(FromPool)?Async", CallKind.POOL_ALLOCATION),
    (r"hipFreeAsync", CallKind.POOL_FREE),
    (r"hip(HostMalloc|HostAlloc|MallocHost|HostRegister)", CallKind.PINNED_ALLOCATION),
    (r"hip(HostFree|FreeHost|HostUnregister)", CallKind.PINNED_FREE),
    (r"hipModuleLoad\w*", CallKind.MODULE_LOAD),
    (r"hipStreamBeginCapture(ToGraph)?", CallKind.CAPTURE_BEGIN),
    (r"hipStreamEndCapture", CallKind.CAPTURE_END),
    (r"hipGraphInstantiate\w*", CallKind.GRAPH_INSTANTIATE),
    (r"hip(Module)?([A-Z][a-z]+)?(Get|Is[A-Z]|Peek|Occupancy)\w*|hipFuncSetAttribute", CallKind.QUERY),
)
