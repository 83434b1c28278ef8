"""Looks at a run → where its time went, from the first statement to the end, with the lines that it went to.

What a look says by its frames (imports, writing, loading, the optimizer) is taken as it is. Evaluation is told by the
text of the user's files: lines under ``with torch.no_grad()`` or ``inference_mode()``, functions so decorated, and by
calls of modules in evaluation mode. The training loop is the innermost loop around the optimizer's step; what runs
outside it, once the training has begun, lies between epochs or behind the training.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType
from typing import Final

from stallscope.profiling.mark.callsites import printable
from stallscope.profiling.mark.usercode import UserCode
from stallscope.profiling.run.sampling import Seen, innermost
from stallscope.profiling.run.stacks import Doing, Line, Look
from stallscope.traces.model.manifest import LineTime, RunPart, WholeRun

MOST_LINES = 8  # of each part
LEAST = 0.002  # of the run, from which a line is told
LARGEST_FILE = 50_000  # lines; a larger one is not parsed
FREE = ("no_grad", "inference_mode")

_steps_an_environment = re.compile(r"\b(\w*env\w*|simulator|world)\.(step|reset)\(")

Lines = range


def whole_run(seen: Seen, stepping: Sequence[tuple[CodeType, str, int]] = ()) -> WholeRun:
    """The ledger. Its parts add up to its length.

    ``stepping``: code, module and line of the calls around the first step of an optimizer, innermost first.
    """
    loop = _training_loop(stepping)
    codes = {**seen.codes, **{id(code): code for code, _, _ in stepping}}
    texts = _Texts(codes)
    parts: dict[str, Counter[Line | None]] = {}
    python: Counter[Line | None] = Counter()
    for look, ns in seen.looks.items():
        name = _part(look, texts, loop)
        parts.setdefault(name, Counter())[innermost(look)] += ns
        if name == "training" and not look.doing & (Doing.IN_TORCH | Doing.STEPS):
            python[innermost(look)] += ns
    total = max(1, seen.end_ns - seen.begin_ns)
    rest = total - sum(seen.looks.values())
    if rest > 0:
        parts.setdefault("not seen", Counter())[None] += rest
    ranked = sorted(parts.items(), key=lambda each: -sum(each[1].values()))
    return WholeRun(
        total_ns=total,
        looks=seen.count,
        looking_ns=seen.cpu_ns,
        parts=[
            RunPart(name=name, ns=sum(lines.values()), lines=_told(lines, total, seen.codes)) for name, lines in ranked
        ],
        python=_told(python, total, seen.codes),
    )


_BY_FRAMES: Final = (
    (Doing.RECORDS, "recording"),
    (Doing.WRITES, "writing"),
    (Doing.STARTS_LOADER, "starting DataLoader workers"),
    (Doing.IMPORTS, "start-up"),
)


def _part(look: Look, texts: _Texts, loop: tuple[int, Lines] | None) -> str:
    """What one look belongs to."""
    told = next((name for flag, name in _BY_FRAMES if look.doing & flag), None)
    if told is not None or not look.doing & Doing.BEGUN:
        return told or "start-up"
    if look.doing & Doing.LOADS:
        return "loading data"
    if look.doing & Doing.EVALUATES or any(texts.is_free(line) for line in look.lines):
        return "rollouts" if any(texts.steps_environment(line) for line in look.lines) else "evaluation"
    inside = loop is None or any(line.code == loop[0] and line.number in loop[1] for line in look.lines)
    return "training" if inside else "between epochs"


def _told(lines: Counter[Line | None], total: int, codes: Mapping[int, CodeType]) -> list[LineTime]:
    listed = [(line, ns) for line, ns in lines.most_common(MOST_LINES) if line is not None and ns >= LEAST * total]
    return [_line_time(codes[line.code], line.number, ns) for line, ns in listed]


def _line_time(code: CodeType, number: int, ns: int) -> LineTime:
    file, function = printable(code.co_filename), printable(code.co_qualname)
    return LineTime(file=file, line=number, function=function, ns=ns)


def _training_loop(stepping: Sequence[tuple[CodeType, str, int]]) -> tuple[int, Lines] | None:
    """(the id of the code with the innermost loop of the user's around the optimizer's step, the loop's lines)."""
    user = UserCode()
    for code, module, number in stepping:
        if not user.owns_code(code, module):
            continue
        around = [
            lines for lines in _parsed(code.co_filename)[1] if number in lines and lines.start >= code.co_firstlineno
        ]
        if around:
            return id(code), min(around, key=len)
    return None


class _Texts:
    """What the user's files say of their lines, each parsed once; a file that cannot be read says nothing."""

    def __init__(self, codes: Mapping[int, CodeType]) -> None:
        self._codes = codes
        self._free: dict[str, list[Lines]] = {}

    def is_free(self, line: Line) -> bool:
        """Whether the line runs without gradients by what its file says."""
        return self._free_around(line) is not None

    def _free_around(self, line: Line) -> Lines | None:
        """The innermost lines around it that run without gradients."""
        return min((lines for lines in self._of(line) if line.number in lines), key=len, default=None)

    def steps_environment(self, line: Line) -> bool:
        """Whether an environment is stepped on the line, or among those without gradients around it."""
        path, around = self._codes[line.code].co_filename, self._free_around(line) or (line.number,)
        return any(_steps_an_environment.search(linecache.getline(path, number)) for number in around)

    def _of(self, line: Line) -> list[Lines]:
        path = self._codes[line.code].co_filename
        if path not in self._free:
            self._free[path] = _parsed(path)[0]
        return self._free[path]


def _parsed(path: str) -> tuple[list[Lines], list[Lines]]:
    """(lines without gradients, loops) of a file."""
    lines = linecache.getlines(path)
    if not lines or len(lines) > LARGEST_FILE:
        return [], []
    try:
        nodes = list(ast.walk(ast.parse("".join(lines))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [], []
    loops = [_lines(node) for node in nodes if isinstance(node, ast.For | ast.While | ast.AsyncFor)]
    return list(_free(nodes)), loops


def _free(nodes: list[ast.AST]) -> Iterator[Lines]:
    for node in nodes:
        if isinstance(node, ast.With) and any(_says_free(item.context_expr) for item in node.items):
            yield range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(_says_free, node.decorator_list)):
            yield range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _says_free(node: ast.expr) -> bool:
    """Whether it is ``no_grad``, ``torch.no_grad()``, ``inference_mode()`` or ``set_grad_enabled(False)``."""
    called = node.func if isinstance(node, ast.Call) else node
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    if name == "set_grad_enabled" and isinstance(node, ast.Call) and node.args:
        return isinstance(node.args[0], ast.Constant) and node.args[0].value is False
    return name in FREE


def _lines(node: ast.For | ast.While | ast.AsyncFor) -> Lines:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)
