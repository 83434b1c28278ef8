"""The kinds of wait as users know them: what each is called, and one piece of advice with code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Wait:
    """A kind of wait as a user knows it, and what leads to it."""

    title: str
    advice: str  # one thing to do, with code
    calls: tuple[str, ...] = ()  # of a script, as an attribution window tells them (``CallSite.kind``)
    operators: tuple[str, ...] = ()  # of PyTorch, around the call that waits
    advice_of_call: Mapping[str, str] = field(default_factory=dict)  # where one of the calls has a better one


SCALED: Final = (  # of which a number was given as a tensor, ``alpha=scale``
    *("add", "sub", "rsub", "addmm", "addmv", "addr", "addbmm", "baddbmm", "addcmul", "addcdiv"),
    *("add_", "sub_", "addmm_", "addmv_", "addr_", "addbmm_", "baddbmm_", "addcmul_", "addcdiv_"),
)
WAITS: Final = {
    "boolean_mask": Wait(
        "x[mask], a boolean mask, of which only the GPU knows how many elements it picks",
        "Keep the size fixed: torch.where(mask, values, 0.0), or multiply by the mask.",
        calls=("index",),
        operators=("aten::index", "aten::index_put_"),
    ),
    "nonzero": Wait(
        "nonzero(), unique() or masked_select(), results of a size that only the GPU knows",
        "Keep sizes fixed: torch.where(condition, x, y) with three arguments, or multiply by the mask.",
        calls=(
            *("nonzero", "argwhere", "unique", "unique_consecutive", "masked_select", "where", "bincount", "one_hot"),
            "repeat_interleave",
        ),
        operators=(
            *("aten::nonzero", "aten::masked_select"),
            *("aten::unique", "aten::_unique", "aten::_unique2", "aten::unique_dim"),
        ),
        advice_of_call={
            "unique": "Take it once, before the loop; or count on the GPU into a fixed size: "
            "torch.zeros(n, device=ids.device).index_add_(0, ids, weights).",
        },
    ),
    "if_tensor": Wait(
        "a tensor in `if`, `while` or bool(), whose value Python must know",
        "Decide on the GPU, x = torch.where(value > limit, a, b), or test every 100 steps: "
        "if step % 100 == 0 and value > limit.",
        calls=("__bool__", "is_nonzero", "equal", "allclose", "__contains__"),
        operators=("aten::is_nonzero",),
    ),
    "print": Wait(
        "printing or formatting a tensor, print(loss) or an f-string",
        'Print every 100 steps: if step % 100 == 0: print(f"{loss.item():.3f}").',
        calls=("__format__", "__repr__"),
    ),
    "tolist": Wait(
        ".tolist()",
        "Call it once after the loop, on the tensors kept until then: torch.stack(kept).tolist().",
        calls=("tolist",),
    ),
    "item": Wait(
        ".item(), float() or int() of a GPU tensor",
        "Keep loss.detach() in a list and read it once per 100 steps: torch.stack(losses).tolist().",
        calls=("item", "__float__", "__int__", "__index__", "__complex__", *SCALED),
        advice_of_call=dict.fromkeys(SCALED, "Multiply first, and leave alpha out: x.add_(y * scale)."),
        operators=("aten::item", "aten::_local_scalar_dense"),
    ),
    "tensor_to_device": Wait(
        "making a GPU tensor of Python values, torch.tensor(values, device=...)",
        "Make it once before the loop and reuse it, or build it on the GPU: torch.full((n,), value, device=device).",
        calls=("tensor", "as_tensor", "asarray", "new_tensor", "index_array"),
        advice_of_call={
            "index_array": "Pick the rows on the GPU: rows = torch.randperm(n, device=x.device)[:b]; x[rows].",
        },
    ),
    "to_device": Wait(
        "copying to the GPU from pageable memory, x.to(device)",
        'Pin it and do not wait: DataLoader(..., pin_memory=True) and x.to("cuda", non_blocking=True).',
        calls=("to", "cuda", "xpu", "copy_"),
    ),
    "to_host": Wait(
        "copying results to the CPU, .cpu(), .numpy() or .to('cpu')",
        "Bring results back less often, several at once; or into pinned memory: "
        "out.copy_(x, non_blocking=True), read after a later event.synchronize().",
        calls=("cpu", "numpy", "__array__", "type", "type_as"),
    ),
    "synchronize": Wait(
        "torch.cuda.synchronize(), or that of a stream or event",
        "If it is left from timing code, remove it from the loop; time with torch.cuda.Event(enable_timing=True).",
        calls=(
            *("cuda.synchronize", "xpu.synchronize", "mps.synchronize", "accelerator.synchronize"),
            *("Event.synchronize", "Stream.synchronize"),
        ),
    ),
    "cudnn": Wait(
        "cuDNN trying out algorithms, torch.backends.cudnn.benchmark = True",
        "It does so once for each new shape: keep shapes the same, DataLoader(..., drop_last=True), and let the first "
        "steps pass before measuring.",
    ),
    "grad_scaler": Wait(
        "GradScaler reads whether a gradient overflowed, in each step",
        "An optimizer with fused=True checks on the GPU: torch.optim.AdamW(..., fused=True); bfloat16 needs no scaler.",
    ),
    "other_wait": Wait("waiting for the GPU", "Ask for its result less often, or later in the step."),
}
MOVES: Final = " The CPU may then wait at its next read instead."
BY_CALL: Final = {call: name for name, wait in WAITS.items() for call in wait.calls}
SPOKEN: Final = {  # calls and operators whose words are not ``.name()``
    "__float__": "float(tensor)",
    "__int__": "int(tensor)",
    "__index__": "a tensor as an index or size",
    "__complex__": "complex(tensor)",
    "__bool__": "a tensor in `if`",
    "__contains__": "`in` a tensor",
    "__format__": "a tensor in an f-string",
    "__repr__": "printing a tensor",
    "__array__": "numpy.asarray(tensor)",
    "index": "x[mask]",
    "index_array": "x[array], an index of numbers that the CPU holds",
    **{call: f".{call}(..., alpha=tensor)" for call in SCALED},
    "forward": "model(...)",
    "function": "(a call in it)",
    "optimizer": "optimizer.step()",
    "tensor": "torch.tensor(...)",
    "as_tensor": "torch.as_tensor(...)",
    "cuda.synchronize": "torch.cuda.synchronize()",
    "aten::item": ".item()",
    "aten::is_nonzero": "a test such as `if tensor:`",
    "aten::to": ".to()",
    "aten::cpu": ".cpu()",
    "aten::nonzero": ".nonzero()",
    "aten::masked_select": "masked_select",
}


def spoken(called: str) -> str:
    """What was called, as it stands in a script: ``.item()``, ``a tensor in `if```, ``x[mask]``."""
    return SPOKEN.get(called) or f".{called}()"


def advice_for(kind: str, called: str | None) -> str:
    """What to do about a place that waits, by its kind and what it calls; None: that is not known."""
    wait = WAITS[kind]
    return wait.advice_of_call.get(called or "", wait.advice)


def advice_for_call(called: str | None) -> str:
    """What to do about a line that would wait, by what it calls."""
    return advice_for(BY_CALL.get(called or "", "other_wait"), called)
