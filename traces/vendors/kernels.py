"""Kernels by their names: to which family one belongs, in which type it computes, whether on tensor cores.

One table a library, of patterns that are matched from the beginning of the name (``void`` and namespaces of no meaning
left out); the first that matches decides, and a name that none matches is of an unknown family. Sources: the names as
NVIDIA's, AMD's and PyTorch's libraries give them (cuBLAS, cuDNN, CUTLASS, ATen, Triton, rocBLAS/Tensile, MIOpen,
Composable Kernel); the tests hold them against real names.

*Tensor cores*: True, False, or None where the name does not say. AMD's matrix cores count as such.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, Literal

Family = Literal[
    "product", "convolution", "attention", "normalisation", "pointwise", "reduction", "sort", "scatter_gather",
    "fft", "layout", "copy", "collective", "triton", "optimizer", "unknown",
]  # fmt: skip
Type = Literal["f64", "f32", "tf32", "f16", "bf16", "fp8", "fp4", "int8", "complex", "unknown"]


@dataclass(frozen=True, slots=True)
class KernelKind:
    """What a kernel's name tells."""

    family: Family
    type: Type
    tensor_cores: bool | None


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: str
    family: Family
    type: Type | None = None  # None: as the name's own words say
    tensor_cores: bool | None = None

    def accepts(self, name: str) -> bool:
        """Whether the name begins so. The ~100 patterns take 20 ms to compile: none is before it is needed."""
        return _compiled(self.pattern).match(name) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _rule(
    pattern: str, family: Family, of_type: Type | None = None, *, tensor_cores: bool | None = None
) -> _Rule:  # fmt: skip
    return _Rule(pattern, family, of_type, tensor_cores)


_ARCH: Final = r"(?:kepler|maxwell|pascal|volta|turing|ampere|hopper|blackwell)"
_NATIVE: Final = r"at::native::(?:\(anonymous namespace\)::)?(?:\w+::)*"

