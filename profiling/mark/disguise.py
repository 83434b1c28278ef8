"""Calls made in the name of the line that really called: by a function that bears its file, line and globals."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any

from stallscope.traces.model.fields import DISGUISE

MAX_CALLERS = 20_000  # remembered; code made anew in every step would fill the memory otherwise

Caller = Callable[[Any, Any, Any], Any]

_CALL: Caller = lambda stallscope_, args, kwargs: stallscope_(*args, **kwargs)  # noqa: E731 - all on its first line


class Disguises:
    """Functions that make a call look as if the calling line had made it."""

    def __init__(self, torch: Any) -> None:
        helper = torch.overrides.handle_torch_function  # between a function written in Python and the mode
        self._dispatching: CodeType | None = getattr(helper, "__code__", None)
        self._made: dict[tuple[int, int, int], tuple[Caller, CodeType]] = {}

    def caller(self, frame: FrameType) -> FrameType:
        """The frame that called into torch: for functions written in Python, whoever called these."""
        if frame.f_code is not self._dispatching or frame.f_back is None:
            return frame
        frame = frame.f_back
        inside = frame.f_code.co_filename
        while frame.f_back is not None and frame.f_code.co_filename == inside:
            frame = frame.f_back
        return _past_dispatch(frame)

    def of(self, frame: FrameType) -> Caller:
        """A function with the file, line and globals of ``frame`` as it stands."""
        key = (id(frame.f_code), frame.f_lasti, id(frame.f_globals))
        made = self._made.get(key)
        if made is None:
            if len(self._made) > MAX_CALLERS:
                self._made.clear()
            made = self._made[key] = (_disguised(frame), frame.f_code)
        return made[0]


def _past_dispatch(frame: FrameType) -> FrameType:
    """Step over torch's switch between two forms of a function (``unique`` with and without counts)."""
    while frame.f_back is not None and frame.f_code.co_filename.endswith("_jit_internal.py"):
        frame = frame.f_back
    return frame


def _disguised(frame: FrameType) -> Caller:
    code = frame.f_code
    disguise = _CALL.__code__.replace(
        co_filename=code.co_filename,
        co_name=DISGUISE,  # a profiler of the script's own must not take it for a call of the script's function
        co_qualname=DISGUISE,
        co_firstlineno=frame.f_lineno or code.co_firstlineno,
    )
    return FunctionType(disguise, frame.f_globals)


def is_disguise(code: CodeType) -> bool:
    """Whether a frame that seems to be the user's is a call made by the mode in the user's name."""
    return code.co_varnames[:1] == _CALL.__code__.co_varnames[:1]
