"""What the names of copies and kernels tell."""

from __future__ import annotations

import pytest

from stallscope.traces.model.fields import KernelFamily
from stallscope.traces.vendors.device_rows import copy_of, is_collective_range, kernel_family


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Memcpy HtoD (Pageable -> Device)", ("HtoD", "pageable")),
        ("Memcpy HtoD (Pinned -> Device)", ("HtoD", "pinned")),
        ("Memcpy DtoH (Device -> Pageable)", ("DtoH", "pageable")),
        ("Memcpy DtoH (Device -> Pinned)", ("DtoH", "pinned")),
        ("Memcpy DtoD (Device -> Device)", ("DtoD", "device")),
        ("Memcpy PtoP (Device -> Device)", ("PtoP", "device")),
        ("Memcpy DtoH (Device -> Host)", ("DtoH", "unknown")),
        ("Memcpy HtoA (Pinned -> Array)", ("HtoD", "pinned")),
        ("Memcpy <unknown> (Unknown -> Unknown)", ("unknown", "unknown")),
        ("Memcpy HtoD", ("HtoD", "unknown")),
        ("copyBuffer", ("unknown", "unknown")),
    ],
)
def test_names_say_direction_and_memory(name, expected):
    """CUDA's and ROCm's spellings; what a name does not say is unknown."""
    assert tuple(told.name for told in copy_of(name)) == expected


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("ncclKernel_AllReduce_RING_LL_Sum_float(ncclWorkElem)", KernelFamily.COLLECTIVE),
        ("ncclDevKernel_Generic(ncclDevKernelArgsStorage<4096ul>)", KernelFamily.COLLECTIVE),
        ("rcclGenericKernel<0>", KernelFamily.COLLECTIVE),
        ("ampere_sgemm_32x32_sliced1x4_tn", KernelFamily.PRODUCT),
        ("Cijk_Ailk_Bljk_SB_MT64x64x8_SE_K1", KernelFamily.PRODUCT),
        ("void cudnn::winograd_nonfused::winogradForwardData4x4<float, float>(…)", KernelFamily.PRODUCT),
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64>>(…)", KernelFamily.PRODUCT),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>>(int)", KernelFamily.OTHER),
    ],
)
def test_what_a_kernel_is_for(name, family):
    """NCCL's and RCCL's kernels are collectives; products of all libraries are told from what can be merged."""
    assert kernel_family(name) is family


def test_ranges_of_collectives():
    """The range that PyTorch puts around a collective names its library; an operator is none."""
    assert is_collective_range("nccl:all_reduce")
    assert is_collective_range("gloo:all_reduce")
    assert not is_collective_range("aten::add")
