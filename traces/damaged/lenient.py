"""A JSON value as far as it can be made out: no recursion, each byte looked at a bounded number of times.

It mends, and notes, what writers are known to get wrong:

    non_finite        NaN, Infinity, 1e400, N/A: the value is missing
    big_number        an integer beyond 64 bits: kept as text
    bad_utf8          bytes that are no UTF-8, halves of surrogate pairs: U+FFFD stands for them
    lenient_json      control characters, invalid escapes (Windows paths), surplus commas, odd numbers
    duplicate_key     the same key twice in one object, with different values: the last counts
    unescaped_quote   quotes inside a string (``loose`` only): it ends where JSON goes on behind a quote
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stallscope.traces.text.damage import Damage

SKIP = re.compile(rb"[ \t\n\r]*+")
SEPARATORS = re.compile(rb"[ \t\n\r,]*+")
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
CLEAN = re.compile(rb"[^\x00-\x1f\\]*+")
CONTROL = re.compile(rb"[\x00-\x1f]")
WORD = re.compile(rb'[^\s,:\[\]{}"]++')
NUMBER = re.compile(rb"-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d++)?")
ODD_NUMBER = re.compile(rb"[+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?")
NOT_FINITE = re.compile(rb"[+-]?(?:nan(?:\(\w*\))?|inf(?:inity)?|1\.#\w+|n/a)", re.IGNORECASE)
CONSTANTS = {b"true": True, b"false": False, b"null": None, b"True": True, b"False": False, b"None": None}
ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt])|(.|$))', re.DOTALL)
ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
SURROGATE = re.compile("[\ud800-\udfff]")
MOST_DIGITS = 40
LARGEST_EXPONENT = 308
SMALLEST_EXPONENT = -999  # what is smaller is as good as 0
LONGEST_EXPONENT = 4  # characters: a sign and three digits; one more is enough to know better
TAIL = rb'(?=\s*+(?:,\s*+"[^"\n]*+"\s*+:|,?\s*+\}\s*+(?:[,}\]]|\Z)))'
# Where a string with quotes inside ends: at the first quote behind which JSON goes on, by what holds the string.
ENDS = {
    "key": re.compile(rb'"(?=\s*+:)'),
    "member": re.compile(rb'"' + TAIL),
    "element": re.compile(rb'"(?=\s*+(?:,\s*+["\[{\d\-tfnN]|,?\s*+\]))'),
}


class TooDeepError(Exception):
    """Nested deeper than allowed."""


class MoreError(Exception):
    """The text ends before the value does."""


class WrongError(Exception):
    """The text is no JSON here, and not in a way that is understood."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A lenient value."""

    value: Any
    end: int  # offset behind it
    whole: bool = True  # False: the text ended, or went wrong, inside


