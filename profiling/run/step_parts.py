"""What one training step is made of: which optimizers step in it, how often, by their names in the script."""

from __future__ import annotations

import linecache
import re
from collections.abc import Mapping, Sequence
from types import CodeType

from stallscope.profiling.mark.usercode import UserCode
from stallscope.traces.model.manifest import StepPart

Calls = Sequence[tuple[CodeType, str, int]]  # code, module and line, innermost first
_steps = re.compile(r"([A-Za-z_][\w.\[\]'\"]*)\.step\(")
UNNAMED = "optimizer"


def made_of(composition: Mapping[int, int], stepping: Mapping[int, Calls]) -> list[StepPart]:
    """The parts, most often first; none where a step is one step of one optimizer, or that is not known."""
    if len(composition) < 2 and sum(composition.values()) < 2:  # noqa: PLR2004 - one of one
        return []
    user, parts = UserCode(), []
    for number, (key, count) in enumerate(composition.items(), start=1):
        name = _name(stepping.get(key, ()), user)
        parts.append(StepPart(name=name or (f"{UNNAMED} {number}" if len(composition) > 1 else UNNAMED), count=count))
    return sorted(parts, key=lambda part: -part.count)


def _name(calls: Calls, user: UserCode) -> str | None:
    """What stands before ``.step(`` on the user's line."""
    for code, module, line in calls:
        if user.owns_code(code, module):
            found = _steps.search(linecache.getline(code.co_filename, line))
            return None if found is None else found[1].removeprefix("self.")
    return None