_COLLECTIVE: Final = (
    _rule(r"(?:nccl|rccl)(?:Dev)?Kernel|nccl\w*(?:AllReduce|AllGather|ReduceScatter|Broadcast|SendRecv)", "collective"),
    _rule(r"ncclSymk?DevKernel|ncclSymk", "collective"),
    _rule(r"(?:\w+::)*(?:cross_device_reduce|multimem_|(?:one|two)_shot_all_reduce)", "collective"),
)
_TRITON: Final = (_rule(r"triton_(?:poi|red|per|tem|for|helion)_|triton_\w+", "triton"),)
_CUBLAS: Final = (
    _rule(rf"{_ARCH}_\w*scudnn\w*fp16|{_ARCH}_fp16_\w*scudnn", "convolution", "f16", tensor_cores=False),
    _rule(rf"{_ARCH}_\w*s?cudnn|{_ARCH}_scudnn_winograd", "convolution", "f32", tensor_cores=False),
    _rule(rf"{_ARCH}_\w*bf16_s\d+gemm", "product", "bf16", tensor_cores=True),
    _rule(rf"{_ARCH}_\w*fp16_s\d+gemm|{_ARCH}_\w*h\d+gemm", "product", "f16", tensor_cores=True),
    _rule(rf"{_ARCH}_fp16_sgemm_fp16|{_ARCH}_hgemm", "product", "f16", tensor_cores=False),
    _rule(rf"{_ARCH}_\w*tf32\w*gemm", "product", "tf32", tensor_cores=True),
    _rule(rf"{_ARCH}_\w*(?:int8|i\d+gemm|imma)", "product", "int8", tensor_cores=True),
    _rule(rf"{_ARCH}_d\d+gemm|(?:cutlass_\d+_tensorop_)?d884gemm", "product", "f64", tensor_cores=True),
    _rule(rf"{_ARCH}_dgemm", "product", "f64", tensor_cores=False),
    _rule(rf"{_ARCH}_(?:gc?|c|z)gemm", "product", "complex", tensor_cores=False),
    _rule(rf"{_ARCH}_gcgemm", "product", "complex", tensor_cores=False),
    _rule(rf"{_ARCH}_s\d+gemm", "product", "tf32", tensor_cores=True),
    _rule(rf"{_ARCH}_sgemm", "product", "f32", tensor_cores=False),
    _rule(r"nvjet_(?:sm\d+_)?(?:qq|oo)", "product", "fp8", tensor_cores=True),
    _rule(r"nvjet_(?:sm\d+_)?tst", "product", "bf16", tensor_cores=True),
    _rule(r"nvjet_(?:sm\d+_)?hs[hs]", "product", "f16", tensor_cores=True),
    _rule(r"nvjet_(?:sm\d+_)?s?ss", "product", "tf32", tensor_cores=True),
    _rule(r"nvjet_", "product", "unknown", tensor_cores=True),
    _rule(r"magma_\w*sgemm|sgemm_largek|sgemm_", "product", "f32", tensor_cores=False),
    _rule(r"cutlass_\d+_simt_dgemm|dgemm|magma_\w*dgemm", "product", "f64", tensor_cores=False),
    _rule(r"(?:\w+::)*(?:gemv|gemmSN|gemmk1|gemvx|dot_kernel|reduce_1Block_kernel|gemvNSP)", "product",
          tensor_cores=False),
    _rule(r"(?:cublasLt::)?splitKreduce_kernel|(?:\w+::)*epilogue::impl::globalKernel", "product"),
)  # fmt: skip
_CUTLASS: Final = (
    _rule(r"(?:cutlass\w*::)?(?:\w+::)*(?:Kernel2?<)?cutlass_\d+_simt_[sf]\w*gemm", "product", "f32",
          tensor_cores=False),
    _rule(r"(?:cutlass\w*::)?Kernel2?<cutlass(?:3x)?_\w*simt_sgemm", "product", "f32", tensor_cores=False),
    _rule(r"(?:cutlass\w*::)?(?:Kernel2?<)?cutlass\w*_(?:fprop|dgrad|wgrad)\w*tf32", "convolution", "tf32",
          tensor_cores=True),
    _rule(r"(?:cutlass\w*::)?(?:Kernel2?<)?cutlass\w*tensorop\w*(?:fprop|dgrad|wgrad)", "convolution",
          tensor_cores=True),
    _rule(r"(?:cutlass\w*::)?(?:Kernel2?<)?cutlass\w*simt\w*(?:fprop|dgrad|wgrad)", "convolution", "f32",
          tensor_cores=False),
    _rule(r"(?:cutlass\w*::)?(?:Kernel2?<)?cutlass\w*(?:tensorop|wmma_tensorop)_d\d*gemm", "product", "f64",
          tensor_cores=True),
    _rule(r"(?:cutlass\w*::)?(?:Kernel2?<)?cutlass\w*tensorop\w*bf16", "product", "bf16", tensor_cores=True),
    _rule(r"(?:cutlass\w*::)?(?:Kernel2?<)?cutlass\w*tensorop\w*f16", "product", "f16", tensor_cores=True),
    _rule(r"(?:cutlass\w*::)?(?:Kernel2?<)?cutlass\w*tensorop\w*(?:e4m3|e5m2|f8)", "product", "fp8",
          tensor_cores=True),
    _rule(r"(?:cutlass\w*::)?(?:Kernel2?<)?cutlass\w*tensorop\w*i\d*gemm_s8", "product", "int8", tensor_cores=True),
    _rule(r"(?:cutlass\w*::)?(?:Kernel2?<)?cutlass\w*tensorop\w*(?:tf32|s\d+gemm|s16\d+)", "product", "tf32",
          tensor_cores=True),
    _rule(r"fmha_cutlass[FB]_bf16", "attention", "bf16", tensor_cores=True),
    _rule(r"fmha_cutlass[FB]_f16", "attention", "f16", tensor_cores=True),
    _rule(r"fmha_cutlass[FB]_f32", "attention", "f32", tensor_cores=True),
    _rule(r"(?:cutlass::)?device_kernel<.*(?:flash|fmha|Attn)", "attention", tensor_cores=True),
    _rule(r"(?:cutlass::)?device_kernel<", "product", tensor_cores=True),
    _rule(r"(?:cutlass\w*::)?Kernel2?<", "product"),
)  # fmt: skip
_CUDNN: Final = (
    _rule(r"(?:sm\d+_)xmma_(?:fprop|dgrad|wgrad)\w*(?:tf32f32|f32f32_tf32)", "convolution", "tf32", tensor_cores=True),
    _rule(r"(?:sm\d+_)xmma_(?:fprop|dgrad|wgrad)\w*bf16", "convolution", "bf16", tensor_cores=True),
    _rule(r"(?:sm\d+_)xmma_(?:fprop|dgrad|wgrad)\w*f16f16", "convolution", "f16", tensor_cores=True),
    _rule(r"(?:sm\d+_)xmma_(?:fprop|dgrad|wgrad)", "convolution"),
    _rule(r"(?:sm\d+_)xmma_gemm_\w*(?:tf32f32|f32f32_tf32)", "product", "tf32", tensor_cores=True),
    _rule(r"(?:sm\d+_)xmma_gemm_\w*(?:e4m3|e5m2)", "product", "fp8", tensor_cores=True),
    _rule(r"(?:sm\d+_)xmma_gemm_bf16", "product", "bf16", tensor_cores=True),
    _rule(r"(?:sm\d+_)xmma_gemm_f16", "product", "f16", tensor_cores=True),
    _rule(r"(?:sm\d+_)xmma_gemm_f32f32_f32f32", "product", "f32", tensor_cores=False),
    _rule(r"(?:sm\d+_)xmma_gemm", "product"),
    _rule(r"(?:\w+::)*(?:implicit|explicit|precomputed)_convolve_sgemm", "convolution", tensor_cores=False),
    _rule(r"(?:\w+::)*(?:wgrad|dgrad)_?(?:alg\d\w*)?_?engine", "convolution", tensor_cores=False),
    _rule(r"cudnn::(?:detail|cnn)::(?:dgrad|wgrad|conv2d)\w*", "convolution", tensor_cores=False),
    _rule(r"(?:cudnn::)?(?:\w+::)*(?:winograd|generateWinograd)\w*", "convolution", tensor_cores=False),
    _rule(r"_ZN\d+cutlass_cudnn\w*ImplicitGemmConvolution", "convolution"),
    _rule(r"cask\w*::compute\w*Offsets", "convolution"),
    _rule(r"(?:\w+::)*(?:conv2d_grouped_direct|conv_depthwise|conv_depthwise2d\w*)", "convolution", tensor_cores=False),
    _rule(r"(?:cudnn::)?(?:\w+::)*(?:im2col|kern_precompute_indices|computeOffsetsKernel|reduce_wgrad|flip_filter)",
          "convolution"),
    _rule(r"(?:\w+::)*\w*(?:nchwToNhwc|nhwcToNchw|nhwcToFolded|foldedNhwc|nchwToFold\w*)\w*", "layout"),
    _rule(r"(?:\w+::)*(?:genericTranspose|transpose_readWrite|tensorTransform|convertTensor)\w*", "layout"),
    _rule(r"(?:cudnn::)(?:\w+::)*bn_|(?:cudnn::)?(?:\w+::)*(?:batch|group|layer|instance)_?norm", "normalisation"),
    _rule(r"cudnn\w*::\w*(?:flash|sdpa|fort_native_sdpa)|cudnn_generated_fort_native_sdpa", "attention",
          tensor_cores=True),
    _rule(r"cudnn::ops::(?:scalePackedTensor|scaleTensor)", "pointwise"),
    _rule(r"(?:\w+::)*(?:LSTM|RNN|GRU)_\w*(?:elementWise|persist)", "pointwise"),
    _rule(r"(?:fft|vector_fft|regular_fft|multi_bluestein|radix\w*fft|\w*::fft)\w*", "fft"),
    _rule(r"(?:\w+::)*\w*pool\w*_(?:fw|bw)", "reduction"),
)  # fmt: skip
_AMD: Final = (
    _rule(r"Cijk_\w*?_(?:BBS|B8?BS?|BB)_\w*MI\d", "product", "bf16", tensor_cores=True),
    _rule(r"Cijk_\w*?_(?:HHS|HSS|HH|H)_\w*MI\d", "product", "f16", tensor_cores=True),
    _rule(r"Cijk_\w*?_(?:F8|B8|F8N|F8B8)\w*_\w*MI\d", "product", "fp8", tensor_cores=True),
    _rule(r"Cijk_\w*?_(?:DB|D)_\w*MI\d", "product", "f64", tensor_cores=True),
    _rule(r"Cijk_\w*?_(?:SB|S)_\w*MI\d", "product", "f32", tensor_cores=True),
    _rule(r"Cijk_\w*?_(?:DB|D)_", "product", "f64", tensor_cores=False),
    _rule(r"Cijk_\w*?_(?:SB|S)_", "product", "f32", tensor_cores=False),
    _rule(r"Cijk_\w*?_(?:BBS|BB)_", "product", "bf16", tensor_cores=False),
    _rule(r"Cijk_\w*?_(?:HHS|HSS|HH|H)_", "product", "f16", tensor_cores=False),
    _rule(r"Cijk_", "product"),
    _rule(r"transpose_\w*(?:CNHW|NCHW|NHWC)\w*", "layout"),
    _rule(r"_ZN5aiter\d+\w*rmsnorm", "normalisation"),
    _rule(r"_ZN\d+sgl_hip\w*activation", "pointwise"),
    _rule(r"igemm_\w*gtcx\w*_bf16", "convolution", "bf16", tensor_cores=True),
    _rule(r"igemm_\w*gtcx\w*_fp16", "convolution", "f16", tensor_cores=True),
    _rule(r"igemm_\w*gtcx\w*_fp32", "convolution", "f32", tensor_cores=True),
    _rule(r"_ZN2ck\w*(?:conv|Conv)\w*", "convolution", "unknown", tensor_cores=True),
    _rule(r"_ZN2ck\w*(?:gemm|Gemm)\w*|ck::\w*::\w*(?:gemm|Gemm)", "product", "unknown", tensor_cores=True),
    _rule(r"miopen\w*(?:Conv|conv|Winograd)|Op\w*conv|gfx\d+_\w*conv|miopenSp3AsmConv\w*", "convolution"),
    _rule(r"MIOpen(?:Batch|Layer|Group)Norm|MIOpenBatchNorm\w*", "normalisation"),
    _rule(r"(?:mlo|MIOpen)Pool\w*", "reduction"),
    _rule(r"(?:\w+::)*batched_transpose_\w*|SubTensorOp\w*", "layout"),
    _rule(r"__amd_rocclr_(?:copy|fill)Buffer\w*", "copy"),
    _rule(r"attn_fwd|attn_bwd|bwd_kernel_(?:dk_dv|dq)", "attention", "unknown"),
    _rule(r"(?:_ZN5)?aiter(?:::)?\w*fmha_\w*_bf16|aiter::\w*bf16", "attention", "bf16", tensor_cores=True),
    _rule(r"(?:\w+::)*paged_attention\w*", "attention"),
    _rule(r"rocprim::(?:\w+::)*detail::trampoline_kernel|rocprim::", "sort"),
)
_ATTENTION: Final = (
    _rule(r"(?:pytorch_flash|flash|flash_attn)::flash_(?:fwd|bwd)\w*|flash_(?:fwd|bwd)_", "attention",
          tensor_cores=True),
    _rule(r"bmm_Mx|bmm_\w*(?:MxE|E4m3|E2m1)", "product", "fp8", tensor_cores=True),
    _rule(r"bmm_Bfloat16", "product", "bf16", tensor_cores=True),
    _rule(r"fmhaSm\d+\w*_QkvE4m3", "attention", "fp8", tensor_cores=True),
    _rule(r"fmhaSm\d+\w*_QkvBf16|fmhaSm\d+\w*Bfloat16", "attention", "bf16", tensor_cores=True),
    _rule(r"fmhaSm\d+|fmha_v\d|fmha_(?!cutlass)", "attention", tensor_cores=True),
    _rule(r"(?:\w+::)*(?:single|batch)_(?:prefill|decode)_with|BatchPrefill|BatchDecode", "attention"),
)  # fmt: skip
_ATEN: Final = (
    _rule(rf"{_NATIVE}(?:multi_tensor_apply_kernel).*(?:Adam|SGD|Adagrad|Lamb|FusedAdam|fused_adam)", "optimizer"),
    _rule(rf"(?:{_NATIVE})?multi_tensor_apply_kernel", "optimizer"),
    _rule(r"(?:\w+::)*(?:split_embedding_backward\w*(?:adagrad|adam|sgd))\w*", "scatter_gather"),
    _rule(rf"{_NATIVE}(?:vectorized_layer_norm|layer_norm|LayerNormForward|ComputeFusedParams|RowwiseMoments|cuComputeGrad|cuComputePart|GammaBeta|"
          r"batch_norm|GroupNorm|ComputeInternalGradients|ComputeBackwardFused|rms_norm)\w*", "normalisation"),
    _rule(r"(?:\w+::)*rms_norm\w*|(?:\w+::)*fused_add_rms_norm\w*|(?:\w+::)*ln_(?:fwd|bwd)\w*", "normalisation"),
    _rule(r"(?:\(anonymous namespace\)::|\w+::)*(?:softmax|cunn_SoftMax|spatial_softmax|masked_softmax)\w*",
          "reduction"),
    _rule(rf"{_NATIVE}(?:nll_loss|cross_entropy|reduce_kernel|tensor_kernel_scan|kernelHistogram|avg_pool|max_pool|"
          r"adaptive_average|adaptive_max|triu_tril_sum|norm)\w*", "reduction"),
    _rule(r"cunn_ClassNLL\w*|(?:\w+::)*pool(?:ing)?_\w*", "reduction"),
    _rule(r"(?:at_cuda_detail::)?(?:cub|thrust::cuda_cub)::(?:\w+::)*Device(?:Reduce|Scan|Histogram|SegmentedReduce)",
          "reduction"),
    _rule(r"(?:at_cuda_detail::)?cub::(?:\w+::)*Device(?:Segmented)?(?:Radix|Merge)?Sort", "sort"),
    _rule(rf"{_NATIVE}(?:radixSort|bitonicSort|radixFindKth|gatherTopK|sort|computeBlockwise\w*|mbtopk)\w*", "sort"),
    _rule(r"(?:at_cuda_detail::)?cub::(?:\w+::)*Device(?:Select|Compact|Partition|UniqueByKey)", "scatter_gather"),
    _rule(rf"{_NATIVE}(?:CatArrayBatchedCopy|index|gather|scatter|_scatter_gather|vectorized_gather|embedding|"
          r"compute_grad_weight|sum_and_scatter|masked_(?:fill|scatter|select)|take|put|write_indices|searchsorted|tril_indices|krn_partial)\w*",
          "scatter_gather"),
    _rule(r"(?:\w+::)*(?:split_embedding|fbgemm_gpu::|linearize_index|permute_pooled|bounds_check_indices|"
          r"recat_copy|nms_kernel|reshape_and_cache|embedding)\w*", "scatter_gather"),
    _rule(rf"(?:{_NATIVE})(?:CUDAFunctor|vectorized_elementwise|unrolled_elementwise|elementwise|"
          r"distribution_elementwise|fused_dropout|upsample|kernel::(?:gru|lstm)|lstm|gru|triu_tril|"
          r"batch_tril|legacy|chunk_cat|FillFunctor|arange|im2col|col2im|reflection_pad|replication_pad)\w*",
          "pointwise"),
    _rule(r"(?:\w+::)*(?:act_and_mul|rotary_embedding|silu_and_mul|scaled_fp8_quant|quantize|pointwise|scal_kernel|"
          r"fused_dropout|cvt_fp\w*)\w*", "pointwise"),
    _rule(r"(?:Memcpy|Memset)\b", "copy"),
)  # fmt: skip
TABLES: Final = (
    *_COLLECTIVE, *_TRITON, *_ATTENTION, *_CUBLAS, *_CUTLASS, *_CUDNN, *_AMD, *_ATEN,
)  # fmt: skip

