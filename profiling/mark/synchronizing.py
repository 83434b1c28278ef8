"""Which calls into torch can make the host wait for the GPU, and whether a given call would.

A rule looks at a call's arguments and answers: None, of no interest (``x.to(torch.float16)``); True, the host waits
wherever the tensor is on a GPU; False, it does not, or nobody can tell. On a run that uses a GPU the tensors' devices
decide. On a CPU run every tensor is on the CPU, so what is said is what the call is made for: ``item`` and ``cpu`` read
a tensor back, hence True; ``x.to(device)`` copies to the GPU or from it, and the host waits unless ``non_blocking``:
hence True, though it may also find that there is nothing to copy, which the summary says of these calls
(``IF_COPIED``); ``x.to(other_tensor)`` mostly does, hence False. ``torch.tensor(values, device=device)`` copies what
Python or NumPy holds: hence True, unless the script says ``"cpu"``. What is read of tensors that the host makes for
itself (``host_born.py``) waits for nothing.

Waiting was read off torch's sources: a copy between host and device waits for its stream unless it is ``non_blocking``
(torch pins the memory that such a copy to the host writes to); a result whose size depends on values (``nonzero``,
``unique``, masks) reads that size back; masks assigned a number become ``masked_fill``, which reads nothing.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Arguments = Sequence[Any]
Keywords = dict[str, Any]
Rule = Callable[["Devices", Arguments, Keywords], bool | None]

BETWEEN = ("stallscope", "torch")  # packages between a rule and the line that calls
MAX_ITEMS = 64  # of a list that is searched for tensors

READS = (  # Tensor methods that read values, or a result's size, back to the host
    *("item", "tolist", "cpu", "__bool__", "__float__", "__int__", "__index__", "__complex__", "__contains__"),
    *("__repr__", "__format__", "is_nonzero", "equal", "allclose", "nonzero", "argwhere", "unique"),
    *("unique_consecutive", "masked_select", "bincount", "inverse", "cholesky"),
)
FUNCTIONS = (  # the same as functions of torch
    *("is_nonzero", "equal", "allclose", "nonzero", "argwhere", "unique", "unique_consecutive", "masked_select"),
    *("bincount", "inverse", "cholesky", "combinations"),
)
SCALARS = ("alpha", "beta", "value")  # keywords of arithmetic that take a number: of a tensor it is read
SCALED = (
    *("add", "sub", "rsub", "addmm", "addmv", "addr", "addbmm", "baddbmm", "addcmul", "addcdiv"),
    *("add_", "sub_", "addmm_", "addmv_", "addr_", "addbmm_", "baddbmm_", "addcmul_", "addcdiv_"),
)
NUMBERS = ("item", "tolist", "__bool__", "__float__", "__int__", "__index__", "__complex__", "is_nonzero")
LINALG = ("cholesky", "eigh", "eigvalsh", "inv", "ldl_factor", "lu_factor", "solve", "svd")  # whether it worked
SIZED = ("arange", "empty", "eye", "full", "ones", "rand", "randint", "randn", "randperm", "zeros")
SHAPING = ("expand", "narrow", "repeat", "reshape", "select", "view")


@dataclass(frozen=True, slots=True)
class Call:
    """A function of torch's, by the name that call sites of it get, and the rule of when it waits."""

    kind: str
    rule: Rule

    def kind_of(self, devices: Devices, args: Arguments) -> str:
        """The name for a call with these arguments: what an index picks by decides how it waits."""
        return _index_kind(devices, args) if self.rule is _index else self.kind

    def reads_number(self, devices: Devices, args: Arguments) -> Any:
        """The tensor of which such a call only reads numbers; None: it does more."""
        return args[0] if self.kind in NUMBERS and args and devices.is_tensor(args[0]) else None


@dataclass(frozen=True, slots=True)
class Devices:
    """What rules ask about tensors."""

    tensor: type  # torch.Tensor
    device: type  # torch.device
    masks: frozenset[Any]  # data types of masks
    on_gpu: bool  # the run uses one

    def is_tensor(self, value: Any) -> bool:
        """Whether ``value`` is a tensor."""
        return isinstance(value, self.tensor)

    def on_host(self, value: Any) -> bool:
        """Whether ``value`` is a tensor in host memory."""
        return self.is_tensor(value) and value.device.type == "cpu"

    def away(self, *values: Any) -> bool:
        """Whether a tensor among ``values`` is on a GPU, as far as this run tells: on a CPU run, any might be."""
        if not self.on_gpu:
            return any(self.is_tensor(each) for each in values)
        return any(self.is_tensor(each) and not self.on_host(each) for each in values)

    def holds_tensor(self, value: Any) -> bool:
        """Whether a list or tuple, or one in it, holds a tensor."""
        if isinstance(value, (list, tuple)):
            return any(self.is_tensor(each) or self.holds_tensor(each) for each in value[:MAX_ITEMS])
        return False


