"""Cards, from a laptop's to an H100 and an MI300X, and the real names that kernels have on each of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal

from tests.evidence.simulator.machine import Machine
from tests.evidence.simulator.program import Kernel

Type = Literal["f64", "f32", "tf32", "f16", "bf16"]

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU as `deviceProperties` names it; ``bus`` in bytes per µs of pinned copies."""

    name: str
    capability: tuple[int, int]
    sms: int
    memory: int
    bus: tuple[float, float]
    laptop: bool = False
    rocm: bool = False

    @property
    def types(self) -> tuple[Type, ...]:
        """Return the types in which a well set-up training multiplies here."""
        if self.rocm:
            return ("f32", "bf16", "f16")
        if self.capability < (7, 0):
            return ("f32",)
        return ("f16",) if self.capability < (8, 0) else ("tf32", "bf16", "f16")

    def machine(self, drawn: Machine, made: random.Random) -> Machine:
        """The drawn machine with this card in it; a laptop's processor is no faster than the reference."""
        scale = max(drawn.host_scale, 1.0) if self.laptop else drawn.host_scale
        return replace(
            drawn, capability=self.capability, pinned_rate=made.uniform(*self.bus), rocm=self.rocm, host_scale=scale,
            pageable_rate=min(drawn.pageable_rate, 0.7 * self.bus[0]),
        )  # fmt: skip


CARDS = (
    Card("NVIDIA GeForce RTX 3060 Laptop GPU", (8, 6), 30, 6 * GIB, (11_000, 12_500), laptop=True),
    Card("NVIDIA GeForce GTX 1080 Ti", (6, 1), 28, 11 * GIB, (11_000, 12_500)),
    Card("Tesla V100-SXM2-16GB", (7, 0), 80, 16 * GIB, (11_000, 12_500)),
    Card("Tesla T4", (7, 5), 40, 15 * GIB, (11_000, 12_500)),
    Card("NVIDIA GeForce RTX 2080 Ti", (7, 5), 68, 11 * GIB, (11_000, 12_500)),
    Card("NVIDIA A100-SXM4-40GB", (8, 0), 108, 40 * GIB, (22_000, 25_500)),
    Card("NVIDIA GeForce RTX 3090", (8, 6), 82, 24 * GIB, (22_000, 25_500)),
    Card("NVIDIA L4", (8, 9), 58, 22 * GIB, (22_000, 25_500)),
    Card("NVIDIA GeForce RTX 4090", (8, 9), 128, 24 * GIB, (22_000, 25_500)),
    Card("NVIDIA H100 80GB HBM3", (9, 0), 132, 80 * GIB, (45_000, 53_000)),
    Card("AMD Instinct MI210", (9, 0), 104, 64 * GIB, (22_000, 25_500), rocm=True),
    Card("AMD Instinct MI300X", (9, 4), 304, 192 * GIB, (45_000, 53_000), rocm=True),
)
NVIDIA = tuple(card for card in CARDS if not card.rocm)
AMPERE = tuple(card for card in NVIDIA if card.capability >= (8, 0))

TEMPLATE = {"f64": "double", "f32": "float", "tf32": "float", "f16": "c10::Half", "bf16": "c10::BFloat16"}
TILES = ("64x64", "128x64", "128x128", "256x128", "64x128")


def product(card: Card, of: Type, tile: str, way: str) -> str:
    """A matrix product's kernel: cuBLAS's and CUTLASS's names, or Tensile's."""
    if card.rocm:
        code = {"f64": "DB", "f32": "SB", "tf32": "SB", "f16": "HHS_BH", "bf16": "BBS_BH"}[of]
        return f"Cijk_Alik_Bljk_{code}_MT{tile}x32_MI16x16x16x1_SN_1LDSB0_APM1_AF0EM1_MIAV1_MIWT4_4_MIaxb"
    if of == "f64":
        return double(card, tile, way)
    if card.capability < (8, 0):
        return older(card, of, tile, way)
    return hopper(of, tile, way) if card.capability >= (9, 0) else ampere(of, tile, way)


