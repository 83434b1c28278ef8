"""Values of the contracts as JSON documents, safe to print on any terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

# Controls but for the line breaks between fields, and what is invisible or turns the direction of text.
_INVISIBLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff0-\uffff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def document(value: Any) -> bytes:
    """One value as indented UTF-8 JSON, keys in its own order, ending in a newline; same value, same bytes."""
    text = msgspec.json.format(msgspec.json.encode(finite(msgspec.to_builtins(value))), indent=2).decode()
    return _INVISIBLE.sub(_escaped, text).encode() + b"\n"


def documents(values: Sequence[Any], schema: str, key: str) -> bytes:
    """A value that is alone as a document of its own; several under ``key`` in one of ``schema``."""
    return document(values[0] if len(values) == 1 else {"schema": schema, key: list(values)})


def _escaped(found: re.Match[str]) -> str:
    """A character as JSON spells it in ASCII, so that no terminal that the text is printed on obeys it."""
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def finite(value: Any) -> Any:
    """The same value with null for what JSON cannot say (NaN, infinity) and without lone surrogates."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list) else value
