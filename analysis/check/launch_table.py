"""How many kernels an operator starts on a GPU, at least and at most: the table that a run without one is read by.

Source: launches per call of each operator in the real traces of ``tests/real.py`` (V100 to H100, MI210 to MI300, RTX
2080 Ti to 3090, T4; torch 1.8 to 2.9), the first calls of a process left out, and torch's native functions where these
have none. A product may split its longest sum and add the parts in a second kernel; a copy may be a kernel or a memcpy,
which is no launch. Autocast and layouts add copies, which are operators of their own.
"""

from __future__ import annotations

import re
from typing import Final

Range = tuple[int, int]

NONE: Final[Range] = (0, 0)
ONE: Final[Range] = (1, 1)
_NONE: Final = """
    as_strided as_strided_ alias broadcast_tensors broadcast_to chunk conj detach detach_ diagonal empty empty_like
    empty_strided expand expand_as flatten is_floating_point is_nonzero is_pinned is_same_size item lift_fresh
    _local_scalar_dense movedim narrow new_empty new_empty_strided numpy_T permute pin_memory _pin_memory real
    record_stream _reshape_alias resize_ resize_as_ resolve_conj resolve_neg result_type select set_ slice split
    split_with_sizes squeeze squeeze_ swapaxes t transpose unbind unflatten unflatten_dense_tensors unfold _unsafe_view
    unsqueeze unsqueeze_ view view_as _has_compatible_shallow_copy_type _autocast_to_full_precision
"""
_ONE: Final = """
    abs add add_ addcdiv addcdiv_ addcmul addcmul_ arange argmax argmin atan2 avg_pool2d bernoulli_ bitwise_and
    bitwise_and_ bitwise_not bitwise_or bitwise_or_ bitwise_xor ceil ceil_ clamp clamp_ clamp_max clamp_min clamp_min_
    cos div div_ elu embedding eq exp exp_ floor floor_ gather ge gelu gelu_backward glu gt hardtanh
    hardtanh_ index_select leaky_relu leaky_relu_ leaky_relu_backward le lerp lerp_ log log2 log_ log1p
    logical_and logical_and_ logical_not logical_or lt masked_fill_ max_pool2d_with_indices maximum minimum mul mul_
    nan_to_num native_dropout native_dropout_backward ne neg neg_ nll_loss_forward normal_ pow pow_ rand random_
    reciprocal reciprocal_ relu relu_ remainder round rsqrt rsub scatter_ sgn sigmoid sigmoid_ sigmoid_backward sign
    silu silu_ silu_backward sin softplus softplus_backward sqrt sqrt_ square square_ sub sub_ tanh tanh_ tanh_backward
    threshold threshold_ threshold_backward tril tril_indices triu triu_indices uniform_ where
    log_sigmoid_forward smooth_l1_loss_backward hardswish hardswish_ hardswish_backward upsample_nearest2d
    upsample_bilinear2d upsample_nearest2d_backward upsample_bilinear2d_backward _log_softmax _log_softmax_backward_data
    _amp_foreach_non_finite_check_and_unscale_ _amp_update_scale_ cudnn_batch_norm cudnn_batch_norm_backward
"""
_RANGES: Final[dict[str, Range]] = {
    "copy_": (0, 1),
    "scalar_tensor": (0, 1),
    "fill_": (0, 1),
    "zero_": (0, 1),
    **dict.fromkeys(("sum", "mean", "max", "min", "any", "all", "prod", "amax", "amin", "norm"), (1, 2)),
    **dict.fromkeys(("var", "std", "var_mean", "logsumexp", "linalg_vector_norm", "cumsum"), (1, 3)),
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "addmm_", "_addmm_activation"), (1, 3)),
    **dict.fromkeys(("_softmax", "_softmax_backward_data"), (1, 2)),
    "cat": (1, 2),
    "convolution": (1, 8),
    "convolution_overrideable": (1, 8),
    "convolution_backward": (1, 12),
    "batch_norm": (1, 3),
    "native_batch_norm": (1, 3),
    "native_batch_norm_backward": (1, 2),
    "layer_norm": (1, 2),
    "native_layer_norm": (1, 2),
    "native_layer_norm_backward": (1, 3),
    "group_norm": (2, 3),
    "native_group_norm": (2, 3),
    "native_group_norm_backward": (3, 5),
    "_fused_rms_norm": (1, 3),
    "_fused_rms_norm_backward": (1, 3),
    "adaptive_avg_pool2d": (1, 2),
    "_adaptive_avg_pool2d": (1, 2),
    "_adaptive_avg_pool2d_backward": (1, 2),
    "avg_pool2d_backward": (1, 2),
    "max_pool2d_with_indices_backward": (1, 2),
    "embedding_dense_backward": (1, 16),
    "nll_loss_backward": (1, 2),
    "mse_loss": (1, 2),
    "mse_loss_backward": (1, 2),
    "smooth_l1_loss": (1, 2),
    "binary_cross_entropy": (1, 2),
    "binary_cross_entropy_backward": (1, 2),
    "scaled_dot_product_attention": (1, 14),
    "_scaled_dot_product_flash_attention_for_cpu_backward": (2, 16),
    "_scaled_dot_product_efficient_attention_backward": (2, 8),
    "_scaled_dot_product_flash_attention_backward": (2, 8),
    "_scaled_dot_product_attention_math": (3, 14),
    "nonzero": (2, 6),
    "index_add_": (1, 2),
    "index_copy_": (1, 1),
    "_index_put_impl_": (1, 6),
    "scatter_add_": (1, 2),
    "repeat_interleave": (1, 6),
    "sort": (2, 12),
    "topk": (1, 8),
    "randperm": (1, 8),
    "native_norm": (1, 2),
    **dict.fromkeys(("_fused_adam_", "_fused_adamw_", "_fused_sgd_", "_fused_adagrad_"), (1, 8)),
}
TABLE: Final[dict[str, Range]] = {
    **{f"aten::{name}": NONE for name in _NONE.split()},
    **{f"aten::{name}": ONE for name in _ONE.split()},
    **{f"aten::{name}": found for name, found in _RANGES.items()},
}
TABLE["record_param_comms"] = (0, 2)  # a collective
HOLLOW: Final = frozenset({"aten::to", "aten::reshape", "aten::contiguous", "aten::type_as", "aten::pad"})
# which return what they are given, where nothing lies in them
WITH_ITS_PARTS: Final = {"aten::index": ONE}  # a mask becomes numbers first, by operators inside
DROPOUT: Final = "aten::dropout"  # one kernel on a GPU, several operators on a CPU, none in evaluation
FOREACH: Final = re.compile(r"aten::_foreach_")
FOREACH_MOST: Final = 8  # kernels of one such operator, of as many tensors as a real trace has
NOTHING: Final = re.compile(  # of autograd and the compiler, on the host
    r"autograd::engine::|torch::autograd::AccumulateGrad|\w+Backward\d*$|detach_?$"
    r"|TorchDynamo Cache Lookup|AOTDispatcher Runtime Wrapper|Pregraph bytecode"
)
