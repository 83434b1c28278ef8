"""Intel: the calls of SYCL's runtime (``ur…``, ``pi…`` before 2025) and of Level Zero (``ze…``); its devices."""

from __future__ import annotations

from typing import Final

from stallscope.traces.model.fields import CallKind

CALL: Final = r"(ur|ze|pi|piext)[A-Z]"  # how every name begins
DEVICE: Final = r"Intel"  # stands in the names of its devices

KINDS: Final = (  # the first whose pattern is the whole name
    (r"(ur|pi|piext)Enqueue(Cooperative)?KernelLaunch\w*", CallKind.KERNEL_LAUNCH),
    (r"zeCommandListAppendLaunch(Cooperative)?Kernel\w*", CallKind.KERNEL_LAUNCH),
    (r"urEnqueue(USMMemcpy|MemBuffer(Copy|Read|Write))\w*|piextUSMEnqueueMemcpy\w*", CallKind.COPY_ASYNC),
    (r"zeCommandListAppendMemoryCopy\w*", CallKind.COPY_ASYNC),
    (r"urEnqueueUSMFill\w*|piextUSMEnqueue(Fill|Memset)\w*|zeCommandListAppendMemoryFill", CallKind.MEMSET),
    (r"(ur|pi)QueueFinish|zeCommandQueueSynchronize|zeCommandListHostSynchronize", CallKind.STREAM_SYNC),
    (r"urEventWait|piEventsWait|ze(Event|Fence)HostSynchronize", CallKind.EVENT_SYNC),
    (r"(ur|pi)EnqueueEventsWait\w*|zeCommandListAppendWaitOnEvents", CallKind.STREAM_WAIT),
    (r"ze(Event|Fence)QueryStatus", CallKind.POLL),
    (r"(urUSM|piextUSM)(Device|Shared)Alloc|zeMemAlloc(Device|Shared)", CallKind.DEVICE_ALLOCATION),
    (r"(urUSM|piextUSM)Free|zeMemFree", CallKind.DEVICE_FREE),
    (r"(urUSM|piextUSM)HostAlloc|zeMemAllocHost", CallKind.PINNED_ALLOCATION),
    (r"zeModuleCreate", CallKind.MODULE_LOAD),
    (r"(ur|pi|ze)[A-Z][a-z]+Get\w*", CallKind.QUERY),
)
