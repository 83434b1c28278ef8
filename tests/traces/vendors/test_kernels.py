"""Names of kernels: family, type and tensor cores, each pattern by a real name."""

import pytest

from stallscope.traces.vendors.kernels import KernelKind, kernel_kind


@pytest.mark.parametrize(
    ("name", "family", "type_", "tensor_cores"),
    [
        ("ampere_sgemm_128x64_tn", "product", "f32", False),
        ("void cutlass::Kernel<cutlass_80_simt_sgemm_128x128_8x4_nn_align1>(Params)", "product", "f32", False),
        ("magma_sgemmEx_kernel<float, float, float, false, false, 6, 3, 4, 4, 4>", "product", "f32", False),
        ("ampere_fp16_sgemm_fp16_64x64_tn", "product", "f16", False),
        ("ampere_fp16_scudnn_fp16_128x64_relu_interior_nn_v1", "convolution", "f16", False),
        ("ampere_fp16_s16816gemm_fp16_128x64_ldg8_f2f_stages_64x4_tn", "product", "f16", True),
        ("volta_fp16_s884gemm_fp16_128x128_ldg8_f2f_nn", "product", "f16", True),
        ("turing_fp16_s1688gemm_fp16_128x128_ldg8_f2f_tn", "product", "f16", True),
        ("ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f_stages_64x4_tn", "product", "bf16", True),
        ("void cutlass::Kernel<cutlass_80_tensorop_s1688gemm_128x64_16x6_nn_align4>(Params)", "product", "tf32", True),
        ("cutlass_75_tensorop_f16_s1688gemm_f16_128x128_nn_align8", "product", "f16", True),
        ("void cutlass::Kernel<cutlass_80_wmma_tensorop_bf16_s161616gemm_bf16_32x32_128x2_tn_align8>(Params)",
         "product", "bf16", True),
        ("sm80_xmma_gemm_f32f32_f32f32_f32_tn_n_tilesize32x32x8_stage3_warpsize1x2x1_ffma_aligna4_alignc4_execute",
         "product", "f32", False),
        ("sm90_xmma_gemm_f32f32_tf32f32_f32_tn_n_tilesize128x128x32_warpgroupsize1x1x1_execute", "product", "tf32",
         True),
        ("sm80_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x64x64_stage3_warpsize2x2x1_tensor16x8x16_kernel",
         "product", "bf16", True),
        ("nvjet_tst_128x64_64x8_2x1_v_bz_TNT", "product", "bf16", True),
        ("nvjet_sm90_hsh_128x64_64x8_1x1_h_bz_NNT", "product", "f16", True),
        ("nvjet_qqtst_128x128_128x6_1x2_h_bz_TNT", "product", "fp8", True),
        ("volta_dgemm_64x64_nn", "product", "f64", False),
        ("cutlass_80_tensorop_d884gemm_64x64_16x4_nn_align1", "product", "f64", True),
        ("ampere_cgemm_64x64_tn", "product", "complex", False),
        ("volta_scudnn_128x64_relu_interior_nn_v1", "convolution", "f32", False),
        ("ampere_scudnn_winograd_128x128_ldg1_ldg4_relu_tile148t_nt_v1", "convolution", "f32", False),
        ("void implicit_convolve_sgemm<float, float, 128, 5, 5, 3, 3, 3, 1, true, false, true>(int)", "convolution",
         "f32", False),
        ("void cudnn::cnn::wgrad_alg0_engine<float, 512, 6, 5, 3, 3, 3, false, 512>(int)", "convolution", "f32", False),
        ("void gemv2T_kernel_val<int, int, float, float, float, float, 128, 16, 4, 4, false>(int)", "product", "f32",
         False),
        ("void gemmSN_NN_kernel<double, 256, 4, 2, 8, 2, 4, false>(int)", "product", "f64", False),
        ("void cublasLt::splitKreduce_kernel<32, 16, int, float, float, float, float, true>(int)", "product", "f32",
         None),
        ("void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, 128, 4, cutlass::bfloat16_t> >(P)",
         "attention", "bf16", True),
        ("fmha_cutlassF_bf16_aligned_64x64_rf_sm80(PyTorchMemEffAttention)", "attention", "bf16", True),
        ("fmha_cutlassF_f32_aligned_64x64_rf_sm80(PyTorchMemEffAttention)", "attention", "f32", True),
        ("fmhaSm100aKernel_QkvE4m3OBfloat16H128PagedKvCausal", "attention", "fp8", True),
        ("Cijk_Ailk_Bljk_BBS_BH_MT128x128x32_MI32x32x8x1_SN", "product", "bf16", True),
        ("Cijk_Ailk_Bljk_SB_MT64x64x16_SN_K1", "product", "f32", False),
        ("igemm_fwd_gtcx2_nhwc_bf16_bx0_ex1_bt128x64x32", "convolution", "bf16", True),
        ("attn_fwd", "attention", "unknown", None),
        ("triton_poi_fused_add_relu_0", "triton", "unknown", None),
        ("batched_transpose_32x32_half", "layout", "unknown", None),
        ("void cudnn::ops::nchwToNhwcKernel<__half, __half, float, false, true>(int)", "layout", "f16", None),
        ("__amd_rocclr_copyBuffer", "copy", "unknown", None),
        ("ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevComm*)", "collective", "unknown", None),
        ("ncclSymkDevKernel_AllReduce_RSxLD_AGxST_sum_f32(Args)", "collective", "unknown", None),
        ("void vllm::cross_device_reduce_1stage<__nv_bfloat16, 8>(int)", "collective", "bf16", None),
        ("my_own_kernel", "unknown", "unknown", None),
    ],
)  # fmt: skip
def test_a_name_tells(name, family, type_, tensor_cores):
    """Which of its family, type and tensor cores a real name tells, and no more."""
    assert kernel_kind(name) == KernelKind(family, type_, tensor_cores)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("void fbgemm_gpu::permute_2D_sparse_data_kernel<long, float>(int)", "scatter_gather"),
        ("void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16>(int)", "scatter_gather"),
    ],
)
def test_a_word_inside_a_name_tells_nothing(name, family):
    """A "gemm" in fbgemm is no product, "flash" in a cache's kernel no attention."""
    assert kernel_kind(name).family == family