def double(card: Card, tile: str, way: str) -> str:
    """A matrix product's kernel in float64: tensor cores on an A100 and an H100, none elsewhere."""
    if card.capability == (8, 0):
        return f"cutlass_80_tensorop_d884gemm_{tile}_16x3_{way}_align1"
    if card.capability == (9, 0):
        shape = f"tilesize{tile}x16_stage4_warpsize2x2x1_tensor8x8x4"
        return f"sm80_xmma_gemm_f64f64_f64f64_f64_{way[0]}_n_{shape}_execute_kernel__5x_cublas"
    return f"volta_dgemm_{tile}_{way}"


def older(card: Card, of: Type, tile: str, way: str) -> str:
    """A matrix product's kernel before Ampere."""
    if card.capability < (7, 0):
        return f"maxwell_sgemm_{tile}_{way}"
    if of == "f32":
        return f"volta_sgemm_{tile}_{way}"
    chip, mma = ("volta", "s884") if card.capability == (7, 0) else ("turing", "s1688")
    return f"{chip}_fp16_{mma}gemm_fp16_{tile}_ldg8_f2f_{way}"


def ampere(of: Type, tile: str, way: str) -> str:
    """A matrix product's kernel on Ampere and Ada."""
    return {
        "tf32": f"cutlass_80_tensorop_s1688gemm_{tile}_16x6_{way}_align4",
        "f32": f"ampere_sgemm_{tile}_{way}",
        "f16": f"ampere_fp16_s16816gemm_fp16_{tile}_ldg8_f2f_stages_64x3_{way}",
        "bf16": f"ampere_bf16_s16816gemm_bf16_{tile}_ldg8_f2f_stages_64x3_{way}",
    }[of]


def hopper(of: Type, tile: str, way: str) -> str:
    """A matrix product's kernel on an H100."""
    turned = way[0]
    return {
        "f32": f"sm80_xmma_gemm_f32f32_f32f32_f32_{turned}_n_tilesize{tile}x8_stage3_warpsize2x2x1_ffma_aligna4_"
               "alignc4_execute_kernel__5x_cublas",
        "tf32": f"sm90_xmma_gemm_f32f32_tf32f32_f32_{turned}_n_tilesize{tile}x32_warpgroupsize1x1x1_"
                "execute_segment_k_off_kernel__5x_cublas",
        "f16": f"nvjet_hsh_{tile}_64x4_2x1_v_bz_coopA_{way.upper()}",
        "bf16": f"nvjet_tst_{tile}_64x4_2x1_v_bz_coopA_{way.upper()}",
    }[of]  # fmt: skip


def convolution(card: Card, of: Type, tile: str, way: str) -> str:
    """A convolution's kernel; ``way`` is fprop, dgrad or wgrad."""
    if card.rocm:
        short = {"fprop": "fwd", "dgrad": "bwd", "wgrad": "wrw"}[way]
        word = {"f16": "fp16", "bf16": "bf16"}.get(of, "fp32")
        return f"igemm_{short}_gtcx2_nhwc_{word}_bx0_ex1_bt{tile}x32_wt32x32x8_ws1x1_wr2x2_ta1x8x2x1_1x4x1x64"
    if of == "f64":
        return f"void implicit_convolve_sgemm<double, double, 1024, 5, 5, 3, 3, 3, 1, {way == 'fprop'}, false, true>"
    if of == "f32" or card.capability < (7, 0):
        chip = "maxwell" if card.capability < (7, 0) else "volta" if card.capability < (8, 0) else "ampere"
        return f"{chip}_scudnn_{tile}_relu_{'medium' if way == 'fprop' else 'small'}_nn_v1"
    if card.capability < (8, 0):
        chip, mma = ("volta", "s884") if card.capability == (7, 0) else ("turing", "s1688")
        return f"{chip}_fp16_{mma}cudnn_fp16_{tile}_ldg8_{way}_f2f_exp_interior_nhwc_tn_v1"
    words = {"tf32": "tf32f32_tf32f32_f32", "f16": "f16f16_f16f16_f32", "bf16": "bf16bf16_bf16f32_f32"}[of]
    return (
        f"sm80_xmma_{way}_implicit_gemm_{words}_nhwckrsc_nhwc_tilesize{tile}x32_stage4_warpsize2x2x1_g1_"
        "tensor16x8x16_execute_kernel__5x_cudnn"
    )