def past(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    """The offset behind what ``pattern`` (which matches the empty text too) matches at ``at``."""
    found = pattern.match(data, at)
    return at if found is None else found.end()


def parse_document(text: bytes, damage: Damage, *, max_depth: int) -> Parsed:
    """The value of a whole document as far as it can be made out; ``whole`` says whether it ends.

    Raises:
        TooDeepError: it is nested deeper than ``max_depth``.

    """
    for loose in (False, True):
        found = Damage()
        parser = _Parser(text, found, max_depth=max_depth, loose=loose, blind=False, fences=[])
        try:
            parsed = parser.run(0)
        except (MoreError, WrongError) as problem:
            parsed = Parsed(parser.root(), len(text), whole=False)
            if isinstance(problem, WrongError) and not loose:
                continue
        break
    for name, count in found.counts.items():
        damage.note(name, count)
    return parsed


def parse(
    data: bytes,
    at: int,
    damage: Damage,
    *,
    max_depth: int,
    loose: bool = False,
    blind: bool = False,
    fences: list[int] | None = None,
) -> Parsed:
    """The value at ``at``.

    ``loose``: strings may hold quotes; ``blind``: backslashes in them mean nothing. No string reaches across one of
    ``fences`` (ascending): events end there, so the string lacks its closing quote.
    """
    return _Parser(data, damage, max_depth=max_depth, loose=loose, blind=blind, fences=fences or []).run(at)


class _Parser:
    """A pushdown parser: ``_open`` holds the containers around the place where it stands."""

    def __init__(
        self, data: bytes, damage: Damage, *, max_depth: int, loose: bool, blind: bool, fences: list[int]
    ) -> None:
        self._data = data
        self._damage = damage
        self._max_depth = max_depth
        self._loose = loose
        self._blind = blind
        self._fences = fences
        self._open: list[Any] = []
        self._keys: list[str | None] = []  # the key whose value comes next, for each open object

    def root(self) -> Any:
        """The outermost container, with what is in it so far."""
        return self._open[0] if self._open else None

    def run(self, at: int) -> Parsed:
        """Parse one value from ``at``."""
        value, at, opened = self._value(at)
        if not opened:
            return Parsed(value, at)
        while True:
            top = self._open[-1]
            at, closed = self._inside(at, top)
            if closed:
                self._open.pop()
                self._keys.pop()
                if not self._open:
                    return Parsed(top, at)
                at = self._after(at, self._open[-1])
                continue
            value, at, opened = self._value(at)
            self._put(top, value)
            if not opened:
                at = self._after(at, top)

    def _put(self, top: Any, value: Any) -> None:
        if isinstance(top, list):
            top.append(value)
            return
        key = self._keys[-1] if value is not (self._open[-1]) else self._keys[-2]
        if key in top and top[key] != value:
            self._damage.note("duplicate_key", place=f"key {key!r}")
        top[key] = value

    def _inside(self, at: int, top: Any) -> tuple[int, bool]:
        """Step to the next value in ``top`` (past its key in an object), or past the closing bracket."""
        start = at
        at = past(SEPARATORS, self._data, at)
        character = self._at(at)
        if self._data.count(b",", start, at):
            self._damage.note("lenient_json")  # the one comma that belongs there was passed by _after
        if character == (b"]" if isinstance(top, list) else b"}"):
            if self._data[start - 1 : start] == b",":
                self._damage.note("lenient_json")
            return at + 1, True
        if isinstance(top, list):
            return at, False
        if character != b'"':
            raise WrongError
        key, at = self._string(at, "key")
        at = past(SKIP, self._data, at)
        if self._at(at) != b":":
            raise WrongError
        self._keys[-1] = key
        return at + 1, False

    def _after(self, at: int, top: Any) -> int:
        """Step past the comma behind a value in ``top``."""
        at = past(SKIP, self._data, at)
        character = self._at(at)
        if character == b",":
            return at + 1
        if character == (b"]" if isinstance(top, list) else b"}"):
            return at
        raise WrongError

    def _at(self, at: int) -> bytes:
        """The character at ``at``."""
        if at >= len(self._data):
            raise MoreError
        return self._data[at : at + 1]

    def _value(self, at: int) -> tuple[Any, int, bool]:
        """(value, offset behind it, whether it is a container that was opened)."""
        at = past(SKIP, self._data, at)
        character = self._at(at)
        if character in (b"{", b"["):
            if len(self._open) >= self._max_depth:
                raise TooDeepError
            value: Any = {} if character == b"{" else []
            self._open.append(value)
            self._keys.append(None)
            return value, at + 1, True
        if character == b'"':
            text, at = self._string(at, "element" if self._open and isinstance(self._open[-1], list) else "member")
            return text, at, False
        found = WORD.match(self._data, at)
        if found is None:
            raise WrongError
        if found.end() == len(self._data):
            raise MoreError
        return self._word(found[0]), found.end(), False

    def _word(self, word: bytes) -> Any:
        """A number or a constant; what is neither is missing."""
        if word in CONSTANTS:
            if not word.islower():
                self._damage.note("lenient_json")
            return CONSTANTS[word]
        if NUMBER.fullmatch(word):
            return self._number(word)
        if ODD_NUMBER.fullmatch(word):
            self._damage.note("lenient_json")
            return self._number(word)
        self._damage.note("non_finite" if NOT_FINITE.fullmatch(word) else "lenient_json", place=_shown(word))
        return None

    def _number(self, word: bytes) -> Any:
        mantissa, _, exponent = word.lower().partition(b"e")
        whole, point, _ = mantissa.partition(b".")
        if len(whole) > MOST_DIGITS:
            self._damage.note("big_number", place=_shown(word))
            return _shown(word)
        if point or exponent:
            return self._decimal(mantissa[: 2 * MOST_DIGITS], exponent, word)
        number = int(whole)
        if -(2**63) <= number < 2**64:
            return number
        self._damage.note("big_number", place=_shown(word))
        return whole.decode()

    def _decimal(self, mantissa: bytes, exponent: bytes, word: bytes) -> Decimal | None:
        power = int(exponent[: LONGEST_EXPONENT + 1] or b"0")
        if power > LARGEST_EXPONENT:
            self._damage.note("non_finite", place=_shown(word))
            return None
        return Decimal(f"{mantissa.decode()}e{max(power, SMALLEST_EXPONENT)}") if power else Decimal(mantissa.decode())

    def _string(self, at: int, kind: str) -> tuple[str, int]:
        """The string that opens at ``at``, and the offset behind it."""
        if self._loose:
            return self._loose_string(at, kind)
        found = STRING.match(self._data, at)
        fence = bisect.bisect_right(self._fences, at)
        if fence < len(self._fences) and (found is None or found.end() > self._fences[fence]):
            raise WrongError
        if found is None:
            raise MoreError
        return self._text(found[0][1:-1]), found.end()

    def _loose_string(self, at: int, kind: str) -> tuple[str, int]:
        for end in ENDS[kind].finditer(self._data, at + 1):
            if not self._blind and self._escaped(end.start()):
                continue
            raw = self._data[at + 1 : end.start()]
            if STRING.fullmatch(b'"' + raw + b'"') is None:
                self._damage.note("unescaped_quote", place=_shown(raw))
                return self._text(raw, literally=True), end.end()
            return self._text(raw), end.end()
        raise WrongError

    def _escaped(self, at: int) -> bool:
        """Whether an odd number of backslashes stands before ``at``."""
        before = at
        while self._data[before - 1 : before] == b"\\":
            before -= 1
        return (at - before) % 2 == 1

    def _text(self, raw: bytes, *, literally: bool = False) -> str:
        """The text of the inside of a string."""
        text = self._decoded(raw)
        if CLEAN.fullmatch(raw):
            return text
        if "\\" not in text:
            self._damage.note("lenient_json")
            return text
        if any(found[3] is not None for found in ESCAPE.finditer(text)):  # its writer did not escape: a Windows path
            self._damage.note("lenient_json", place=_shown(raw))
            return text.replace('\\"', '"').replace("\\\\", "\\")
        if not literally and CONTROL.search(raw):
            self._damage.note("lenient_json")
        return self._paired(ESCAPE.sub(_unescaped, text))

    def _decoded(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self._damage.note("bad_utf8", place=_shown(raw))
            return raw.decode("utf-8", "replace")

    def _paired(self, text: str) -> str:
        """``text`` with the halves of surrogate pairs joined, and U+FFFD for a half alone."""
        if not SURROGATE.search(text):
            return text
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if joined.encode("utf-16", "surrogatepass") != text.encode("utf-16", "surrogatepass"):
            self._damage.note("bad_utf8")
        return joined


def _unescaped(found: re.Match[str]) -> str:
    if found[1] is not None:
        return chr(int(found[1], 16))
    return ESCAPED.get(found[2], found[0])


def _shown(raw: bytes) -> str:
    """The beginning of ``raw``, to name it in a sentence."""
    text = raw[:40].decode("utf-8", "replace")
    return repr(text + ("..." if len(raw) > len(text) else ""))
