"""What is kept of the real traces: verdict, first cause, and what a reader who opened the trace says of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

FILE = Path(__file__).parent / "answers.toml"


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One trace, by its path in the folder of real traces without the ending."""

    file: str
    verdict: str
    cause: str  # the first; empty: none
    agree: str  # "yes" | "partly" | "no"
    why: str


def judged() -> list[Judged]:
    """All of them, as the file has them."""
    return msgspec.toml.decode(FILE.read_bytes(), type=dict[str, list[Judged]])["trace"]
