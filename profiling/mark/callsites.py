"""The table of call sites: which lines of the user's program made the calls that are marked."""

from __future__ import annotations

import itertools
import os
from types import CodeType, FrameType
from typing import Any

from stallscope.profiling.mark.disguise import is_disguise
from stallscope.profiling.mark.usercode import UserCode, module_of
from stallscope.traces.model.manifest import IF_COPIED, CallSite, Frame

MAX_FRAMES = 64  # of the user's, kept of each
MAX_STACKS = 20_000  # remembered; code made anew in every step would fill the memory otherwise
ON_THE_DEVICE = ("lbfgs.py", "_adafactor.py", "lr_scheduler.py")  # the rest of torch.optim reads its step counters

FUNCTION = "function"  # the kind of a call site that is not a line
ALWAYS_MARKED = ("forward", "backward", "grad", "optimizer")
RUNNER = "stallscope.profiling.run.runner"  # below it there is nothing of the script
ON_THE_WAY = "stallscope.profiling.mark.function_mode"  # stands between the script and torch

Stack = tuple[object, ...]


class CallSites:
    """Lists call sites in the order in which they are first seen; equal chains of user frames are one."""

    def __init__(self, *, on_gpu: bool) -> None:
        self.table: list[CallSite] = []
        self._on_gpu = on_gpu  # the script uses one: devices tell which calls wait, nothing has to be guessed
        self._user = UserCode()
        self._indices: dict[tuple[object, ...], int] = {}
        self._stacks: dict[Stack, int | None] = {}
        self._codes: list[CodeType] = []  # whose ids ``_stacks`` holds

    def index_of_line(self, kind: str, frame: FrameType | None, *, waits: bool) -> int | None:
        """The index in ``table`` of a call of ``kind`` by the line of ``frame``; None: it is nobody's business.

        ``waits``: it makes the host wait wherever its tensor is on a GPU. A stack seen before costs one look-up.
        """
        key: list[object] = [kind, waits]
        calling = frame
        while calling is not None:
            key += (id(calling.f_code), calling.f_lasti)
            calling = calling.f_back
        stack = tuple(key)
        try:
            return self._stacks[stack]
        except KeyError:
            index = self._stacks[stack] = self._index(kind, frame, waits=waits)
            return index

    def index_of_function(self, function: Any, caller: FrameType | None) -> int | None:
        """The index of the call site that stands for all that ``function`` calls, where lines cannot be told.

        ``caller``: who calls it. None for a function that is not the user's.
        """
        function = _defined(function)
        code = getattr(function, "__code__", None)
        module = getattr(function, "__module__", None)
        if not isinstance(code, CodeType) or not self._user.owns_code(code, module if isinstance(module, str) else ""):
            return None
        callers = [_frame(each) for each in self._users(_chain(caller))]
        itself = Frame(file=printable(code.co_filename), line=code.co_firstlineno, function=printable(code.co_qualname))
        return self._index_of(CallSite(kind=FUNCTION, frames=[itself, *callers], exact=False))

    def _index_of(self, call_site: CallSite) -> int:
        value = (call_site.kind, call_site.would_synchronize, *call_site.frames)
        if value not in self._indices:
            self._indices[value] = len(self.table)
            self.table.append(call_site)
        return self._indices[value]

    def _index(self, kind: str, frame: FrameType | None, *, waits: bool) -> int | None:
        if len(self._stacks) > MAX_STACKS:
            self._stacks.clear()
            self._codes.clear()
        chain = _chain(frame)
        self._codes += [each.f_code for each in chain]
        if not chain or self._ours(chain):
            return None
        if self._harmless(kind, chain[0], waits=waits):
            return None
        waits = waits and (self._on_gpu or not any(_loads_data(each) for each in chain))
        return self._index_of(CallSite(kind=kind, frames=self._users_frames(chain), would_synchronize=waits))

    def _harmless(self, kind: str, caller: FrameType, *, waits: bool) -> bool:
        """Whether torch's own code makes a call that waits on no machine."""
        own_module = module_of(caller)
        if kind in ALWAYS_MARKED or self._on_gpu or own_module.partition(".")[0] != "torch":
            return False
        own_file = os.path.basename(caller.f_code.co_filename)  # noqa: PTH119
        counter = own_module.startswith("torch.optim") and own_file not in ON_THE_DEVICE
        # optimizers count their steps in host memory; what torch itself copies is where it should be on one GPU
        return not waits or counter or kind in IF_COPIED

    def _ours(self, chain: list[FrameType]) -> bool:
        """Whether the call is one that the recording itself makes, when it waits for the device."""
        for each in chain:
            module = module_of(each)
            if self._user.owns(each) or module == RUNNER:
                return False
            if module.startswith("stallscope.profiling.") and module != ON_THE_WAY:
                return True
        return False

    def _users(self, chain: list[FrameType]) -> list[FrameType]:
        of_script = itertools.takewhile(lambda each: module_of(each) != RUNNER, chain)
        return [each for each in of_script if self._user.owns(each)][:MAX_FRAMES]

    def _users_frames(self, chain: list[FrameType]) -> list[Frame]:
        users = self._users(chain)
        if not users:  # a thread of a library's: its outermost line is the best that can be said
            others = [each for each in chain if module_of(each).partition(".")[0] not in ("torch", "stallscope")]
            users = others[-1:] or chain[:1]
        return [_frame(each) for each in users]


def _chain(frame: FrameType | None) -> list[FrameType]:
    chain = []
    while frame is not None:
        if not is_disguise(frame.f_code):
            chain.append(frame)
        frame = frame.f_back
    return chain


def _defined(function: Any) -> Any:
    """The function that somebody wrote: of a module, or its ``__call__``, its ``forward``."""
    owner = getattr(function, "__self__", function)
    owner = getattr(owner, "_orig_mod", owner)  # what torch.compile makes of a module
    forward = getattr(type(owner), "forward", None)
    return getattr(function, "__func__", function) if forward is None else forward


def _frame(frame: FrameType) -> Frame:
    code = frame.f_code
    return Frame(file=printable(code.co_filename), line=frame.f_lineno or 0, function=printable(code.co_qualname))


def printable(text: str) -> str:
    """``text`` with what UTF-8 cannot say (file names that are not text) written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _loads_data(frame: FrameType) -> bool:
    """Whether a DataLoader is at work: what data sets and samplers read is in host memory by nature."""
    return module_of(frame).startswith("torch.utils.data")
