"""The lanes of the tests: what `make test` runs, and what it leaves to `make test-all`.

| mark | what it means | `make test` | `make test-all` |
|---|---|---|---|
| (none) | runs in this process | yes | yes |
| slow | runs a training script, or a command in a process of its own | yes | yes |
| full | one more of a kind of which `make test` shows one | | yes |
| packaging | builds, installs or clones this project | | yes |
| frameworks | needs the training libraries; skipped where they are not installed | | yes |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

LEFT_OUT = ("full", "packaging")  # of `make test`, as the Makefile says too


def in_short(item: pytest.Item) -> bool:
    """Whether `make test` runs it."""
    return not any(item.get_closest_marker(name) for name in LEFT_OUT)


def one_of_a_kind(cases: Iterable[Any], *short: Any) -> list[Any]:
    """``cases`` to parametrize a test with: all are tested in the lane of everything, those in ``short`` in each."""
    cases = list(cases)
    assert all(each in cases for each in short)
    return [case if case in short else pytest.param(case, marks=pytest.mark.full) for case in cases]