_TYPES: Final[tuple[tuple[re.Pattern[str], Type], ...]] = (
    (re.compile(r"\b(?:c10::)?(?:BFloat16|__nv_bfloat16|bfloat16_t|__hip_bfloat16)\b|_bf16\b|\bbf16"), "bf16"),
    (re.compile(r"\b(?:c10::)?(?:Half|__half2?|half_t|half)\b|_f16\b|\bfp16|_fp16\b"), "f16"),
    (re.compile(r"Float8_e|__nv_fp8|e4m3|e5m2", re.IGNORECASE), "fp8"),
    (re.compile(r"c10::complex<|cuComplex|float2\b"), "complex"),
    (re.compile(r"\bdouble\b"), "f64"),
    (re.compile(r"\bfloat\b"), "f32"),
    (re.compile(r"\b(?:signed char|int8_t|char)\b"), "int8"),
)
_NOISE: Final = re.compile(
    r"^(?:void |std::enable_if<.*?>::type |\(anonymous namespace\)::|cudnn_(?:infer|train)_|_\dx_cudnn_|"
    r"cudnn_(?=ampere|volta|turing))+"
)


@lru_cache(maxsize=65_536)
def kernel_kind(name: str) -> KernelKind:
    """What the name of a kernel tells; of an unknown one only the type that its template names."""
    plain = _NOISE.sub("", name)
    for rule in TABLES:
        if rule.accepts(plain):
            return KernelKind(rule.family, rule.type or _type_in(plain), rule.tensor_cores)
    return KernelKind("unknown", _type_in(plain), None)


def _type_in(name: str) -> Type:
    """The number type that a name names first."""
    first: tuple[int, Type] | None = None
    for pattern, kind in _TYPES:
        match = pattern.search(name)
        if match is not None and (first is None or match.start() < first[0]):
            first = (match.start(), kind)
    return "unknown" if first is None else first[1]