def calls(torch: Any) -> dict[Any, Call]:
    """Every function of this torch that can synchronize, as a ``TorchFunctionMode`` is handed it."""
    by_function: dict[Any, Call] = {}
    linalg, functional = torch.linalg, torch.nn.functional
    for owner, names, rule in (
        (torch, FUNCTIONS, _reads),
        (torch.functional, ("unique", "unique_consecutive", "_unique_impl", "_unique_consecutive_impl"), _reads),
        (linalg, LINALG, _reads),
        (torch.Tensor, READS, _reads),
        (torch, ("where",), _where),
        (torch.Tensor, ("where",), _where),
        (torch, ("repeat_interleave",), _repeats),
        (torch.Tensor, ("repeat_interleave",), _repeats),
        (functional, ("one_hot",), _one_hot),
        (torch, ("multinomial",), _multinomial),
        (torch.Tensor, ("multinomial",), _multinomial),
        (torch, ("tensor", "as_tensor", "asarray"), _new),
        (torch.Tensor, ("new_tensor",), _new_like),
        (torch, SCALED, _scaled),
        (torch.Tensor, SCALED, _scaled),
        (torch, SIZED, _sized),
        (torch.Tensor, SHAPING, _shaped),
        (torch.Tensor, ("numpy", "__array__"), _numpy),
        (torch.Tensor, ("to",), _to),
        (torch.Tensor, ("cuda", "xpu"), _to_gpu),
        (torch.Tensor, ("type",), _type),
        (torch.Tensor, ("type_as",), _type_as),
        (torch.Tensor, ("copy_",), _copy),
        (torch.Tensor, ("__getitem__", "__setitem__"), _index),
    ):
        for name in names:
            function = getattr(owner, name, None)
            if function is not None:
                by_function[function] = Call("index" if rule is _index else _kind(name), rule)
    return by_function


def _kind(name: str) -> str:
    return name.removeprefix("_").removesuffix("_impl") if name.endswith("_impl") else name


