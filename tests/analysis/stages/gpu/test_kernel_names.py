"""Short names of kernels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallscope.analysis.stages.gpu.kernel_names import short_name

ADD = (
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, "
    "at::detail::Array<char*, 3> >(int, at::native::CUDAFunctor_add<float>, at::detail::Array<char*, 3>)"
)
NORM = (
    "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::NormTwoOps<float, float, float>, "
    "unsigned int, float, 4> >(at::native::ReduceOp<float>)"
)
COPY = (
    "void at::native::unrolled_elementwise_kernel<at::native::(anonymous namespace)::direct_copy_kernel_cuda("
    "at::TensorIteratorBase&)::{lambda()#2}::operator()() const::{lambda(long)#1}, at::detail::Array<char*, 2> >(int)"
)
CONVOLUTION = "_ZN2ck16tensor_operation6device12_GLOBAL__N_139kernel_grouped_conv_fwd_xdl_cshuffle_v3INS_28GridwiseE"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("volta_sgemm_128x64_nn", "volta_sgemm_128x64_nn"),
        ("triton_poi_fused_add_0", "triton_poi_fused_add_0"),
        ("ncclDevKernel_Generic(ncclDevKernelArgsStorage<4096ul>)", "ncclDevKernel_Generic"),
        (ADD, "vectorized_elementwise_kernel<CUDAFunctor_add>"),
        (NORM, "reduce_kernel<ReduceOp<NormTwoOps>>"),
        (COPY, "unrolled_elementwise_kernel<direct_copy_kernel_cuda>"),
        ("void cutlass::Kernel<cutlass_80_gemm>(cutlass_80_gemm::Params)", "Kernel<cutlass_80_gemm>"),
        (CONVOLUTION, "kernel_grouped_conv_fwd_xdl_cshuffle_v3"),
        ("_Z3addPfS_i", "add"),
        ("_Z", "_Z"),
        ("", ""),
    ],
)
def test_what_the_name_says(name, expected):
    """The function's own name and the arguments that tell it from others; plain names stay."""
    assert short_name(name) == expected


@given(st.text(alphabet="_ZN3ab<>(){}:,#1 operatlmbd", max_size=60))
def test_any_name_has_a_short_name(name):
    """Brackets that do not match, operators, lambdas: a name comes out, never longer than what went in by much."""
    short = short_name(name)
    assert bool(short) == bool(name)
    assert len(short) <= len(name) + 8
