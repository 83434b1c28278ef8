"""Short names for kernels: what a reader needs of a C++ name of a thousand characters.

``void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, …>(int, …)`` becomes
``vectorized_elementwise_kernel<CUDAFunctor_add>``: the function's own name, and of its template arguments up to two
that say what it does. Numbers, plain types, containers of pointers and lambdas are left out. Mangled names (``_ZN…``)
stand where the writer did not decode them; of those the function's name is read, not its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

MOST_ARGUMENTS: Final = 2
MOST_DEPTH: Final = 3
LONGEST: Final = 60  # characters of a name in a sentence
_OPERATOR: Final = re.compile(r"operator(\(\)|<=>|<<=?|>>=?|<=?|>=?|->\*?|[^\w\s(<]+)")
_LAMBDA: Final = re.compile(r"\{lambda|\{unnamed|'lambda")
_ANONYMOUS: Final = re.compile(r"\(anonymous namespace\)::|<unnamed>::|\{anonymous\}::")
_PLAIN: Final = frozenset(
    word
    for line in (
        "void bool char signed unsigned short int long float double half float2 float4 half2 true false const",
        "Half BFloat16 __half __nv_bfloat16 __hip_bfloat16 complex Array array pair tuple integral_constant OpaqueType",
        "TrivialOffsetCalculator OffsetCalculator LoadWithoutCast StoreWithoutCast LoadWithCast StoreWithCast",
        "TensorInfo DefaultPtrTraits RestrictPtrTraits",
    )
    for word in line.split()
)
_MANGLED: Final = re.compile(r"_ZN?[KVrRO]*")
_PART: Final = re.compile(r"(?:L?(\d+))|St|Sa|Ss")


@lru_cache(maxsize=4096)
def short_name(name: str) -> str:
    """The short name; ``name`` itself where it is no C++ name."""
    if name.startswith("_Z"):
        return _of_mangled(name) or name
    text = _ANONYMOUS.sub("", name)
    if "::" not in text and "<" not in text and "(" not in text:
        return name
    return _short(_OPERATOR.sub("operator", text).removeprefix("void "), MOST_DEPTH) or name


def _of_mangled(name: str) -> str | None:
    """The last plain part of an Itanium-mangled name before its template arguments: ``_ZN2ab3cdeIfE…`` → "cde"."""
    start = _MANGLED.match(name)
    place, found = start.end() if start else 0, None
    while (part := _PART.match(name, place)) is not None:
        place = part.end()
        if part[1]:
            size = int(part[1])
            found, place = name[place : place + size], place + size
    return found


def _short(text: str, depth: int) -> str:
    """Name and telling arguments of a demangled function or type."""
    path, arguments = _split(text)
    last = path[-1] if path else ""
    if depth == 0:
        return last
    told = [short for argument in arguments if (short := _argument(argument, depth - 1))]
    return f"{last}<{', '.join(told[:MOST_ARGUMENTS])}>" if told else last


def _argument(text: str, depth: int) -> str | None:
    """What a template argument says about the kernel; None for numbers, plain types and containers."""
    text = text.strip().removeprefix("const ")
    if not text or text.startswith("(") or not (text[0].isalpha() or text[0] == "_"):
        return None
    path, _ = _split(text)
    words = path[-1].replace("*", " ").replace("&", " ").split() if path else []
    if not words or all(word in _PLAIN or word.endswith("_t") for word in words):
        return None
    return _short(text, depth)


def _split(text: str) -> tuple[list[str], list[str]]:
    """(path of a qualified name, the template arguments of its last part): ``a::b<c, d>(e)::{lambda()#1}`` → [a, b]."""
    path: list[str] = []
    arguments: list[str] = []
    for piece, is_list in _pieces(text):
        if is_list:
            arguments = _commas(piece)
        elif _LAMBDA.match(piece) or (path and piece.startswith("operator")):
            break  # what follows is inside the function, and says no more
        else:
            path.append(piece)
            arguments = []
    return path, arguments


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Parts between ``::``, and what stands in ``<>`` after one; parentheses and all after a blank are left out."""
    start = place = 0
    while place < len(text):
        character = text[place]
        if character in "<(":
            if text[start:place]:
                yield text[start:place], False
            end = _closing(text, place)
            if character == "<":
                yield text[place + 1 : end], True
            start = place = end + 1
        elif text.startswith("::", place):
            if text[start:place].strip():
                yield text[start:place].strip(), False
            start = place = place + 2
        elif text.startswith(" const", place):
            start = place = place + len(" const")
        else:
            place += 1
    if text[start:].strip():
        yield text[start:].strip(), False


def _closing(text: str, start: int) -> int:
    """Where the bracket at ``start`` closes; the end of the text where it does not."""
    depth = 0
    for place in range(start, len(text)):
        if text[place] in "<({[":
            depth += 1
        elif text[place] in ">)}]" and text[place - 1] != "-":
            depth -= 1
            if depth == 0:
                return place
    return len(text)


def _commas(text: str) -> list[str]:
    """``text`` cut at the commas that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character in "<({[") - (character in ">)}]")
        if character == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def spoken_name(name: str) -> str:
    """A kernel's name as a sentence holds it."""
    short = short_name(name) or name
    return short if len(short) <= LONGEST else f"{short[: LONGEST - 1]}…"
