"""What each call does, by the names that CUDA, HIP, SYCL and Level Zero give it."""

from __future__ import annotations

import re

import pytest

from stallscope.traces.model.fields import CallKind
from stallscope.traces.vendors import cuda, hip, level_zero
from stallscope.traces.vendors.calls import call_kind, vendor_of_calls, vendor_of_device, wait_kind

NAMES = {
    CallKind.KERNEL_LAUNCH: """
        cudaLaunchKernel cudaLaunchKernel_ptsz cudaLaunchKernelExC cudaLaunchKernelExC_v11060 cuLaunchKernel
        cuLaunchKernelEx cuLaunchKernel_ptsz cudaLaunchCooperativeKernel cudaLaunchCooperativeKernelMultiDevice
        cuLaunchCooperativeKernel hipLaunchKernel hipExtLaunchKernel hipModuleLaunchKernel hipExtModuleLaunchKernel
        hipHccModuleLaunchKernel hipLaunchCooperativeKernel hipExtLaunchMultiKernelMultiDevice hipLaunchKernel_spt
        urEnqueueKernelLaunch urEnqueueCooperativeKernelLaunchExp piEnqueueKernelLaunch
        piextEnqueueCooperativeKernelLaunch zeCommandListAppendLaunchKernel
        zeCommandListAppendLaunchCooperativeKernel
    """,
    CallKind.GRAPH_LAUNCH: "cudaGraphLaunch cudaGraphLaunch_ptsz cuGraphLaunch hipGraphLaunch",
    CallKind.COPY_ASYNC: """
        cudaMemcpyAsync cudaMemcpyAsync_ptsz cudaMemcpy2DAsync cudaMemcpyPeerAsync cudaMemcpyPeer
        cudaMemcpyToSymbolAsync cuMemcpyHtoDAsync_v2 cuMemcpyAsync hipMemcpyAsync hipMemcpyDtoHAsync
        hipMemcpy2DAsync hipMemcpyPeerAsync hipDrvMemcpy3DAsync urEnqueueUSMMemcpy urEnqueueMemBufferRead
        piextUSMEnqueueMemcpy zeCommandListAppendMemoryCopy zeCommandListAppendMemoryCopyRegion
    """,
    CallKind.COPY: """
        cudaMemcpy cudaMemcpy_ptds cudaMemcpy2D cudaMemcpy3D_ptds cudaMemcpyToSymbol cudaMemcpyFromSymbol
        cudaMemcpy2DToArray cuMemcpyHtoD_v2 cuMemcpyDtoH_v2 cuMemcpyDtoD_v2 cuMemcpy2DUnaligned_v2 cuMemcpy
        hipMemcpy hipMemcpy_spt hipMemcpy2D hipMemcpyToSymbol hipMemcpyDtoH hipMemcpyHtoD
    """,
    CallKind.COPY_WAITS: "hipMemcpyWithStream",
    CallKind.MEMSET: """
        cudaMemset cudaMemsetAsync cudaMemsetAsync_ptsz cudaMemset2DAsync cuMemsetD8Async cuMemsetD32_v2 hipMemset
        hipMemsetAsync hipMemsetD32Async urEnqueueUSMFill piextUSMEnqueueMemset zeCommandListAppendMemoryFill
    """,
    CallKind.DEVICE_SYNC: "cudaDeviceSynchronize hipDeviceSynchronize",
    CallKind.STREAM_SYNC: """
        cudaStreamSynchronize cudaStreamSynchronize_ptsz cuStreamSynchronize hipStreamSynchronize
        hipStreamSynchronize_spt urQueueFinish piQueueFinish zeCommandQueueSynchronize zeCommandListHostSynchronize
    """,
    CallKind.EVENT_SYNC: """
        cudaEventSynchronize cuEventSynchronize hipEventSynchronize urEventWait piEventsWait zeEventHostSynchronize
        zeFenceHostSynchronize
    """,
    CallKind.CONTEXT_SYNC: "cuCtxSynchronize hipCtxSynchronize",
    CallKind.STREAM_WAIT: """
        cudaStreamWaitEvent cudaStreamWaitEvent_ptsz cuStreamWaitEvent hipStreamWaitEvent urEnqueueEventsWait
        urEnqueueEventsWaitWithBarrier piEnqueueEventsWait zeCommandListAppendWaitOnEvents
    """,
    CallKind.EVENT_RECORD: """
        cudaEventRecord cudaEventRecord_ptsz cudaEventRecordWithFlags cuEventRecord hipEventRecord
        hipEventRecordWithFlags
    """,
    CallKind.POLL: """
        cudaEventQuery cuEventQuery cudaStreamQuery hipEventQuery hipStreamQuery zeEventQueryStatus zeFenceQueryStatus
    """,
    CallKind.DEVICE_ALLOCATION: """
        cudaMalloc cudaMallocManaged cudaMallocPitch cudaMalloc3D cuMemAlloc_v2 cuMemAllocManaged cuMemCreate cuMemMap
        hipMalloc hipExtMallocWithFlags hipMallocManaged hipMemCreate hipMemMap urUSMDeviceAlloc urUSMSharedAlloc
        piextUSMDeviceAlloc zeMemAllocDevice zeMemAllocShared
    """,
    CallKind.DEVICE_FREE: """
        cudaFree cudaFreeArray cuMemFree_v2 cuMemRelease cuMemUnmap hipFree hipMemRelease hipMemUnmap urUSMFree
        piextUSMFree zeMemFree
    """,
    CallKind.POOL_ALLOCATION: """
        cudaMallocAsync cudaMallocAsync_ptsz cudaMallocFromPoolAsync cuMemAllocAsync cuMemAllocFromPoolAsync
        hipMallocAsync hipMallocFromPoolAsync
    """,
    CallKind.POOL_FREE: "cudaFreeAsync cuMemFreeAsync_ptsz hipFreeAsync",
    CallKind.PINNED_ALLOCATION: """
        cudaHostAlloc cudaMallocHost cudaHostRegister cuMemAllocHost_v2 cuMemHostAlloc hipHostMalloc hipHostAlloc
        hipHostRegister urUSMHostAlloc zeMemAllocHost
    """,
    CallKind.PINNED_FREE: """
        cudaFreeHost cudaHostUnregister cuMemFreeHost cuMemHostUnregister hipHostFree hipHostUnregister
    """,
    CallKind.MODULE_LOAD: "cuModuleLoadDataEx cuLibraryLoadData cudaLibraryLoadData hipModuleLoadData zeModuleCreate",
    CallKind.CAPTURE_BEGIN: """
        cudaStreamBeginCapture cudaStreamBeginCapture_ptsz cuStreamBeginCapture_v2 cudaStreamBeginCaptureToGraph
        hipStreamBeginCapture
    """,
    CallKind.CAPTURE_END: "cudaStreamEndCapture cuStreamEndCapture hipStreamEndCapture",
    CallKind.GRAPH_INSTANTIATE: """
        cudaGraphInstantiate cudaGraphInstantiate_v12000 cudaGraphInstantiateWithFlags cuGraphInstantiateWithParams
        hipGraphInstantiate hipGraphInstantiateWithFlags
    """,
    CallKind.QUERY: """
        cudaDeviceGetAttribute cudaFuncGetAttributes cudaFuncSetAttribute cudaGetDeviceProperties_v2
        cudaGetLastError cudaMemGetInfo cudaPeekAtLastError cudaPointerGetAttributes cudaStreamIsCapturing
        cudaStreamGetCaptureInfo_v2 cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags hipDeviceGetAttribute
        hipGetDevicePropertiesR0600 hipPointerGetAttribute hipStreamIsCapturing hipGetLastError hipCtxGetCurrent
        urDeviceGetInfo zeDeviceGetProperties
    """,
    CallKind.OTHER: """
        cudaLaunchHostFunc cudaEventCreateWithFlags cudaEventDestroy cudaStreamCreateWithPriority cudaProfilerStart
        cuModuleUnload hipEventDestroy hipInit hipGraphDestroy urKernelSetArgPointer zeCommandListReset synchronize
        recordEvent INVALID aten::copy_
    """,
}
CASES = [(name, kind) for kind, names in NAMES.items() for name in names.split()]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_a_call_does(name: str, kind: CallKind) -> None:
    """Each name has the one kind that its documentation gives it, whatever suffix it carries."""
    assert call_kind(name) is kind


