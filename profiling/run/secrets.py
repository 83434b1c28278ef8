"""Values on a command line that nobody else should read: those of options named like a key or a password."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

MASK: Final = "***"
_secret: Final = re.compile(
    r"(?i)(^|[-_.])(api[-_]?)?(key|token|secret|password|passwd|passphrase|pwd|credentials?|auth)([-_](id|value))?$"
)
_option: Final = re.compile(r"(--?[\w.-]+|[\w.]+)=(.*)", re.DOTALL)
_in_address: Final = re.compile(r"(\w+://[^/\s:@]*:)[^/\s@]+(@)")  # scheme://user:password@host


def masked(command: Sequence[str]) -> list[str]:
    """``command`` with such values replaced, whether they follow their option or stand behind ``=``."""
    return list(_masked(command))


def _masked(command: Sequence[str]) -> Iterator[str]:
    hidden = False
    for word in command:
        told = _option.fullmatch(word)
        if hidden and not word.startswith("-"):
            yield MASK
        elif told and _secret.search(told[1]):
            yield f"{told[1]}={MASK}"
        else:
            yield _in_address.sub(rf"\1{MASK}\2", word)
        hidden = word.startswith("-") and "=" not in word and _secret.search(word) is not None
