"""Indices that are made in host memory, and what is computed of these alone: reading them waits for no GPU.

Known on a run without a GPU only by how they come to be: ``torch.randint(0, n, (16,))`` names no device, so it makes
indices for data that lie on the host, wherever the script runs. ``.to(device)`` ends that, even where it returns the
same tensor. Of other tensors nobody can tell whether the script would make them on a GPU; and what was made before the
marks came is not known. These count as the GPU's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakValueDictionary

MADE = ("arange", "randint", "randperm")  # functions of torch that make indices, where ``device`` says
MOVES = ("to", "cuda", "xpu", "pin_memory")
MAX_ITEMS = 64  # of a list that is searched for tensors


class HostBorn:
    """Which tensors of one window are the host's."""

    def __init__(self, torch: Any) -> None:
        self._tensor: type = torch.Tensor
        self._made = frozenset(getattr(torch, name) for name in MADE if hasattr(torch, name))
        self._moves = frozenset(getattr(torch.Tensor, name) for name in MOVES if hasattr(torch.Tensor, name))
        self._modes = torch.overrides._get_current_function_mode_stack  # noqa: SLF001
        self._known: WeakValueDictionary[int, Any] = WeakValueDictionary()  # by id

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is such a tensor, or a view of one."""
        if not isinstance(value, self._tensor):
            return False
        base: Any = value._base  # type: ignore[attr-defined]  # noqa: SLF001
        return self._is_known(value) or (base is not None and self._is_known(base))

    def called(self, function: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Take what a function of torch has returned."""
        if not isinstance(result, self._tensor):
            return
        given = list(self._tensors((*args, *kwargs.values())))
        if function in self._moves:
            self._forget(result, *given)
        elif not result.dtype.is_floating_point and self._of_the_host(function, kwargs, given):  # type: ignore[attr-defined]
            self._known[id(result)] = result
        else:
            self._forget(result)

    def _of_the_host(self, function: Any, kwargs: Any, given: list[Any]) -> bool:
        """Whether what comes of these tensors, or of none, is in host memory by nature."""
        if given:
            return all(self.holds(each) for each in given)
        return function in self._made and kwargs.get("device") is None and not self._by_default()

    def _is_known(self, value: Any) -> bool:
        return self._known.get(id(value)) is value

    def _forget(self, *values: Any) -> None:
        for each in values:
            self._known.pop(id(each), None)

    def _by_default(self) -> bool:
        """Whether ``torch.device`` or ``set_default_device`` says where tensors are made."""
        return any(type(each).__name__ == "DeviceContext" for each in self._modes())

    def _tensors(self, values: Iterable[Any]) -> Iterable[Any]:
        for value in values:
            if isinstance(value, self._tensor):
                yield value
            elif isinstance(value, (list, tuple)):
                yield from (each for each in value[:MAX_ITEMS] if isinstance(each, self._tensor))