@pytest.mark.parametrize("vendor", [cuda, hip, level_zero], ids=lambda vendor: vendor.__name__.rpartition(".")[2])
def test_every_pattern_has_a_real_name(vendor) -> None:
    """No line of a table is there for nothing: some name above is found by it and by none before it."""
    names = [name.partition("_")[0] for name, _ in CASES if re.match(vendor.CALL, name)]
    first = {next((at for at, (pattern, _) in enumerate(vendor.KINDS) if re.fullmatch(pattern, n)), -1) for n in names}
    assert first >= set(range(len(vendor.KINDS)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Context Sync", CallKind.CONTEXT_SYNC),
        ("Event Sync", CallKind.EVENT_SYNC),
        ("Stream Sync", CallKind.STREAM_SYNC),
        ("Stream Wait Event", CallKind.STREAM_WAIT),
        ("Unknown Sync", CallKind.OTHER),
    ],
)
def test_recorded_waits(name: str, kind: CallKind) -> None:
    """The row of a wait has the kind of the call that waits."""
    assert wait_kind(name) is kind


def test_whose_calls_they_are() -> None:
    """One call that only a vendor has tells; calls that nobody is known to have tell nothing."""
    assert vendor_of_calls(["recordEvent", "cudaLaunchKernel"]) == "cuda"
    assert vendor_of_calls(["cuLaunchKernel"]) == "cuda"
    assert vendor_of_calls(["cudaMalloc", "hipLaunchKernel"]) == "rocm"
    assert vendor_of_calls(["urEnqueueKernelLaunch", "zeMemFree"]) == "xpu"
    assert vendor_of_calls(["synchronize", "cunning"]) is None


@pytest.mark.parametrize(
    ("name", "vendor"),
    [
        ("NVIDIA H100 80GB HBM3", "cuda"),
        ("Tesla V100-SXM2-16GB", "cuda"),
        ("AMD Instinct MI300X", "rocm"),
        ("Intel(R) Data Center GPU Max 1550", "xpu"),
        ("MTIA", None),
    ],
)
def test_who_makes_a_device(name: str, vendor: str | None) -> None:
    """The maker's name, or that of a product line, stands in the device's."""
    assert vendor_of_device(name) == vendor