def _reads(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    return True if devices.away(*args, *kwargs.values()) else None


def _where(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    return _reads(devices, args, kwargs) if len(args) + len(kwargs) == 1 else None


def _repeats(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    repeats = kwargs.get("repeats", args[1] if len(args) > 1 else args[0] if args else None)
    return None if kwargs.get("output_size") is not None else _reads(devices, (repeats,), {})


def _one_hot(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    classes = kwargs.get("num_classes", args[1] if len(args) > 1 else -1)
    return _reads(devices, args[:1], kwargs) if classes == -1 else None


def _multinomial(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    """Without replacement, or for one sample, torch checks the probabilities first."""
    count = kwargs.get("num_samples", args[1] if len(args) > 1 else 1)
    replaced = kwargs.get("replacement", args[2] if len(args) > 2 else False)  # noqa: PLR2004
    return None if replaced and count != 1 else _reads(devices, args[:1], kwargs)


def _new(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    data = args[0] if args else kwargs.get("data", kwargs.get("obj"))
    if devices.holds_tensor(data):
        return True
    device = kwargs.get("device")
    if device is None:
        return None
    if not devices.on_gpu:  # a device in a variable may be any
        meant = isinstance(device, str) and device.startswith("cpu") and _is_written("cpu")
        return None if devices.is_tensor(data) or meant else True
    moves = _device_type(devices, device) != "cpu" and not (devices.is_tensor(data) and not devices.on_host(data))
    return True if moves else None


def _is_written(device: str) -> bool:
    """Whether the line that calls names this device itself: in a variable it may be another one on another machine."""
    frame = sys._getframe(1)  # noqa: SLF001 - whose line it is, only the stack knows
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in BETWEEN:
        frame = frame.f_back
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return f'"{device}' in text or f"'{device}" in text


def _new_like(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    """``x.new_tensor(values)`` makes it where ``x`` is."""
    data = args[1] if len(args) > 1 else kwargs.get("data")
    if devices.holds_tensor(data):
        return True
    return True if devices.away(*args[:1]) and not devices.is_tensor(data) else None


def _scaled(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    """``x.add_(y, alpha=tensor)``: the number is read back, unless it lies in host memory."""
    del args
    return _reads(devices, [kwargs[name] for name in SCALARS if name in kwargs], {}) if kwargs else None


def _sized(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    sizes = [*args, *(each for name, each in kwargs.items() if name not in ("out", "generator"))]
    return _reads(devices, _flat(sizes), {})


def _shaped(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    return _reads(devices, _flat([*args[1:], *kwargs.values()]), {})


def _numpy(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    forced = bool(kwargs.get("force", False))  # without, torch refuses a tensor on a GPU
    return forced if devices.away(*args[:1]) or not devices.on_gpu else None


def _to(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    targets = [each for each in (*args[1:], *kwargs.values()) if _device_type(devices, each)]
    if not targets:
        return None
    waits = not _non_blocking(args[2:], kwargs) and (devices.on_gpu or not devices.is_tensor(targets[0]))
    return _copied(devices, args[0], _device_type(devices, targets[0]), waits=waits)


def _to_gpu(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    return _copied(devices, args[0], "gpu", waits=not _non_blocking(args[1:], kwargs))


def _type(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    """``x.type(torch.FloatTensor)`` names a device as well, ``x.type(torch.float32)`` does not."""
    wanted = kwargs.get("dtype", args[1] if len(args) > 1 else None)
    name = wanted if isinstance(wanted, str) else _type_name(wanted)
    if not name.startswith("torch.") or not name.endswith("Tensor"):
        return None
    target = "cpu" if name.count(".") == 1 else name.split(".")[1]
    return _copied(devices, args[0], target, waits=not _non_blocking(args[2:], kwargs))


def _type_name(value: Any) -> str:
    is_type = isinstance(value, type) or type(value).__name__ == "tensortype"
    return f"{value.__module__}.{value.__name__}" if is_type else ""


def _type_as(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    del kwargs
    target = _device_type(devices, args[1]) if len(args) > 1 and devices.is_tensor(args[1]) else ""
    return _copied(devices, args[0], target, waits=True) if devices.on_gpu and target else None


def _copy(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    if not devices.on_gpu or len(args) < 2 or not devices.is_tensor(args[1]):  # noqa: PLR2004 - itself, and its source
        return None
    return _copied(devices, args[1], args[0].device.type, waits=not _non_blocking(args[2:], kwargs))


def _copied(devices: Devices, source: Any, target: str, *, waits: bool) -> bool | None:
    """Say what a copy to ``target`` does; only between host and device can it wait."""
    if not devices.on_gpu:
        return waits
    return waits if devices.on_host(source) != (target == "cpu") else None


def _non_blocking(args: Arguments, kwargs: Keywords) -> bool:
    return bool(kwargs.get("non_blocking", any(each is True for each in args[:2])))


def _device_type(devices: Devices, value: Any) -> str:
    """The kind of device that an argument of ``to`` names; '' if it names none."""
    if isinstance(value, devices.device):
        return str(getattr(value, "type", ""))
    if isinstance(value, str):
        return value.partition(":")[0]
    if isinstance(value, int) and not isinstance(value, bool):
        return "gpu"
    return str(value.device.type) if devices.is_tensor(value) else ""


def _flat(values: Iterable[Any]) -> list[Any]:
    flat: list[Any] = []
    for value in values:
        flat += value[:MAX_ITEMS] if isinstance(value, (list, tuple)) else [value]
    return flat


# --- indexing ------------------------------------------------------------------------------------


def _index(devices: Devices, args: Arguments, kwargs: Keywords) -> bool | None:
    """``x[key]`` and ``x[key] = value``: masks, lists, and tensors that stand for one number."""
    del kwargs
    itself, key, *values = args
    parts = key if isinstance(key, tuple) else (key,)
    if not any(_is_special(devices, each) for each in parts):
        return None
    tensors = [each for each in parts if devices.is_tensor(each)]
    if not devices.away(itself, *tensors):
        return None
    if any(_reads_number(devices, each) or _is_list(each) for each in parts):
        return True
    if any(each.dtype in devices.masks for each in tensors):
        filled = len(tensors) == 1 and values and _is_number(devices, values[0])
        return None if filled else True
    foreign = devices.on_gpu and not devices.on_host(itself) and any(devices.on_host(each) for each in tensors)
    return True if foreign else None


def _index_kind(devices: Devices, args: Arguments) -> str:
    """What is said of ``x[key]``: a mask, numbers of the host's that are copied, or one number that is read."""
    key = args[1]
    parts = key if isinstance(key, tuple) else (key,)
    if any(devices.is_tensor(each) and each.dim() and each.dtype in devices.masks for each in parts):
        return "index"
    lists = [each for each in parts if _is_list(each)]
    if any(_holds_masks(each) for each in lists):
        return "index"
    if lists:
        return "index_array"
    return "__index__" if any(_reads_number(devices, each) for each in parts) else "index_array"


def _holds_masks(part: Any) -> bool:
    dtype = getattr(part, "dtype", None)
    if dtype is not None:
        return getattr(dtype, "kind", "") == "b"
    return isinstance(part, list) and any(isinstance(each, bool) for each in part[:MAX_ITEMS])


def _is_special(devices: Devices, part: Any) -> bool:
    return not (part is None or part is Ellipsis or isinstance(part, int)) and (
        devices.is_tensor(part) or _is_list(part) or _reads_number(devices, part)
    )


def _reads_number(devices: Devices, part: Any) -> bool:
    """Whether a part of a key is read back as one number: a 0-dimensional tensor, or a slice with one in it."""
    if isinstance(part, slice):
        return any(devices.is_tensor(each) for each in (part.start, part.stop, part.step))
    return devices.is_tensor(part) and part.dim() == 0


def _is_list(part: Any) -> bool:
    """Whether a part of a key is made a tensor on the host first and then copied: a list, a range, a NumPy array."""
    return isinstance(part, (list, range)) or type(part).__name__ == "ndarray"


def _is_number(devices: Devices, value: Any) -> bool:
    """Whether an assigned value is one number in host memory, for which torch fills instead of indexing."""
    if devices.is_tensor(value):
        return devices.on_gpu and devices.on_host(value) and value.numel() == 1
    return isinstance(value, (int, float, complex))