def elementwise(of: Type, functor: str) -> str:
    """A pointwise kernel of ATen."""
    inner = f"at::native::{functor}<{TEMPLATE[of]}>"
    return f"void at::native::vectorized_elementwise_kernel<4, {inner}, std::array<char*, 3ul> >(int, {inner})"


def attention(card: Card, of: Type, way: str) -> str:
    """An attention kernel: flash where the type allows it."""
    if card.rocm:
        return "attn_fwd" if way == "fwd" else "bwd_kernel_dk_dv"
    if of in ("f32", "tf32", "f64") or card.capability < (8, 0):
        return f"fmha_cutlass{'F' if way == 'fwd' else 'B'}_{'f16' if of == 'f16' else 'f32'}_aligned_64x64_rf_sm80"
    word = "cutlass::bfloat16_t" if of == "bf16" else "cutlass::half_t"
    traits = f"pytorch_flash::Flash_{way}_kernel_traits<64, 128, 128, 4, false, false, {word}>"
    kernel = "kernel" if way == "fwd" else "dq_dk_dv_loop_seqk_parallel_kernel"
    return f"void pytorch_flash::flash_{way}_{kernel}<{traits}>"


def layout(card: Card, of: Type, way: str) -> str:
    """A kernel that turns NCHW into NHWC or back, as cuDNN and MIOpen start them around their convolutions."""
    if card.rocm:
        return f"batched_transpose_32x32_{'half' if of in ('f16', 'bf16') else 'dword'}"
    word = {"f16": "__half", "bf16": "__nv_bfloat16"}.get(of, "float")
    return f"void cudnn::ops::{way}Kernel<{word}, {word}, float, false, true, (cudnnKernelDataType_t)0>"


def renamed(kernel: Kernel, card: Card, of: Type, tile: str) -> Kernel:
    """The kernel of `models`' rough names under its real name on ``card``."""
    rough = kernel.name
    word = TEMPLATE[of]
    if rough.startswith("layout: "):
        name = layout(card, of, rough.removeprefix("layout: "))
    elif "sgemm" in rough:
        name = product(card, of, tile, rough[-2:])
    elif "implicit_gemm" in rough:
        name = convolution(card, of, tile, rough.split("_")[2])
    elif "flash" in rough:
        name = attention(card, of, "fwd" if "fwd" in rough else "bwd")
    elif "elementwise" in rough:
        functor = rough.rpartition("::")[2].rstrip(">")
        name = elementwise(of, {"add": "CUDAFunctor_add", "mul": "BinaryFunctor"}.get(functor, f"{functor}_functor"))
    elif "reduce_kernel" in rough:
        name = (
            f"void at::native::reduce_kernel<512, 1, at::native::ReduceOp<{word}, at::native::sum_functor<{word}> > >"
        )
    elif rough.startswith("cudnn::bn"):
        kind = "bn_bw_1C11_kernel_new" if "bw" in rough else "bn_fw_tr_1C11_kernel_NCHW"
        name = (
            f"MIOpenBatchNorm{'Bwd' if 'bw' in rough else 'Fwd'}Spatial" if card.rocm else f"void cudnn::{kind}<{word}>"
        )
    elif "multi_tensor" in rough or rough.startswith("fused_"):
        name = f"void at::native::(anonymous namespace)::{rough}<at::native::{word}>"
    else:
        name = f"void at::native::(anonymous namespace)::{rough}<{word}, float>"
    return replace(kernel, name=name)
