"""One look at the main thread's stack → what it is doing, and on which lines of the user's.

Frames are told apart by their code objects, each judged once: a look costs some µs, however deep the stack.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

from stallscope.profiling.mark.usercode import UserCode, module_of

MOST_LINES = 6  # of the user's, innermost first, in one look
DEEPEST = 200  # frames that are looked at
PACKAGE = str(Path(__file__).parents[1]) + os.sep  # of the recorder
RECORDING = tuple(PACKAGE + folder + os.sep for folder in ("record", "folder"))
RUNNER = PACKAGE + os.path.join("run", "runner.py")  # noqa: PTH118 - compared with what the interpreter says
WRITERS = {"save", "_save", "_legacy_save", "dump", "savez", "savez_compressed", "to_csv", "to_parquet", "savefig"}
WRITING_MODULES = ("torch.utils.tensorboard", "tensorboard", "safetensors")
STARTS_WORKERS = {"_MultiProcessingDataLoaderIter.__init__", "DataLoader._get_iterator", "DataLoader.__iter__"}


class Doing:
    """What frames on the stack say of it: bits, as plain integers (an ``IntFlag`` would take most of a look's time)."""

    NOTHING = 0
    IMPORTS = 1
    WRITES = 2
    STARTS_LOADER = 4
    LOADS = 8
    STEPS = 16  # the optimizer
    RECORDS = 32  # the recorder itself
    EVALUATES = 64  # the outermost module call is of one in evaluation mode
    IN_TORCH = 128  # the innermost frame is torch's
    BEGUN = 256  # the training has begun: set by who looks


class Line(NamedTuple):
    """A line of the user's that is being run."""

    code: int  # the id of its code object, which ``Stacks.codes`` has: hashing the object itself would take long
    number: int


class Look(NamedTuple):
    """One look; equal looks are counted together."""

    doing: int  # bits of ``Doing``
    lines: tuple[Line, ...]  # innermost first


class Stacks:
    """Reads stacks. It keeps each code object it has judged, so that its id stays its own."""

    def __init__(self) -> None:
        self.codes: dict[int, CodeType] = {}
        self._judged: dict[int, tuple[int | None, bool, bool]] = {}
        self._owned: dict[tuple[str, str], bool] = {}  # by file and module
        self._user = UserCode()

    def look(self, frame: FrameType | None) -> Look:
        """What the thread does whose innermost frame this is."""
        doing, innermost, root = Doing.NOTHING, True, None
        lines: list[Line] = []
        for _ in range(DEEPEST):
            if frame is None:
                break
            told, is_user, is_call = self._judge(frame)
            if told is None:  # the recorder's own runner: everything above it is ours
                break
            doing |= told & ~Doing.IN_TORCH | (told if innermost else Doing.NOTHING)
            innermost = False
            if is_call:
                root = frame
            if is_user and len(lines) < MOST_LINES:
                lines.append(Line(id(frame.f_code), frame.f_lineno or 0))
            frame = frame.f_back
        if root is not None and getattr(root.f_locals.get("self"), "training", None) is False:
            doing |= Doing.EVALUATES
        return Look(doing, tuple(lines))

    def _judge(self, frame: FrameType) -> tuple[int | None, bool, bool]:
        """(what it says, None where the recorder starts the script; is it the user's; is it a call of a module)."""
        code = frame.f_code
        judged = self._judged.get(id(code))
        if judged is None:
            module = module_of(frame)
            place = code.co_filename, module
            is_user = self._owned.get(place)
            if is_user is None:
                is_user = self._owned[place] = self._user.owns_code(code, module)
            is_call = code.co_name == "_call_impl" and module == "torch.nn.modules.module"
            self.codes[id(code)] = code
            judged = self._judged[id(code)] = (_doing(code, module), is_user, is_call)
        return judged


def _doing(code: CodeType, module: str) -> int | None:
    """What a frame of this code says; None: it is where the recorder starts the script."""
    path, name = code.co_filename, code.co_name
    if path.startswith(PACKAGE):
        if path == RUNNER:
            return None
        return Doing.RECORDS if path.startswith(RECORDING) else Doing.NOTHING
    if path.startswith("<frozen importlib"):
        return Doing.IMPORTS
    found = Doing.IN_TORCH if module.partition(".")[0] == "torch" else Doing.NOTHING
    if (name in WRITERS and module != "__main__") or module.startswith(WRITING_MODULES):
        found |= Doing.WRITES
    if module.startswith("torch.optim"):
        found |= Doing.STEPS
    if module.startswith("torch.utils.data"):
        starts = code.co_qualname in STARTS_WORKERS
        found |= Doing.STARTS_LOADER if starts else Doing.LOADS
    return found
