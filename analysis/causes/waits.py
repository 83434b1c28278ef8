"""The kinds of wait as users know them: what each is called, and one piece of advice with code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Cause:
    """A kind of wait as a user knows it."""

    title: str
    advice: str


CAUSES: Final = {
    "boolean_mask": Cause(
        "x[mask], a boolean mask: how many elements it picks only the GPU knows",
        "Keep the size fixed: torch.where(mask, values, 0.0), or multiply by the mask.",
    ),
    "nonzero": Cause(
        "nonzero(), unique() or masked_select(): results of a size that only the GPU knows",
        "Keep sizes fixed: torch.where(condition, x, y) with three arguments, or a mask product.",
    ),
    "if_tensor": Cause(
        "a tensor in `if`, `while` or bool(): Python must know its value",
        "Decide on the GPU, x = torch.where(value > limit, a, b), or test every 100 steps: "
        "if step % 100 == 0 and value > limit.",
    ),
    "print": Cause(
        "printing or formatting a tensor, print(loss) or an f-string",
        'Print every 100 steps: if step % 100 == 0: print(f"{loss.item():.3f}").',
    ),
    "tolist": Cause(
        ".tolist()", "Call it once after the loop, on the tensors kept until then: torch.stack(kept).tolist()."
    ),
    "item": Cause(
        ".item(), float() or int() of a GPU tensor",
        "Keep loss.detach() in a list and read it once per 100 steps: torch.stack(losses).tolist().",
    ),
    "tensor_to_device": Cause(
        "making a GPU tensor of Python values, torch.tensor(values, device=...)",
        "Make it once before the loop and reuse it, or build it on the GPU: torch.full((n,), value, device=device).",
    ),
    "to_device": Cause(
        "copying to the GPU from pageable memory, x.to(device)",
        'Pin it and do not wait: DataLoader(..., pin_memory=True) and x.to("cuda", non_blocking=True).',
    ),
    "to_host": Cause(
        "copying results to the CPU, .cpu(), .numpy() or .to('cpu')",
        "Bring results back less often, several at once; or into pinned memory: "
        "out.copy_(x, non_blocking=True), read after a later event.synchronize().",
    ),
    "synchronize": Cause(
        "torch.cuda.synchronize() or a stream's or event's",
        "If it is left from timing code, remove it from the loop; time with torch.cuda.Event(enable_timing=True).",
    ),
    "cudnn": Cause(
        "cuDNN trying out algorithms, torch.backends.cudnn.benchmark = True",
        "It does so once for each new shape: keep shapes the same, DataLoader(..., drop_last=True), and let the first "
        "steps pass before measuring.",
    ),
    "other_wait": Cause("waiting for the GPU", "Ask for its result less often, or later in the step."),
}  # fmt: skip

_READS: Final = ("item", "__float__", "__int__", "__index__", "__complex__")
_SIZED: Final = (
    *("nonzero", "argwhere", "unique", "unique_consecutive", "masked_select", "where", "bincount", "one_hot"),
    "repeat_interleave",
)
_TESTS: Final = ("__bool__", "is_nonzero", "equal", "allclose", "__contains__")
_WAITS: Final = ("cuda.synchronize", "xpu.synchronize", "mps.synchronize", "accelerator.synchronize")
BY_CALL: Final = {  # the cause by what an attribution window says was called (``CallSite.kind``)
    **dict.fromkeys(_READS, "item"),
    **dict.fromkeys(_SIZED, "nonzero"),
    **dict.fromkeys(_TESTS, "if_tensor"),
    **dict.fromkeys((*_WAITS, "Event.synchronize", "Stream.synchronize"), "synchronize"),
    **dict.fromkeys(("__format__", "__repr__"), "print"),
    **dict.fromkeys(("tensor", "as_tensor", "asarray"), "tensor_to_device"),
    **dict.fromkeys(("cpu", "numpy", "__array__"), "to_host"),
    **dict.fromkeys(("to", "cuda", "xpu", "copy_"), "to_device"),
    "tolist": "tolist",
    "index": "boolean_mask",
}
_SPOKEN: Final = {
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
    "forward": "model(...)",
    "function": "(a call in it)",
    "optimizer": "optimizer.step()",
    "tensor": "torch.tensor(...)",
    "as_tensor": "torch.as_tensor(...)",
    "cuda.synchronize": "torch.cuda.synchronize()",
}


def spoken(called: str) -> str:
    """What was called, as it stands in a script: ``.item()``, ``a tensor in `if```, ``x[mask]``."""
    return _SPOKEN.get(called) or f".{called}()"
